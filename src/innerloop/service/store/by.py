"""Who asks for what is done now: the audit log names it, and what is stored counts for its key."""

from contextvars import ContextVar
from typing import NamedTuple


class By(NamedTuple):
    """Who asks for a change."""

    key: int | None = None
    """The API key; None: the server demands none."""
    name: str = ""
    """What that key is for."""
    request: str | None = None
    """Id of the request."""


BY: ContextVar[By | None] = ContextVar("by", default=None)
"""Who asked for what is done now; None: a command, or the server itself."""
