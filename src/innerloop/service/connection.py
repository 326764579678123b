"""Requests to one service, sent again where that is safe."""

import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from innerloop.core.errors import InputError
from innerloop.service.refusals import ServiceError, message_of, wait

if TYPE_CHECKING:
    import httpx


class Connection:
    """Connections to one address; may be used by several threads."""

    def __init__(
        self, url: str = "http://127.0.0.1:8000", key: str | None = None, *, timeout: float = 60.0, tries: int = 4
    ):
        """Nothing is sent yet.

        Args:
            url: Of the service, with the path that a proxy gives it.
            key: API key, where the service demands one.
            timeout: Seconds to wait for one answer.
            tries: How often a request is sent at most: again when the connection breaks, and where the service said
                when to come back. A change carries a name, by which the service makes it once; one of a release that
                does not know such names is sent again only where the service said that it did nothing.

        Raises:
            InputError: httpx is not installed, or the address is none.
        """
        try:
            import httpx
        except ImportError as error:
            raise InputError("the client needs httpx: pip install 'innerloop[serve]'") from error
        if not url.startswith(("http://", "https://")):
            raise InputError(f"'{url}' is no address of a service: give one such as http://127.0.0.1:8000")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.url = url.rstrip("/")
        self._tries = max(1, tries)
        self._once = False
        self._http = httpx.Client(base_url=f"{self.url}/", headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        files: dict[str, tuple[str, bytes, str]] | None = None,
        data: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        looks: bool | None = None,
    ) -> "httpx.Response":
        """One request, sent again where that is safe.

        Args:
            method: Of HTTP.
            path: Relative to the address of the service.
            json: Body.
            content: Body of another kind.
            files: Body of several parts: name, content and media type of each.
            data: Its other fields.
            params: What follows the question mark.
            headers: Besides the key.
            looks: Whether it changes nothing; None: as GET does.

        Raises:
            ServiceError: It was refused, or there was no answer.
        """
        import httpx

        looks = method == "GET" if looks is None else looks
        if not looks:
            # One name for all tries: by it the service sees that they are one change.
            headers = {"Idempotency-Key": uuid.uuid4().hex} | (headers or {})
        left = self._tries
        while True:
            left -= 1
            try:
                answer = self._http.request(
                    method, path, json=json, content=content, files=files, data=data, params=params, headers=headers
                )
            except httpx.TransportError as error:
                # Without a connection the service cannot have seen it.
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if left and (looks or unsent or self._makes_once()):
                    # Longer each time: a server that is started again needs a moment.
                    time.sleep(0.25 * 2 ** (self._tries - 1 - left))
                    continue
                raise ServiceError(f"{self.url} gives no answer: {error or type(error).__name__}") from error
            # Retry-After says that nothing was done, or that what was done is known by the name of the change.
            seconds = wait(answer)
            if seconds is None or not left:
                break
            time.sleep(seconds)
        if answer.is_success:
            return answer
        raise ServiceError(message_of(answer), answer.status_code)

    def _makes_once(self) -> bool:
        """Whether the service is known to make a change once, however often it is sent."""
        if not self._once:
            try:
                answer = self.request("GET", "healthz").json()
            except (ServiceError, ValueError):
                return False
            # A no is not kept: the server may be updated while this client lives.
            self._once = isinstance(answer, dict) and answer.get("idempotency") is True
        return self._once
