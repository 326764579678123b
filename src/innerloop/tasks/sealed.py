"""Splits whose meta-test classes nobody can look at: for what chooses, which must not see what it is measured on."""

import copy
from typing import Any, NoReturn

from innerloop.core.errors import InputError
from innerloop.tasks.pool import Pool, Splits


class SealedPool:
    """What is left of a pool that is shut: its name and how many classes it had. Its examples are gone.

    Args:
        pool: The pool, which is not kept.
    """

    def __init__(self, pool: Pool):
        self.dataset, self.split, self.role = pool.dataset, pool.split, pool.role
        self.names = pool.names

    def __len__(self) -> int:
        """How many classes there are."""
        return len(self.names)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what copying and pickling ask for
            raise AttributeError(name)
        raise refusal(self.dataset)


def sealed(splits: Splits) -> Splits:
    """The same splits without the examples of the meta-test; whoever asks for them is refused."""
    shut: Any = copy.copy(splits)
    object.__setattr__(shut, "test", SealedPool(splits.test))
    return shut


def refusal(data: str) -> InputError:
    """The error of whoever looks at a test that is shut."""
    return InputError(f"the meta-test of {data} is shut while a study chooses: choose on meta-validation tasks")
