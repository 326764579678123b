"""What the service refuses its client: with which message, and whether it is worth asking again."""

from typing import TYPE_CHECKING

from innerloop.core.errors import InnerloopError

if TYPE_CHECKING:
    import httpx

_LONGEST_WAIT = 30.0


class ServiceError(InnerloopError, RuntimeError):
    """The service refused, with its message, or could not be reached."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status
        """HTTP status; None: there was no answer."""


def wait(answer: "httpx.Response") -> float | None:
    """Seconds after which a refused request may be sent again; None: it may not."""
    after = answer.headers.get("retry-after", "")
    # HTTP allows a date there as well; this service sends seconds.
    if answer.status_code not in (429, 503) or not after.isdigit():
        return None
    return min(float(after), _LONGEST_WAIT)


def message_of(answer: "httpx.Response") -> str:
    """What a refusal says."""
    try:
        return str(answer.json()["error"])
    # A proxy on the way answers with a page of its own.
    except (ValueError, KeyError, TypeError):
        return f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}"
