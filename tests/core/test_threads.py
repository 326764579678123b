import os
import threading
import time

import pytest
import torch

from innerloop.core import threads
from innerloop.core.threads import compute_on_one_core, on_one_core, spread, stay_on_one_core


@pytest.fixture(autouse=True)
def four():
    """As on a machine of four cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_parts_each_from_one_core():
    found = spread(lambda i: (i, torch.get_num_threads(), threading.current_thread()), range(20))
    assert [i for i, _, _ in found] == list(range(20)) and {n for _, n, _ in found} == {1}
    assert threading.current_thread() not in {t for _, _, t in found}
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("count", [1, None])
def test_one_part_or_one_thread_is_one_at_a_time_on_one_core(count):
    running = threading.Lock()

    def work(i):
        assert running.acquire(blocking=False)
        time.sleep(0.01)
        running.release()
        return torch.get_num_threads()

    assert set(spread(work, range(5) if count == 1 else range(1), count)) == {1} and torch.get_num_threads() == 4
    assert on_one_core(torch.get_num_threads) == 1
    assert spread(lambda i: i, []) == []


def test_a_block_has_one_core_and_whoever_runs_it_all_of_them_again():
    def work():
        with compute_on_one_core():
            assert torch.get_num_threads() == 1
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert torch.get_num_threads() == 4


def test_with_one_core_there_is_no_other_thread():
    torch.set_num_threads(1)
    assert set(spread(lambda i: threading.current_thread(), range(3))) == {threading.current_thread()}
    assert threading.current_thread() not in spread(lambda i: threading.current_thread(), range(3), 2)


@pytest.mark.parametrize("first", [True, False], ids=["made", "kept"])
def test_a_thread_that_begins_meanwhile_has_all_cores(first):
    """Torch keeps one count for all threads that have not asked yet."""
    if first:
        threads._workers.cache_clear()
    found, inside, go_on = [], threading.Event(), threading.Event()

    def work():
        inside.set()
        assert go_on.wait(60)

    beside = threading.Thread(target=lambda: on_one_core(work))
    beside.start()
    assert inside.wait(60)
    for begin in (lambda: found.append(torch.get_num_threads()), lambda: found.append(on_one_core(lambda: 4))):
        other = threading.Thread(target=begin)
        other.start()
        other.join()
    go_on.set()
    beside.join()
    assert found == [4, 4] and torch.get_num_threads() == 4


def test_what_is_spread_within_stays_in_its_thread():
    """Otherwise all threads might wait for parts that none is left to work on."""
    found = spread(lambda i: spread(lambda j: (i, j, threading.current_thread()), range(3)), range(8))
    assert all(len({thread for _, _, thread in part}) == 1 for part in found)
    assert [[(i, j) for i, j, _ in part] for part in found] == [[(i, j) for j in range(3)] for i in range(8)]


def test_grad_mode_and_autocast_go_along():
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = spread(lambda i: (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")), range(4))
    assert set(found) == {(False, True)}
    assert set(spread(lambda i: (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")), range(4))) == {
        (True, False)
    }


def test_the_first_error_in_order_is_raised_and_the_count_restored():
    def work(i):
        if i > 2:
            raise ValueError(f"part {i}")

    with pytest.raises(ValueError, match="part 3"):
        spread(work, range(9))
    assert torch.get_num_threads() == 4
    with pytest.raises(ValueError, match="part 7"):
        on_one_core(lambda: work(7))


def test_a_worker_of_a_service_stays_on_its_core():
    found = []

    def worker():
        stay_on_one_core()
        found.extend(spread(lambda i: threading.current_thread(), range(6)))

    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    assert set(found) == {thread}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_makes_its_own_threads():
    spread(lambda i: i, range(4))
    with threads._MAKING:  # as if another thread had it
        child = os.fork()
        if child == 0:
            os._exit(7 if spread(lambda i: i, range(4)) == [0, 1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
