"""Being asked to stop, noticed between two steps."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM arrived; a second one is not held back."""
    arrived = threading.Event()
    # Python lets the main thread alone set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield arrived.is_set
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        arrived.set()
        # Back to the handler before: whoever asks a second time does not want to wait for the checkpoint.
        signal.signal(number, before[signal.Signals(number)])

    for s in before:
        signal.signal(s, note)
    try:
        yield arrived.is_set
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
