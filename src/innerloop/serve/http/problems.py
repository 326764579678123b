"""Refusals of the service: an HTTP status and one message."""

from innerloop.core.errors import InnerloopError


class Problem(InnerloopError):
    """What a client is told.

    Args:
        status: Of HTTP.
        message: What was given, what is needed, the next step.
        retry: Seconds after which it may be tried again; None: the same request will fail again.
    """

    def __init__(self, status: int, message: str, retry: float | None = None):
        super().__init__(message)
        self.status, self.retry = status, retry


class StoreError(Problem):
    """The store cannot be read or written; nothing that was acknowledged is lost."""

    def __init__(self, message: str):
        super().__init__(503, message, retry=5)
