import pytest

from innerloop.service.limits import Limits, Rate
from innerloop.service.settings import Settings, loopback


def test_tokens_flow_in_at_the_rate():
    rate = Rate(10.0)
    assert [rate.wait("a", 0.0) for _ in range(20)] == [0.0] * 20, "a burst of twice the rate"
    assert rate.wait("a", 0.0) == pytest.approx(0.1)
    assert rate.wait("b", 0.0) == 0.0, "each client has a bucket"
    assert rate.wait("a", 0.05) == pytest.approx(0.05), "asking too early costs nothing"
    assert rate.wait("a", 0.1) == 0.0
    assert rate.wait("a", 0.1) > 0
    assert [rate.wait("a", 1000.0) for _ in range(21)].count(0.0) == 20, "a bucket holds no more than a burst"


def test_no_rate_is_no_limit():
    assert not any(Rate(None).wait("a", 0.0) for _ in range(1000))


def test_clients_that_came_long_ago_are_forgotten():
    rate = Rate(1.0)
    for i in range(20_000):
        rate.wait(str(i), 0.0)
    assert len(rate._buckets) <= 10_000


def test_settings_reach_another_process():
    settings = Settings(store="s", sources=("a", "b"), allowed_hosts=("x",), limits=Limits(batch=7, rate=2.5))
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.0.1", "example.org", "")),
    ],
)
def test_which_addresses_are_of_this_machine(host, local):
    assert loopback(host) == local
    assert Settings(store="s", host=host).keys != local


def test_threads_are_shared_among_workers():
    assert Limits(threads=3).workers_threads(2) == 3
    assert Limits().workers_threads(1000) == 1
