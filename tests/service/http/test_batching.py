import os
import random
import sys
import threading
import time

import pytest

from innerloop.service.http.batching import CLIENT, Batcher
from innerloop.service.http.errors import HTTPError


def double(items):
    return [2 * item for item in items]


@pytest.fixture
def batcher():
    made = Batcher(1, waiting=50, largest=8)
    yield made
    made.close()


def occupied(batcher, free, **asked):
    """Work that has begun, and goes on until it is let go."""
    began = threading.Event()
    busy = batcher.submit("busy", [0], lambda items: [began.set() or free.wait(60)], **asked)
    assert began.wait(60)
    return busy


def test_what_waits_while_the_thread_is_busy_goes_together_but_not_beyond_the_largest():
    sizes, free = [], threading.Event()
    batcher = Batcher(1, largest=8, seen=lambda queue, items: sizes.append((queue, items)))
    busy = occupied(batcher, free)
    futures = [batcher.submit("q", [i, i + 100], double) for i in range(6)]
    free.set()
    assert busy.result(60) == [True]
    assert [f.result(60) for f in futures] == [[2 * i, 2 * i + 200] for i in range(6)]
    assert sizes == [("busy", 1), ("q", 8), ("q", 4)]
    batcher.close()


def test_a_queue_that_is_alone_is_worked_on_by_one_thread_at_a_time():
    batcher, working, most = Batcher(3, largest=2), [], []

    def work(items):
        working.append(1)
        most.append(len(working))
        time.sleep(0.01)
        working.pop()
        return items

    futures = [batcher.submit("q", [i], work, alone=True) for i in range(20)]
    assert [f.result(60) for f in futures] == [[i] for i in range(20)] and max(most) == 1
    futures = [batcher.submit("q", [i], work) for i in range(20)]
    assert [f.result(60) for f in futures] == [[i] for i in range(20)] and max(most) > 1
    batcher.close()


def test_queues_take_turns():
    order, free = [], threading.Event()
    batcher = Batcher(1, largest=1, seen=lambda queue, items: order.append(queue))
    occupied(batcher, free)
    futures = [batcher.submit("many", range(3), double), batcher.submit("one", [0], double)]
    free.set()
    for future in futures:
        future.result(60)
    assert order == ["busy", "many", "one", "many", "many"]
    batcher.close()


def test_one_bad_item_spoils_only_its_own_request(batcher):
    free = threading.Event()
    occupied(batcher, free)
    futures = [batcher.submit("q", [item], lambda items: [1 / item for item in items]) for item in (1, 0, 2)]
    free.set()
    assert futures[0].result(60) == [1.0] and futures[2].result(60) == [0.5]
    with pytest.raises(ZeroDivisionError):
        futures[1].result(60)
    assert batcher.submit("q", [3], double).result(60) == [6], "the thread lives on"


def test_too_much_is_refused_and_room_comes_back(batcher):
    free = threading.Event()
    occupied(batcher, free)
    waiting = batcher.submit("q", range(50), double)
    with pytest.raises(HTTPError, match="50 examples are waiting") as refused:
        batcher.submit("q", [1], double)
    assert refused.value.status == 503 and refused.value.retry
    free.set()
    assert len(waiting.result(60)) == 50, "larger than a batch, and whole"
    assert batcher.submit("q", [1], double).result(60) == [2] and batcher.items == 0


def test_work_that_was_given_up_is_not_done(batcher):
    free, done = threading.Event(), []
    occupied(batcher, free)
    gone = batcher.submit("q", [1], lambda items: done.append(items) or items)
    assert gone.cancel()
    free.set()
    assert batcher.submit("r", [1], double).result(60) == [2] and not done


def test_results_must_be_as_many_as_items(batcher):
    with pytest.raises(RuntimeError, match="2 items gave 1"):
        batcher.submit("q", [1, 2], lambda items: [0]).result(60)


@pytest.mark.parametrize("alone", [False, True])
def test_closing_finishes_what_waits(alone):
    batcher = Batcher(3, largest=1)
    futures = [batcher.submit("q", [i], lambda items: time.sleep(0.01) or double(items), alone) for i in range(20)]
    batcher.close()
    assert [f.result(0) for f in futures] == [[2 * i] for i in range(20)]
    with pytest.raises(HTTPError, match="stopping"):
        batcher.submit("q", [1], double)


def test_a_hammer_of_threads_gets_everyone_their_own():
    batcher, wrong = Batcher(3, waiting=10_000, largest=16), []

    def ask(n):
        for i in range(100):
            if batcher.submit(n % 4, [n * 1000 + i], double).result(60) != [2 * (n * 1000 + i)]:
                wrong.append((n, i))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    batcher.close()


