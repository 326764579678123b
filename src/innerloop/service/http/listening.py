"""The address that the service listens on, and how its workers share it."""

import socket
import sys
from typing import Any

from innerloop.core.errors import InputError


def check(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on.

    Raises:
        InputError: It is taken, not this machine's, or not allowed.
    """
    try:
        _bound(socket.socket, host, port).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot listen on {host}, port {port}: {why}; choose another --port or --host") from error


def reached(host: str) -> list[str]:
    """Addresses at which a service that listens on all of them is opened, on this machine and from others."""
    addresses = {"0.0.0.0": ("127.0.0.1", "192.0.2.1"), "::": ("::1", "2001:db8::1")}.get(host)
    if addresses is None:
        return []
    here, elsewhere = addresses
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect((elsewhere, 9))  # sends nothing: the system says from which address it would
            return [here, asked.getsockname()[0]]
    except OSError:  # no network
        return [here]


def sockets(host: str, port: int) -> list[socket.socket]:
    """What is handed to every worker: on Linux each gets a socket of its own on the same port."""
    if not sys.platform.startswith("linux"):
        return [_bound(socket.socket, host, port)]
    return [_bound(_OneEach, host, port)]


class _OneEach(socket.socket):
    """Arrives as another socket on the same port.

    So the kernel deals new connections out evenly; from one that is shared, whoever wakes first takes all that wait.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _bound, (type(self), *self.getsockname()[:2])


def _bound(cls: type[socket.socket], host: str, port: int) -> socket.socket:
    bound = cls(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Otherwise a restart is refused while the system remembers connections of before.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if cls is _OneEach:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)  # workers are started by spawn, and get it as an open file
    return bound
