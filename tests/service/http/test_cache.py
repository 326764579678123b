import threading
import time

import pytest

from innerloop.service.http.cache import Cache


def test_the_oldest_go_first_by_count_and_by_size():
    cache: Cache[int] = Cache(3, 100, lambda value: value)
    for key, weight in (("a", 10), ("b", 10), ("c", 10)):
        cache.put(key, weight)
    assert cache.find("a") == 10
    cache.put("d", 10)
    assert cache.find("b") is None and cache.find("a") == 10 and len(cache) == 3
    cache.put("e", 85)
    assert len(cache) == 2 and cache.find("a") == 10 and cache.find("e") == 85
    cache.put("e", 5)
    cache.put("f", 80)
    assert len(cache) == 3, "a value that was replaced weighs nothing"
    cache.put("huge", 1000)
    assert cache.find("huge") == 1000 and len(cache) == 1, "the youngest stays even if it is too large"
    cache.forget(lambda key, _: key == "huge")
    assert len(cache) == 0 and cache._bytes == 0


def test_many_who_ask_at_once_have_it_made_once():
    cache, made, found = Cache(5, 100, lambda value: 1), [], []

    def make():
        made.append(1)
        time.sleep(0.05)
        return object()

    threads = [threading.Thread(target=lambda: found.append(cache.get("k", make))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(set(found)) == 1


def test_a_failure_is_told_and_not_kept():
    cache = Cache(5, 100, lambda value: 1)
    with pytest.raises(ZeroDivisionError):
        cache.get("k", lambda: 1 / 0)
    assert cache.get("k", lambda: 7) == 7