class Slow:
    """Work that takes as long as its items say, by a clock of each thread that only it moves."""

    def __init__(self, monkeypatch):
        self.now, self.batches, self.began, self.gate = 0.0, [], threading.Event(), threading.Event()
        self._clock, self._lock = threading.local(), threading.Lock()
        monkeypatch.setattr("innerloop.service.http.batching.time.thread_time", self._read)

    def _read(self):
        return getattr(self._clock, "now", 0.0)

    def __call__(self, items):
        self.began.set()
        self.gate.wait(60)
        seconds = sum(seconds for _, seconds in items)
        self._clock.now = self._read() + seconds
        with self._lock:
            self.now += seconds
            self.batches.append([name for name, _ in items])
        return items


@pytest.fixture
def slow(monkeypatch):
    return Slow(monkeypatch)


def begin(batcher, slow, client="attacker", cost=0.06):
    """A batch that runs until the gate is opened."""
    batcher.submit("texts", [("first", cost)], slow, True, [cost], client)
    assert slow.began.wait(60)


@pytest.mark.parametrize("queue", ["texts", "pictures"])
@pytest.mark.parametrize("requests", [1, 4, 100])
def test_nobody_waits_behind_more_than_one_batch_of_another(slow, queue, requests):
    batcher, each = Batcher(1), 800 // requests
    begin(batcher, slow)
    attack = [
        batcher.submit("texts", [("a", 0.06)] * each, slow, True, [0.06] * each, "attacker") for _ in range(requests)
    ]
    slow.gate.set()
    waits = []
    for _ in range(20):
        with batcher._lock:  # no batch is taken between the look and the question
            before = len(slow.batches)
            asked = batcher.submit(queue, [("b", 0.001)], slow, True, [0.001], "bystander")
        asked.result(60)
        mine = next(i for i in range(before, len(slow.batches)) if "b" in slow.batches[i])
        waits.append(mine - before)
    assert max(waits) <= 1 + (queue == "pictures"), (
        "what was running when it came, and nothing else but what goes with it"
    )
    assert max(len(batch) for batch in slow.batches) == 1
    for future in attack:
        future.cancel()
    batcher.close()


def test_a_small_request_goes_before_many_large_ones_of_the_same_client(slow):
    batcher = Batcher(1)
    begin(batcher, slow)
    attack = [batcher.submit("texts", [("a", 0.06)], slow, True, [0.06], "one") for _ in range(800)]
    small = batcher.submit("texts", [("b", 0.001)], slow, True, [0.001], "one")
    slow.gate.set()
    small.result(60)
    assert next(i for i, batch in enumerate(slow.batches) if "b" in batch) <= 2
    for future in attack:
        future.cancel()
    batcher.close()


def test_a_large_request_is_not_put_off_for_ever_by_small_ones(slow):
    batcher = Batcher(1, largest=1)
    begin(batcher, slow)
    large = batcher.submit("texts", [("large", 0.06)], slow, True, [0.06], "one")
    small = [batcher.submit("texts", [("small", 0.001)], slow, True, [0.001], "one") for _ in range(50)]
    slow.gate.set()
    for _ in range(1000):
        small.pop(0).result(60)
        small.append(batcher.submit("texts", [("small", 0.001)], slow, True, [0.001], "one"))
        if large.done():
            break
    assert large.done()
    batcher.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("client", ["attacker", "bystander"])
@pytest.mark.parametrize("queue", ["texts", "pictures"])
def test_what_costs_much_less_does_not_wait_for_what_runs(slow, threads, client, queue):
    batcher = Batcher(threads)
    long = [batcher.submit("texts", [("a", 0.06)] * 256, slow, True, [0.06] * 256, "attacker") for _ in range(3)]
    assert slow.began.wait(60)
    short = batcher.submit(queue, [1, 2], double, True, [0.001] * 2, client)
    assert short.result(60) == [2, 4], "the gate is shut: what runs has not ended"
    assert not slow.batches and not any(future.done() for future in long)
    threading.Timer(0.01, slow.gate.set).start()
    batcher.close(finish=False)


def test_one_thing_at_a_time_goes_beside_what_runs_and_nothing_that_costs_alike(slow):
    batcher, free, began = Batcher(1), threading.Event(), []

    def held(items):
        began.extend(items)
        free.wait(60)
        return items

    begin(batcher, slow)
    asked = [batcher.submit("q", ["alike"], held, costs=[0.02])]
    assert not began
    asked.append(batcher.submit("r", ["cheap"], held, costs=[0.01]))
    while not began:
        time.sleep(0.001)
    asked.append(batcher.submit("s", ["cheapest"], held, costs=[0.001]))
    time.sleep(0.02)
    assert began == ["cheap"]
    free.set()
    assert [future.result(60) for future in asked[1:]] == [["cheap"], ["cheapest"]] and "alike" not in began
    slow.gate.set()
    assert asked[0].result(60) == ["alike"]
    batcher.close()


