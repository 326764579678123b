"""A process that is killed, or whose disk is full, at any of its writes: what was there is whole, and it goes on.

The table below says what is done, how it is done again afterwards, and what must then be there.
"""

import contextlib
import json
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.engine.checkpoint import read_state
from innerloop.evaluate import calibration, meta_test
from innerloop.evaluate.result import Result
from innerloop.fewshot import commands
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.runs import Options, build, defaults
from innerloop.runs.calibrate import keep as keep_calibration
from innerloop.tasks import Sinusoid, cache
from tests import faults

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the injector finds what is written in /proc")

LEARNER = MAML(model=MLP(hidden=(4,)), inner_lr=0.01, objective=regression)
CONFIG = TrainConfig(
    steps=4, meta_batch_size=2, plan="loop", checkpoint_every=2, validate_every=2, validation_episodes=2, unchecked=True
)


def told(action: Callable[..., Any], *arguments: Any) -> int:
    """Exit status and message as the command line has them."""
    torch.set_num_threads(1)
    try:
        return int(action(*arguments) or 0)
    except InnerloopError as error:
        print(f"innerloop: {error}", file=sys.stderr)
        return error.code


def train(folder: Path, config: TrainConfig = CONFIG) -> None:
    meta_train(LEARNER, Sinusoid(), config, folder / "run", validation=Sinusoid(seed=5))


def extend(folder: Path) -> None:
    train(folder, replace(CONFIG, schedule="constant", steps=6))


def extensible(folder: Path) -> None:
    train(folder, replace(CONFIG, schedule="constant"))


def options(name: str, folder: Path) -> Options:
    """Of a small run on data beside the folder."""
    usual = defaults(name, str(folder.parent / "data.npz"))
    changes = {"steps": 2, "plan": "loop", "checkpoint_every": 1, "unchecked": True}
    return replace(
        usual,
        task=replace(usual.task, ways=2),
        network=replace(usual.network, width=4),
        train=replace(usual.train, **changes),
    )


def finish(folder: Path) -> None:
    """Train, and choose what was left open."""
    run = build(options("linear_probe", folder))
    learner: Any = run.learner
    run = replace(run, learner=replace(learner, iterations=1), choices={"C": (1.0,)}, calibrate_on=None)
    run.meta_train(folder / "run")


def trained(folder: Path) -> None:
    replace(build(options("protonet", folder)), calibrate_on=None).meta_train(folder / "run")


def stale(folder: Path) -> None:
    """A run whose calibration is of other parameters."""
    trained(folder)
    calibration.write(folder / "run", calibration.Calibration(temperature=2.0), "others")


def calibrate(folder: Path) -> None:
    run = build(options("protonet", folder))
    assert run.calibrate_on is not None
    keep_calibration(folder / "run", *load(folder / "run"), run.calibrate_on, 3)


def measure(folder: Path) -> None:
    learner, params = load(folder / "run")
    sampler = build(options("protonet", folder)).test()
    meta_test(learner, params, sampler, 3, curve=False, quiet=True).save(folder / "run")


