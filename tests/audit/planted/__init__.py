"""Mistakes as people make them, each small and honest-looking, that an audit must find."""

from typing import Any, NamedTuple


class Bug(NamedTuple):
    """A mistake and what should find it."""

    check: str
    """Name of the check that fails."""
    arguments: dict[str, Any]
    """Of `audit`."""
