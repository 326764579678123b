import os

import pytest

from innerloop.tasks.datasets.omniglot import omniglot


@pytest.fixture(scope="session")
def seed() -> int:
    """Of initial parameters and training tasks; test tasks are always the same."""
    return int(os.environ.get("INNERLOOP_FIELD_SEED", "0"))


@pytest.fixture(scope="session")
def splits(data_root):
    return omniglot(data_root, split="vinyals")
