"""Rates that all hosts of a store in PostgreSQL count together: as memory counts, by one clock, never uncounted."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from innerloop.service.http import daily
from innerloop.service.limits import Limits, Rate
from innerloop.service.store import keys, postgres, rates
from innerloop.service.store.database import opened
from innerloop.service.store.rates import Rates
from tests.service.served import refused, serving

NOW = 1.8e9
"""Seconds of a server's clock that stands still."""


@pytest.fixture
def hosts(server):
    """Two hosts of one store."""
    with server.lent() as address:
        both = opened(address), opened(address)
        yield both
        for one in both:
            one.close()


@pytest.fixture
def host(hosts):
    return hosts[0]


def rows(host):
    with host.reading() as c:
        return [tuple(row) for row in c.execute("SELECT client, tokens FROM rates ORDER BY client")]


def later(host, seconds):
    """Have time pass in the store."""
    with host.noting() as c:
        c.execute("UPDATE rates SET time = time - ?", (seconds,))


def test_hosts_count_together_as_one_does_in_memory(hosts):
    known, draw, now, waits = Rate(3.0), random.Random(0), NOW, []
    for _ in range(300):
        now += draw.choice((0.0, 0.05, 0.3, 1.0)) * draw.random()
        host, client, take = draw.choice(hosts), draw.choice("aab"), draw.random() < 0.9
        wait = known.wait(client, now, take)
        waits.append(wait)
        assert rates.asked(host, client, 3.0, take, now)[0] == wait
    assert 30 < sum(wait > 0 for wait in waits) < 270


def test_a_burst_on_both_hosts_at_once_lets_twice_the_rate_through(hosts):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: rates.asked(hosts[i % 2], "a", 8.0, now=NOW), range(48)))
    assert [wait for wait, _ in answers].count(0.0) == 16 and {wait for wait, _ in answers} == {0.0, 0.125}
    assert sum(new for _, new in answers) == 1


def test_a_refusal_costs_nothing_and_who_looks_takes_nothing(host):
    def ask(rate, later=0.0, take=True):
        return rates.asked(host, "a" if rate == 1.0 else "b", rate, take, NOW + later)[0]

    assert [ask(1.0, take=False), ask(1.0), ask(1.0), ask(1.0)] == [0.0, 0.0, 0.0, 1.0]
    assert [ask(1.0, 0.75, take) for take in (True, False, True)] == [0.25] * 3
    assert [ask(1.0, 1.0, take) for take in (False, True)] == [0.0] * 2
    # Less than one request a second: a bucket holds one.
    assert [ask(0.25), ask(0.25)] == [0.0, 4.0]


def test_the_clock_is_the_servers_and_takes_nothing_when_it_is_set_back(host):
    assert [rates.asked(host, "a", 0.1)[0] == 0.0 for _ in range(2)] == [True, False]
    later(host, 6.0)
    assert 0.0 < rates.asked(host, "a", 0.1)[0] <= 4.0
    later(host, -3600.0)  # the clock goes back by an hour
    assert 0.0 < rates.asked(host, "a", 0.1)[0] <= 4.0, "no hour is waited for"
    later(host, 4.5)
    assert rates.asked(host, "a", 0.1)[0] == 0.0


def test_who_was_refused_is_refused_without_the_store_until_then(hosts, monkeypatch):
    one, other = (Rates(host, 0.05) for host in hosts)
    ask, real, asked, now = rates.asked, time.monotonic, [], 0.0
    monkeypatch.setattr(time, "monotonic", lambda: real() + now)
    monkeypatch.setattr(rates, "asked", lambda *about: asked.append(about) or ask(*about))
    assert one.wait("a") == 0.0 and one.refused("a") == 0.0 and len(asked) == 1
    first = other.wait("a")
    assert 0.0 < other.wait("a") < first <= 20.0 and other.wait("a", take=False) and len(asked) == 2
    assert other.wait("b") == 0.0, "another client"
    now = 21.0
    later(hosts[0], 21.0)
    assert other.refused("a") == 0.0 and other.wait("a") == 0.0 and not other._refused
    assert one.wait("a", take=False) > 0.0 and one.refused("a") > 0.0, "who looks is told the same"


