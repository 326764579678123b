import threading
import time

import pytest

from innerloop.service.http.batching import Batcher
from innerloop.service.http.errors import HTTPError


def double(items):
    return [2 * item for item in items]


@pytest.fixture
def batcher():
    made = Batcher(1, waiting=50, largest=8)
    yield made
    made.close()


def test_what_waits_while_the_thread_is_busy_goes_together_but_not_beyond_the_largest():
    sizes, free = [], threading.Event()
    batcher = Batcher(1, largest=8, seen=lambda queue, items: sizes.append((queue, items)))
    busy = batcher.submit("busy", [0], lambda items: [free.wait(10)])
    time.sleep(0.05)
    futures = [batcher.submit("q", [i, i + 100], double) for i in range(6)]
    free.set()
    assert busy.result(5) == [True]
    assert [f.result(5) for f in futures] == [[2 * i, 2 * i + 200] for i in range(6)]
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
    assert [f.result(10) for f in futures] == [[i] for i in range(20)] and max(most) == 1
    futures = [batcher.submit("q", [i], work) for i in range(20)]
    assert [f.result(10) for f in futures] == [[i] for i in range(20)] and max(most) > 1
    batcher.close()


def test_queues_take_turns():
    order, free = [], threading.Event()
    batcher = Batcher(1, largest=1, seen=lambda queue, items: order.append(queue))
    batcher.submit("busy", [0], lambda items: [free.wait(10)])
    time.sleep(0.05)
    futures = [batcher.submit("many", [i], double) for i in range(3)] + [batcher.submit("one", [0], double)]
    free.set()
    for future in futures:
        future.result(5)
    assert order == ["busy", "many", "one", "many", "many"]
    batcher.close()


def test_one_bad_item_spoils_only_its_own_request(batcher):
    free = threading.Event()
    batcher.submit("busy", [0], lambda items: [free.wait(10)])
    futures = [batcher.submit("q", [item], lambda items: [1 / item for item in items]) for item in (1, 0, 2)]
    free.set()
    assert futures[0].result(5) == [1.0] and futures[2].result(5) == [0.5]
    with pytest.raises(ZeroDivisionError):
        futures[1].result(5)
    assert batcher.submit("q", [3], double).result(5) == [6], "the thread lives on"


def test_too_much_is_refused_and_room_comes_back(batcher):
    free = threading.Event()
    batcher.submit("busy", [0], lambda items: [free.wait(10)])
    time.sleep(0.05)
    waiting = batcher.submit("q", range(50), double)
    with pytest.raises(HTTPError, match="50 examples are waiting") as refused:
        batcher.submit("q", [1], double)
    assert refused.value.status == 503 and refused.value.retry
    free.set()
    assert len(waiting.result(5)) == 50, "larger than a batch, and whole"
    assert batcher.submit("q", [1], double).result(5) == [2] and batcher.items == 0


def test_work_that_was_given_up_is_not_done(batcher):
    free, done = threading.Event(), []
    batcher.submit("busy", [0], lambda items: [free.wait(10)])
    time.sleep(0.05)
    gone = batcher.submit("q", [1], lambda items: done.append(items) or items)
    assert gone.cancel()
    free.set()
    assert batcher.submit("r", [1], double).result(5) == [2] and not done


def test_results_must_be_as_many_as_items(batcher):
    with pytest.raises(RuntimeError, match="2 items gave 1"):
        batcher.submit("q", [1, 2], lambda items: [0]).result(5)


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
            if batcher.submit(n % 4, [n * 1000 + i], double).result(10) != [2 * (n * 1000 + i)]:
                wrong.append((n, i))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    batcher.close()