@pytest.mark.parametrize("seed", range(5))
def test_batches_are_bounded_and_of_items_that_cost_alike_and_answers_are_in_order(slow, seed):
    batcher, r, asked = Batcher(2, waiting=10_000, seconds=0.02), random.Random(seed), []
    slow.gate.set()
    for i in range(60):
        costs = [10 ** r.uniform(-4, -1) for _ in range(r.randint(1, 40))]
        items = [((i, n, cost), cost) for n, cost in enumerate(costs)]
        asked.append((items, batcher.submit(r.choice("xy"), items, slow, r.random() < 0.5, costs, r.choice("abc"))))
    assert [future.result(60) for _, future in asked] == [items for items, _ in asked]
    batcher.close()
    batches = [[cost for _, _, cost in batch] for batch in slow.batches]
    assert sum(map(len, batches)) == sum(len(items) for items, _ in asked)
    for costs in batches:
        assert len(costs) == 1 or (sum(costs) <= 0.02 and max(costs) < 4 * min(costs)), costs


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_long_work_gives_way_to_all_other():
    batcher, usual = Batcher(1), os.getpriority(os.PRIO_PROCESS, 0)

    def priority(items):
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in items]

    assert batcher.submit("q", [0], priority, costs=[0.001]).result(60) == [usual]
    assert batcher.submit("q", [0], priority, costs=[0.06]).result(60) == [min(19, usual + 5)]
    assert batcher.submit("q", [0], priority, costs=[0.001]).result(60) == [usual]
    batcher.close()


def test_three_clients_share_alike_whatever_they_send(slow):
    batcher = Batcher(1)
    begin(batcher, slow, "nobody", 0.001)
    sent = {"a": (1000, 1, 0.01), "b": (10, 100, 0.01), "c": (100, 1, 0.03)}
    for client, (requests, items, cost) in sent.items():
        for _ in range(min(requests, 300)):
            batcher.waiting = 10_000
            batcher.submit("texts", [(client, cost)] * items, slow, True, [cost] * items, client)
    slow.gate.set()
    while slow.now < 3.0:
        time.sleep(0.001)
    batcher.close(finish=False)
    seconds = dict.fromkeys(sent, 0.0)
    for name in (name for batch in slow.batches[1:] for name in batch):
        if sum(seconds.values()) < 2.5:  # before one of them has nothing more to ask
            seconds[name] += sent[name][2]
    assert max(seconds.values()) - min(seconds.values()) <= 0.4, seconds


def test_a_batch_is_bounded_by_what_the_ones_before_took(slow):
    batcher = Batcher(1, seconds=0.2)
    begin(batcher, slow, cost=0.001)
    wrong = [batcher.submit("texts", [("a", 0.05)] * 200, slow, True, [0.001] * 200, "a")]  # it takes fifty times that
    slow.gate.set()
    wrong[0].result(60)
    sizes = [len(batch) for batch in slow.batches[1:]]
    assert sizes[0] == 32 and max(sizes[1:]) <= 4
    batcher.submit("texts", [("a", 0.0)] * 2000, slow, True, [0.001] * 2000, "a").result(60)
    assert len(slow.batches[-2]) == 32, "and by that of the faster ones since"
    batcher.close()


def test_who_has_the_most_waiting_makes_room(batcher):
    free = threading.Event()
    occupied(batcher, free, client="x")
    many = [batcher.submit("q", range(10), double, client="many") for _ in range(5)]
    one = batcher.submit("q", range(5), double, client="one")
    with pytest.raises(HTTPError, match="examples are waiting"):
        batcher.submit("q", range(10), double, client="many")
    assert not isinstance(one.exception(0) if one.done() else None, HTTPError)
    with pytest.raises(HTTPError, match="waiting already"):
        many[-1].result(1)
    free.set()
    assert one.result(60) == [0, 2, 4, 6, 8] and many[0].result(60)[1] == 2
    assert [future.done() for future in many] == [True] * 5 or many[3].result(60)


def test_room_comes_back_with_what_was_given_up(batcher):
    free = threading.Event()
    occupied(batcher, free, client="x")
    for _ in range(100):
        batcher.submit("q", range(40), double, client="gone").cancel()
    assert batcher.items == 0 and batcher.submit("q", range(50), double, client="y") is not None
    free.set()


def test_closing_in_a_hurry_refuses_what_waits_and_ends_with_what_runs():
    batcher, free = Batcher(1), threading.Event()
    running = occupied(batcher, free)
    waiting = batcher.submit("q", range(1000), double)
    threading.Timer(0.1, free.set).start()
    batcher.close(finish=False)
    assert running.result(0) == [True]
    with pytest.raises(HTTPError, match="stopping"):
        waiting.result(0)


def test_who_asks_is_known_from_the_request(slow):
    batcher = Batcher(1)
    begin(batcher, slow)
    attack = [batcher.submit("texts", [("a", 0.06)] * 400, slow, True, [0.06] * 400) for _ in range(2)]
    token = CLIENT.set("bystander")
    mine = batcher.submit("texts", [("b", 0.06)], slow, True, [0.06])
    CLIENT.reset(token)
    slow.gate.set()
    mine.result(60)
    assert slow.batches[1:3] == [["a"], ["b"]]
    for future in attack:
        future.cancel()
    batcher.close()
