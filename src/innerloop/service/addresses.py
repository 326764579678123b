"""Who asks: the address that a connection comes from, or the one that a trusted proxy says; and who is asked."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from innerloop.core.errors import InputError

_OWN_BITS = 64
"""First bits of an IPv6 address: who has one has all that begin with these, so they are one client."""


class Proxies:
    """Addresses whose `X-Forwarded-For` is believed.

    Args:
        listed: Addresses, or networks as `10.0.0.0/8`.

    Raises:
        InputError: One is neither.
    """

    def __init__(self, listed: Sequence[str]):
        self._networks = []
        for one in listed:
            try:
                self._networks.append(ipaddress.ip_network(one))
            except ValueError as error:
                raise InputError(
                    f"--proxy '{one}' is no address or network ({error}): give 10.0.0.7 or 10.0.0.0/8"
                ) from error

    def __contains__(self, address: object) -> bool:
        known = _read(str(address))
        return known is not None and any(known in network for network in self._networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The client of a request.

        Args:
            peer: Who is connected.
            forwarded: Values of `X-Forwarded-For`; each proxy adds the one that asked it at the end.

        Returns:
            The last address that is no trusted proxy's, in one spelling.
        """
        # Nearest first: a proxy vouches for who asked it, and for nobody before.
        hops = [peer, *reversed([hop.strip() for value in forwarded for hop in value.split(",")])]
        client = peer
        for hop in hops:
            if _read(hop) is None:  # not an address: what comes before it was made up
                break
            client = hop
            if hop not in self:
                break
        return name(client)


def name(address: str) -> str:
    """One name for all the addresses of one client."""
    known = _read(address)
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((known, _OWN_BITS), strict=False))
    return address if known is None else str(known)


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        known = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket of both families shows IPv4 clients as ::ffff:a.b.c.d, which must not be a second name.
    return (known.ipv4_mapped or known) if isinstance(known, ipaddress.IPv6Address) else known


def check_home(address: str | None) -> None:
    """Refuse an address of Label Studio that is none.

    Raises:
        InputError: It is none, or holds a password, which messages would show.
    """
    if address is None:
        return
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, or a port beyond all
        right, parts = False, None
    if parts is not None and "@" in parts.netloc:
        raise InputError("--label-studio holds a user or a password: leave them out, and set LABEL_STUDIO_API_KEY")
    if not right:
        raise InputError(f"--label-studio is '{address}', and must be an address such as http://localhost:8080")
