"""What would be refused once a long training is done, told before it begins."""

from collections.abc import Callable
from typing import TypeVar

from innerloop.core.errors import InputError
from innerloop.core.names import printable
from innerloop.core.types import Sampler
from innerloop.tasks import Pool, Splits

T = TypeVar("T")
_NAMED = 6
"""Classes of a split that are named."""
_FOR = {"train": "to train on", "validation": "for validation", "test": "for tests"}


def with_splits(make: Callable[[], T], splits: Splits | None) -> T:
    """What is made of a split; a refusal also says which classes are in which.

    Raises:
        InputError: As of `make`.
    """
    try:
        return make()
    except InputError as error:
        raise InputError(f"{error}. {cut(splits)}" if splits is not None else str(error)) from error


def no_test(test: Callable[[], Sampler], splits: Splits | None) -> str | None:
    """Why a run cannot be tested as it is going to be trained, and what can be done; None: it can."""
    try:
        test()
    except InputError as error:
        where = "" if splits is None else f" {cut(splits)}."
        return (
            f"this run can be trained and used, but `innerloop test` will refuse it as it is: {error}.{where} Give "
            "more classes or examples, train with fewer ways or shots, or test it with other options or --data"
        )
    return None


def cut(splits: Splits) -> str:
    """Which classes are in which split."""
    pools = splits.pools()
    parts = [f"{_counted(pool)} {_FOR[name]} ({_some(pool)})" for name, pool in pools.items()]
    return f"{splits.train.dataset} is split into {', '.join(parts[:-1])} and {parts[-1]}"


def _counted(pool: Pool) -> str:
    return f"{len(pool)} class{'es' * (len(pool) != 1)}"


def _some(pool: Pool) -> str:
    names = [printable(name) for name in pool.names[:_NAMED]]
    return ", ".join(names) + (f" and {len(pool) - _NAMED} more" if len(pool) > _NAMED else "")