def taught(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    classifier = FewShotClassifier().fit(np.eye(3).repeat(2, 0), list("aabbcc"))
    classifier.partial_fit(np.eye(3)[:1] + 0.1, ["a"]).save(folder / "task.fewshot")
    np.savez(folder / "more.npz", x=np.eye(3)[:2] * 2.0, y=list("ad"))


def add(folder: Path) -> None:
    commands.add(folder / "task.fewshot", folder / "more.npz")


def drop(folder: Path) -> None:
    commands.drop(folder / "task.fewshot", "c")


def undo(folder: Path) -> None:
    commands.undo(folder / "task.fewshot", to=1)


def export_onnx(folder: Path) -> None:
    commands.export(folder / "task.fewshot", folder / "task.onnx")


def export_pt2(folder: Path) -> None:
    commands.export(folder / "task.fewshot", folder / "task.pt2")


def fill_cache(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing was kept
        cache.cached(Context(cache=folder), "made", lambda: {"x": np.arange(9)}, ("x",))


def everything(folder: Path) -> int:
    words = ["--data", "sinusoid", "--steps", "4", "--checkpoint-every", "2", "--validate-every", "2"]
    words += ["--plan", "loop", "--unchecked"]
    return main(["train", "maml", *words, "--out", str(folder / "run")])


def content(folder: Path) -> dict[str, Any]:
    """All that lies in a folder; of what takes time or is stamped only the rest."""
    held: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.name == "state.pt":
            state = read_state(path.parent) or {}
            leaves = state["params"] | {f"update.{k}": v for k, v in state["update"].items()}
            best = state["best"] or {"params": {}}
            held[name] = [state["step"], state["waited"], best.get("score"), best.get("step")]
            held[name] += [{k: v.tolist() for k, v in tensors.items()} for tensors in (leaves, best["params"])]
        elif path.name == "metrics.jsonl":
            held[name] = [json.loads(line, object_hook=_untimed) for line in path.read_text().splitlines()]
        elif path.suffix == ".fewshot":
            held[name] = task_of(path)
        elif path.name.startswith("test-"):
            held[name] = Result.load(path).scores.tolist()
        elif path.suffix not in (".html", ".pt2"):
            held[name] = path.read_bytes()
        else:
            held[name] = path.stat().st_size > 0
    return held


def _untimed(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in ("tasks_per_second", "cpu_seconds")}


def task_of(path: Path) -> Any:
    """What a task answers and holds, without the times of its versions."""
    task = FewShotClassifier.load(path)
    return task.examples_, len(task.history), task.predict_proba(np.eye(3)).tolist()


@dataclass(frozen=True)
class Scenario:
    action: Callable[[Path], int | None]
    begin: Callable[[Path], None] | None = None
    """What was done before."""
    repeats: bool = True
    """Whether it may be done again after it was done; else it is only when it was not."""
    slow: bool = False


SCENARIOS = {
    "train": Scenario(train),
    "train on": Scenario(extend, extensible),
    "select": Scenario(finish),
    "calibrate": Scenario(calibrate, stale),
    "test": Scenario(measure, trained),
    "add": Scenario(add, taught, repeats=False),
    "drop": Scenario(drop, taught, repeats=False),
    "undo": Scenario(undo, taught, repeats=False),
    "cache": Scenario(fill_cache),
    "export onnx": Scenario(export_onnx, taught, slow=True),
    "export pt2": Scenario(export_pt2, taught, slow=True),
    "innerloop train": Scenario(everything, slow=True),
}
FAST = [name for name, scenario in SCENARIOS.items() if not scenario.slow]

AGAIN = ("innerloop train", "export onnx", "select")
"""Scenarios whose writes others have too (train, calibrate, test; export pt2), and that take minutes."""
SWEPT = [name for name in SCENARIOS if name not in AGAIN or name not in FAST]


class Sweep:
    """One scenario, from its beginning, with a fault at any write.

    Args:
        name: Of the scenario.
        root: A folder.
    """

    def __init__(self, name: str, root: Path):
        self.scenario, self.root = SCENARIOS[name], root
        y = np.arange(12).repeat(20)
        np.savez(root / "data.npz", x=np.random.default_rng(0).normal(size=(240, 3)).astype(np.float32), y=y)
        self.old = root / "old"
        self.old.mkdir()
        if self.scenario.begin is not None:
            self.scenario.begin(self.old)
        self.before = content(self.old)
        outcome = self.faulty(self.fresh("unbroken"), "count")
        assert outcome.status == 0, outcome.printed
        self.writes, self.after = outcome.writes, content(root / "unbroken")
        assert self.after != self.before

    def fresh(self, name: str = "tried") -> Path:
        """The state before, once more."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        return Path(shutil.copytree(self.old, self.root / name))

    def faulty(self, folder: Path, kind: faults.Kind, at: int = 0) -> faults.Outcome:
        return faults.run(told, self.scenario.action, folder, folder=folder, kind=kind, at=at)

    def read(self, folder: Path) -> None:
        """Nobody who reads what is left gets anything but a message."""
        for config in folder.rglob("config.json"):
            with contextlib.suppress(InputError):
                load(config.parent)

    def repair(self, folder: Path, why: object) -> None:
        """Do it again, as whoever was cut off does."""
        if not self.scenario.repeats:
            now = {name: value for name, value in content(folder).items() if not name.startswith(".")}
            assert now in (self.before, self.after), why
            if now == self.after:
                # The next change sweeps up; here one that changes nothing for good.
                FewShotClassifier.load(folder / "task.fewshot").save(folder / "task.fewshot")
                assert content(folder) == self.after, why
                return
        again = self.faulty(folder, "count")
        assert again.status == 0, (why, again.printed)
        assert content(folder) == self.after, why


FAILURES: dict[faults.Kind, str] = {"full": "No space left", "broken": "Input/output error"}


def _in_turns(kinds: Sequence[faults.Kind], places: Sequence[int]) -> list[tuple[faults.Kind, int]]:
    return [(kinds[i % len(kinds)], at) for i, at in enumerate(places)]


def _few(writes: str) -> list[int]:
    """A few writes, the last ones among them."""
    count = len(writes)
    return sorted({*range(1, count + 1, max(1, count // 3)), max(1, count - 1), count})


def _kills(writes: str, few: bool) -> list[tuple[faults.Kind, int]]:
    """Every state of the folder that a kill can leave, once; or a few of them."""
    if few:
        at_files = [at for at, letter in enumerate(writes, 1) if letter == "f"]
        return [*_in_turns(("before", "after"), _few(writes)), ("torn", at_files[-1])]
    # After a write is before the next one, but for files that were only opened, and for the last.
    after = [at for at, letter in enumerate(writes, 1) if letter == "o" or at == len(writes)]
    torn = [at for at, letter in enumerate(writes, 1) if letter == "f"]
    places: dict[faults.Kind, Sequence[int]] = {"before": range(1, len(writes) + 1), "after": after, "torn": torn}
    return [(kind, at) for kind in places for at in places[kind]]


def _killed(name: str, root: Path, few: bool) -> None:
    sweep = Sweep(name, root)
    for kind, at in _kills(sweep.writes, few):
        folder = sweep.fresh()
        outcome = sweep.faulty(folder, kind, at)
        assert outcome.status == -signal.SIGKILL, (kind, at, outcome.printed)
        sweep.read(folder)
        sweep.repair(folder, (kind, at))


def _full(name: str, root: Path, few: bool) -> None:
    sweep = Sweep(name, root)
    places = _few(sweep.writes) if few else range(1, len(sweep.writes) + 1)
    for kind, at in _in_turns(tuple(FAILURES), places):
        folder = sweep.fresh()
        outcome = sweep.faulty(folder, kind, at)
        assert "Traceback" not in outcome.printed, (kind, at, outcome.printed)
        if sweep.scenario.action is not fill_cache:  # which costs the time again, nothing else
            messages = [line for line in outcome.printed.splitlines() if line.startswith("innerloop: ")]
            assert outcome.status == 2 and FAILURES[kind] in messages[-1], (kind, at, outcome.printed)
        sweep.read(folder)
        sweep.repair(folder, (kind, at))


@pytest.mark.parametrize("name", FAST)
def test_killed_at_a_write(name, tmp_path):
    _killed(name, tmp_path, few=True)


@pytest.mark.parametrize("name", FAST)
def test_a_disk_that_fails_at_a_write(name, tmp_path):
    _full(name, tmp_path, few=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEPT)
def test_killed_at_every_write(name, tmp_path):
    _killed(name, tmp_path, few=name in AGAIN)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEPT)
def test_a_disk_that_fails_at_every_write(name, tmp_path):
    # What takes a minute to begin with is tried at a few: it writes by the same function.
    _full(name, tmp_path, few=name not in FAST)
