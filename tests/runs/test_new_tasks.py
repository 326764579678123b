"""More tasks from the classes of meta-training: what of the data they are made from, and how that is asked for."""

from dataclasses import replace
from typing import Any

import pytest

from innerloop.runs import build, defaults
from innerloop.runs.run import Run
from innerloop.tasks import Pool, Splits, datasets
from tests.tasks import pools

TASK = {"ways": 3, "train_ways": None, "queries": 2}
WAYS_TO_MAKE_TASKS: dict[str, dict[str, Any]] = {
    "distorted": {"distort": True},
    "interpolated": {"interpolate": 0.5},
    "both": {"distort": True, "interpolate": 1.0, "interpolate_beta": 0.5},
    "rotated": {"rotations": True},
}


class Sealed(Pool):
    """Its examples are not to be read."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("data", "rows", "as_float", "take") and "sealed" in super().__getattribute__("__dict__"):
            raise AssertionError(f"{self.split}: {name} of classes that meta-training must not see")
        return super().__getattribute__(name)


def sealed(split: str) -> Pool:
    pool = pools.pictures(classes=6, instances=6, size=16)
    return Sealed(**vars(pool) | {"names": tuple(f"{split}/{name}" for name in pool.names), "split": split})


@pytest.fixture
def splits(monkeypatch) -> Splits:
    """Pictures in a data set's place, whose meta-validation and meta-test classes fail the first read."""
    result = Splits(train=pools.pictures(classes=6, instances=6, size=16), validation=sealed("v"), test=sealed("t"))
    for pool in (result.validation, result.test):
        object.__setattr__(pool, "sealed", True)
    monkeypatch.setattr(datasets, "load", lambda *_: result)
    return result


def run_of(task: dict[str, Any], learner: str = "protonet") -> Run:
    usual = defaults(learner, "digits")
    return build(
        replace(
            usual,
            task=replace(usual.task, **TASK | task),
            network=replace(usual.network, network="conv4", width=2),
            train=replace(usual.train, steps=2, meta_batch_size=2, plan="loop"),
        )
    )


def test_the_seal_holds(splits):
    assert isinstance(splits.test, Sealed)
    with pytest.raises(AssertionError, match="must not see"):
        splits.test.take([0])


@pytest.mark.parametrize("task", WAYS_TO_MAKE_TASKS.values(), ids=WAYS_TO_MAKE_TASKS.keys())
def test_new_tasks_are_made_from_classes_of_meta_training_alone(splits, task):
    about = run_of(task).train.describe()
    run_of(task).meta_train()
    assert about["classes"] == (24 if "rotations" in task else 6)
    assert ("distorted" in about, "interpolated" in about) == ("distort" in task, "interpolate" in task)
