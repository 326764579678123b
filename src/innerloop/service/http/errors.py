"""Refusals of the service: an HTTP status and one message."""

from innerloop.core.errors import InnerloopError, InputError
from innerloop.service.store.errors import ConflictError, LostError, MissingError, StaleError, StoreError
from innerloop.service.store.quotas import FullError, SpentError

# The first that fits is taken, so a special one stands before what it is a kind of.
_STATUS = {
    StoreError: 503,
    MissingError: 404,
    StaleError: 412,
    ConflictError: 409,
    SpentError: 429,
    FullError: 507,
    InputError: 422,
}
_LATER = 5
"""Seconds after which a store that cannot be used may be tried again."""


class HTTPError(InnerloopError):
    """What a client is told.

    Args:
        status: Of HTTP.
        message: What was given, what is needed, the next step.
        retry: Seconds after which it may be tried again; None: the same request will fail again.
    """

    def __init__(self, status: int, message: str, retry: float | None = None):
        super().__init__(message)
        self.status, self.retry = status, retry


ANSWERED = (HTTPError, *_STATUS)
"""Errors that are an answer; any other is a failure of the server."""


def as_http(error: Exception) -> HTTPError:
    """A refusal as HTTP says it."""
    if isinstance(error, HTTPError):
        return error
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    # Files that are gone or damaged stay so until somebody puts a backup in their place.
    again = status == 503 and not isinstance(error, LostError)
    return HTTPError(status, str(error), _LATER if again else None)
