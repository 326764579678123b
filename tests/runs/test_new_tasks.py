"""More tasks from the classes of meta-training: what of the data they are made from, and how that is asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.engine import load, meta_train
from innerloop.engine.checkpoint import read_config, read_params
from innerloop.runs import Options, build, defaults
from innerloop.runs.options import GeneratorOptions
from innerloop.runs.record import command
from innerloop.runs.run import Run
from innerloop.tasks import Pool, Splits, datasets
from tests.tasks import pools

TASK = {"ways": 3, "train_ways": 3, "queries": 2}
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


def other(split: str) -> Pool:
    pool = pools.pictures(classes=6, instances=6, size=16)
    return Sealed(**vars(pool) | {"names": tuple(f"{split}/{name}" for name in pool.names), "split": split})


@pytest.fixture
def splits(monkeypatch) -> Splits:
    """Pictures in a data set's place."""
    result = Splits(train=pools.pictures(classes=6, instances=6, size=16), validation=other("v"), test=other("t"))
    monkeypatch.setattr(datasets, "load", lambda *_: result)
    return result


@pytest.fixture
def sealed(splits) -> Splits:
    """The same, whose meta-validation and meta-test classes fail the first read."""
    for pool in (splits.validation, splits.test):
        object.__setattr__(pool, "sealed", True)
    return splits


def options_of(task: dict[str, Any], learner: str) -> Options:
    usual = defaults(learner, "digits")
    return replace(
        usual,
        task=replace(usual.task, **TASK | task),
        network=replace(usual.network, network="conv4", width=2),
        train=replace(usual.train, steps=2, meta_batch_size=2, plan="loop"),
    )


def run_of(task: dict[str, Any], learner: str = "protonet") -> Run:
    return build(options_of(task, learner))


def test_the_seal_holds(sealed):
    with pytest.raises(AssertionError, match="must not see"):
        sealed.test.take([0])


@pytest.mark.parametrize("task", WAYS_TO_MAKE_TASKS.values(), ids=WAYS_TO_MAKE_TASKS.keys())
def test_new_tasks_are_made_from_classes_of_meta_training_alone(sealed, task):
    about = run_of(task).train.describe()
    run_of(task).meta_train()
    assert about["classes"] == (24 if "rotations" in task else 6)
    assert ("distorted" in about, "interpolated" in about) == ("distort" in task, "interpolate" in task)


@pytest.fixture
def generating(splits, tmp_path) -> Path:
    """A run of VIML on the same classes."""
    run = run_of({"train_shots": 2}, "viml")
    meta_train(run.learner, run.train, run.config, tmp_path / "viml", record=run.record)  # not calibrated: that is slow
    return tmp_path / "viml"


def behind(generator: Any, task: dict[str, Any] | None = None, learner: str = "protonet", **options: Any) -> Options:
    asked = options_of(task or {}, learner)
    return replace(asked, generator=GeneratorOptions(generator=str(generator), **options))


def test_a_generator_learns_from_classes_of_meta_training_alone(sealed):
    for between in ("codes", "layers"):
        build(behind("new", {"distort": True, "interpolate": 0.5}, between=between)).meta_train()


def test_a_run_with_a_new_generator_is_kept_and_asked_for_again(splits, tmp_path):
    asked = behind("new", extra=1, share=0.5)
    run = build(asked)
    params = run.meta_train(tmp_path)
    start = run.learner.init(0)
    assert any(name.startswith("generator.") and not torch.equal(v, start[name]) for name, v in params.items())
    assert command(read_config(tmp_path)) == (
        "innerloop train protonet --data digits --ways 3 --queries 2 --train-ways 3 --network conv4 --width 2 "
        "--generator new --extra 1 --share 0.5 --steps 2 --meta-batch-size 2 --plan loop"
    )
    learner, loaded = load(tmp_path)
    assert learner == run.learner and all(torch.equal(loaded[name], v) for name, v in params.items())
    build(asked).meta_train(tmp_path)  # goes on, with nothing to do
    with pytest.raises(InputError, match="holds another run"):
        run_of({}).meta_train(tmp_path)


def test_a_run_that_generates_is_begun_with_and_what_it_has_seen_counts(generating):
    run = build(behind(generating))
    kept = read_params(generating)
    assert run.start is not None and run.start.params.keys() == {f"generator.{name}" for name in kept}
    assert all(torch.equal(run.start.params[f"generator.{name}"], v) for name, v in kept.items())
    assert run.record["start"]["trained_on"] == [{"data": "digits", "split_scheme": None, "dataset": "pictures"}]
    plain = run_of({})
    plain.meta_train(generating.parent / "plain")
    options = behind(generating)
    twice = build(replace(options, network=replace(options.network, start=str(generating.parent / "plain"))))
    assert twice.start is not None and twice.start.params.keys() == twice.learner.init(0).keys()
    assert len(twice.record["start"]["trained_on"]) == 2


def test_a_run_that_is_no_generator_of_these_tasks_is_refused_by_name(generating, monkeypatch):
    run_of({}).meta_train(generating.parent / "plain")
    with pytest.raises(InputError, match=r"plain: ProtoNet does not make examples"):
        build(behind(generating.parent / "plain"))
    with pytest.raises(InputError, match="is not a run folder"):
        build(behind(generating.parent / "none"))
    with pytest.raises(InputError, match="SimpleShot is trained on none: leave out --generator"):
        build(behind("new", learner="simple_shot"))
    with pytest.raises(InputError, match="--extra is of a generator: name one"):
        build(replace(options_of({}, "protonet"), generator=GeneratorOptions(extra=3)))
    pool = pools.pictures(classes=6, instances=6, size=20)
    larger = {k: replace(pool, names=tuple(f"{k}/{n}" for n in pool.names)) for k in ("train", "validation", "test")}
    monkeypatch.setattr(datasets, "load", lambda *_: Splits(**larger))
    with pytest.raises(
        InputError, match=r"makes examples of shape \[1, 16, 16\], and those of digits have \[1, 20, 20\]"
    ):
        build(behind(generating))
