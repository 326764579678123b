"""What is kept in memory: adapted tasks and recent predictions, both bounded, the oldest go first."""

import base64
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Values by key; each is made once, however many ask for it at the same time.

    Args:
        count: How many are kept.
        size: How many bytes they may have together.
        weigh: Bytes of a value.
    """

    def __init__(self, count: int, size: float, weigh: Callable[[T], int]):
        self.count, self.size = count, size
        self._weigh = weigh
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._making: dict[Hashable, Future[T]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable) -> T | None:
        """What is kept under a key, now the youngest."""
        with self._lock:
            return self._find(key)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under a key; else it is made, by one thread while the others wait for it."""
        with self._lock:  # once for both: between the two, whoever makes it may have ended
            if (kept := self._find(key)) is not None:
                return kept
            waiting = self._making.get(key)
            mine = self._making.setdefault(key, Future())
        if waiting is not None:
            return waiting.result()
        try:
            value = make()
        # Told to all who wait, and not kept: the next one tries again.
        except BaseException as error:
            with self._lock:
                del self._making[key]
            mine.set_exception(error)
            raise
        self.put(key, value)  # before it is no longer being made: between the two it would be made twice
        with self._lock:
            del self._making[key]
        mine.set_result(value)
        return value

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value, and let the oldest go where there are too many; the youngest always stays."""
        weight = self._weigh(value)
        with self._lock:
            self._bytes += weight - self._kept.pop(key, (value, 0))[1]
            self._kept[key] = value, weight
            while len(self._kept) > 1 and (len(self._kept) > self.count or self._bytes > self.size):
                self._bytes -= self._kept.popitem(last=False)[1][1]

    def forget(self, gone: Callable[[Hashable, T], bool]) -> None:
        """Let everything go that is no longer of use, by its key and value."""
        with self._lock:
            for key in [key for key, (value, _) in self._kept.items() if gone(key, value)]:
                self._bytes -= self._kept.pop(key)[1]

    def _find(self, key: Hashable) -> T | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept[0]


_TICKETS: deque[str] = deque()


def ticket() -> str:
    """A name of 16 letters that nobody guesses.

    The system is asked for many at once: asking it gives up the interpreter's lock, which a thread that encodes keeps
    for milliseconds.
    """
    while True:
        try:
            return _TICKETS.pop()
        except IndexError:
            letters = base64.urlsafe_b64encode(secrets.token_bytes(12 * 256)).decode()
            _TICKETS.extend(letters[i : i + 16] for i in range(0, len(letters), 16))
