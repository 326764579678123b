"""Who asks for what is done now: the audit log names it, and quotas are its own."""

from contextvars import ContextVar
from typing import NamedTuple


class Quota(NamedTuple):
    """What an API key may use; None: as much as the server allows."""

    requests: int | None = None
    """A day, in UTC."""
    examples: int | None = None
    """Stored by it at the same time, in all versions and tasks."""
    bytes: int | None = None
    """What these take, and the files and taggers that it brought."""


class By(NamedTuple):
    """Who asks for a change."""

    key: int | None = None
    """The API key; None: the server demands none."""
    name: str = ""
    """What that key is for."""
    request: str | None = None
    """Id of the request."""
    quota: Quota = Quota()


BY: ContextVar[By | None] = ContextVar("by", default=None)
"""Who asked for what is done now; None: a command, or the server itself."""
