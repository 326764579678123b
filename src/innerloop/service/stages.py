"""What a request waits for, stage by stage, for whoever listens; where nobody does, nothing is noted."""

import contextlib
import functools
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import NamedTuple, Protocol


class Stage(NamedTuple):
    """One that is over."""

    name: str
    start: int
    """Nanoseconds since 1970."""
    end: int
    error: str | None = None
    """Name of the error's class; never its message, which may quote what was sent."""
    about: Mapping[str, int | bool] = {}


class Listener(Protocol):
    """Whoever wants to know."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """What the block does, as a part of what is being done now."""
        ...

    def note(self, stage: Stage) -> None:
        """What was done elsewhere, as a part of what is being done now."""
        ...


LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Who listens to the request that is being answered."""
_NOTHING = contextlib.nullcontext()


def stage(name: str) -> AbstractContextManager[None]:
    """What the block does, which may be a part of another stage."""
    listener = LISTENER.get()
    return _NOTHING if listener is None else listener.stage(name)


class Elsewhere:
    """Stages of work that threads do for a request among that of others, told to its listener at the end."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._came = time.time_ns()

    def begun(self, error: str | None = None) -> None:
        """The first of it is taken, or it was given up before."""
        self.stages.append(Stage("queue", self._came, time.time_ns(), error))


def elsewhere() -> AbstractContextManager[Elsewhere | None]:
    """Where work that the block waits for notes its stages; None: nobody listens."""
    listener = LISTENER.get()
    return _NOTHING if listener is None else _elsewhere(listener)


@contextlib.contextmanager
def _elsewhere(listener: Listener) -> Iterator[Elsewhere]:
    work = Elsewhere()
    try:
        yield work
    except BaseException as error:
        if not work.stages:
            work.begun(type(error).__name__)
        raise
    finally:
        for one in tuple(work.stages):
            listener.note(one)


class _Batch:
    """Listens to what is done for several requests at once."""

    def __init__(self, works: Sequence[Elsewhere], items: int, requests: int):
        self._works, self._items, self._requests = works, items, requests
        self.heard = False

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with _ending(functools.partial(self.over, name, time.time_ns())):
            yield

    def over(self, name: str, start: int, error: str | None) -> None:
        """Note one that ends now."""
        about: dict[str, int | bool] = {"items": self._items, "requests": self._requests}
        if error is not None and self._requests > 1:  # one of them is to blame, and it is done again for each alone
            error, about = None, about | {"repeated": True}
        self.note(Stage(name, start, time.time_ns(), error, about))

    def note(self, stage: Stage) -> None:
        self.heard = True
        for work in self._works:
            work.stages.append(stage)


@contextlib.contextmanager
def together(works: Sequence[Elsewhere | None], items: int, queue: Hashable) -> Iterator[None]:
    """Have stages of the block noted for all requests of a batch that somebody listens to.

    Args:
        works: Of the requests.
        items: How many the batch has.
        queue: Gives a block its name that has no stages of its own; a tuple begins with it.
    """
    heard = [work for work in works if work is not None]
    if not heard:
        yield
        return
    batch = _Batch(heard, items, len(works))
    token, start = LISTENER.set(batch), time.time_ns()

    def over(error: str | None) -> None:
        LISTENER.reset(token)
        if not batch.heard:
            batch.over(str(queue[0]) if isinstance(queue, tuple) else str(queue), start, error)

    with _ending(over):
        yield


@contextlib.contextmanager
def _ending(over: Callable[[str | None], None]) -> Iterator[None]:
    """Call `over` behind the block, with the name of the class of the error that ended it."""
    error = None
    try:
        yield
    except BaseException as problem:
        error = type(problem).__name__
        raise
    finally:
        over(error)