def test_clients_who_are_away_are_forgotten_and_there_are_not_too_many(host, monkeypatch):
    for i in range(6):
        rates.asked(host, f"c{i}", 1.0)
        later(host, 10.0)
    with host.noting() as c:  # who asks just now is not waited for
        c.execute("UPDATE rates SET tokens = 0 WHERE client = 'c0'")
        rates.forget(host, 45.0)
    assert [client for client, _ in rows(host)] == ["c0", "c2", "c3", "c4", "c5"]
    rates.forget(host, 45.0)
    assert [client for client, _ in rows(host)] == ["c2", "c3", "c4", "c5"]
    rates.forget(host, most=3)
    assert [client for client, _ in rows(host)] == ["c3", "c4", "c5"]
    monkeypatch.setattr(rates, "_NEW", 3)
    monkeypatch.setattr(rates, "KEPT_CLIENTS", 2)
    some = Rates(host, 100.0)  # whose buckets are full in two seconds
    for client in "aabbc":
        assert some.wait(client) == 0.0
    assert [client for client, _ in rows(host)] == ["a", "b", "c"], "the others have been away for long enough"
    slow = Rates(host, 0.001)
    for _ in range(2):
        for client in "ade":
            slow.wait(client)
    assert len(slow._refused) == 2, "nor is there more in memory"


def test_once_a_day_those_of_the_day_before_go(host, monkeypatch):
    rates.asked(host, "old", 1.0)
    later(host, 90_000.0)
    rates.asked(host, "new", 1.0)
    monkeypatch.setattr(daily, "_SECONDS", 0.05)
    work, start = daily.Daily(host), time.monotonic()
    while len(rows(host)) > 1 and time.monotonic() < start + 60:
        time.sleep(0.01)
    work.close()
    assert [client for client, _ in rows(host)] == ["new"]


def test_a_second_host_counts_what_the_first_let_through(place):
    shared = not place.startswith("/")  # workers of a folder count each for itself
    _, token = keys.add(place, "read")
    right, wrong = {"Authorization": f"Bearer {token}"}, {"Authorization": "Bearer il_wrong"}
    settings = {"demand_keys": True, "limits": Limits(rate=0.05)}
    with serving(place, **settings) as one, serving(place, **settings) as other:
        for headers, first in ((right, 200), (wrong, 401)):
            assert one.get("/api/tasks", headers=headers).status_code == first
            refused(one.get("/api/tasks", headers=headers), 429, "more than 0.05 requests a second")
            answer = other.get("/api/tasks", headers=headers)
            assert answer.status_code == (429 if shared else first)
            assert not shared or 1 <= int(answer.headers["retry-after"]) <= 20
        # Of what is open to anybody, each host counts for itself; wrong keys are of the same address in a folder.
        assert [host.get("/").status_code for host in (one, other, one)] == ([200, 200, 429] if shared else [429] * 3)


def test_a_database_that_is_gone_lets_nobody_through_uncounted(server, monkeypatch):
    place = server.new()
    name = place.partition("@/")[2].partition("?")[0]
    monkeypatch.setattr(postgres, "_READ_SECONDS", 0.2)
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    with serving(place, limits=Limits(rate=1000.0)) as client:
        assert client.get("/nothing").status_code == 404
        server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.sql(ended)
        answer = client.get("/nothing")
        refused(answer, 503, "does not answer, or is busy: try again")
        assert answer.headers["retry-after"] == "5"
        assert client.get("/").status_code == client.get("/static/app.js").status_code == 200
        server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        monkeypatch.setattr(postgres, "_READ_SECONDS", 20.0)
        refused(client.get("/nothing"), 503, "read-only transaction")
        server.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        server.sql(ended)
        assert client.get("/nothing").status_code == 404


def test_a_store_that_was_served_before_gets_the_table_and_an_unlogged_one(server):
    place = server.new()
    name = place.partition("@/")[2].partition("?")[0]
    server.sql("DROP TABLE innerloop.rates", name)
    with ThreadPoolExecutor(2) as pool:
        for host in pool.map(opened, (place, place)):
            assert rates.asked(host, "a", 1.0)[0] == 0.0
            host.close()
    query = "SELECT relpersistence FROM pg_class WHERE relname = 'rates'"
    assert server.sql(query, name) == [("u",)]
    assert server.sql("SELECT tokens FROM innerloop.rates", name)[0][0] < 1.5
