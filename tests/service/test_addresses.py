import pytest

from innerloop.core.errors import InputError
from innerloop.service.addresses import Proxies, name

PROXIES = Proxies(("10.0.0.7", "192.168.0.0/16", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.7", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.7", ["6.6.6.6, 203.0.113.5"], "203.0.113.5"),  # what the client itself wrote stands first
        ("10.0.0.7", ["6.6.6.6", "203.0.113.5"], "203.0.113.5"),
        ("10.0.0.7", ["203.0.113.5, 192.168.3.4"], "203.0.113.5"),
        ("10.0.0.7", ["192.168.3.4"], "192.168.3.4"),
        ("10.0.0.7", [], "10.0.0.7"),
        ("10.0.0.7", [""], "10.0.0.7"),
        ("10.0.0.7", ["203.0.113.5, unknown"], "10.0.0.7"),
        ("10.0.0.7", ["x" * 60_000], "10.0.0.7"),
        ("::ffff:10.0.0.7", ["203.0.113.5"], "203.0.113.5"),
        ("fd00::1", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ("10.0.0.8", ["203.0.113.5"], "10.0.0.8"),
        ("127.0.0.1", ["203.0.113.5"], "127.0.0.1"),
        ("?", ["203.0.113.5"], "?"),
    ],
)
def test_only_proxies_are_believed_and_only_what_they_added(peer, forwarded, client):
    assert PROXIES.client(peer, forwarded) == client


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", "10.0.0.0/40", "", "*"])
def test_a_proxy_is_an_address_or_a_network(wrong):
    with pytest.raises(InputError, match="--proxy"):
        Proxies((wrong,))


def test_addresses_of_one_client_have_one_name():
    assert name("2001:db8::1") == name("2001:db8::2") != name("2001:db8:0:1::1")
    assert name("::ffff:192.0.2.1") == name("192.0.2.1") == "192.0.2.1"
