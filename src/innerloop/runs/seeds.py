"""One training for every seed, each in a folder of its own, and which trainings differ in their seed alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core.context import Context
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.files import is_file, is_folder
from innerloop.engine import Watcher, distributed
from innerloop.engine.checkpoint import read_config, steps_done
from innerloop.engine.open_run import PLAN
from innerloop.runs.build import build
from innerloop.runs.measure import report
from innerloop.runs.options import Options

_PREFIX = "seed-"
_APART = {"seed", "checkpoint_every", "unchecked", "retime", *PLAN} - {"precision"}
"""Settings in which trainings of one group may differ."""


class Trained(NamedTuple):
    """What became of one seed."""

    seed: int
    run: Path
    steps: int = 0
    report: Path | None = None
    error: InnerloopError | None = None
    """Why it failed; the other seeds were trained all the same."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        about: dict[str, Any] = {"run": str(self.run), "seed": self.seed, "steps": self.steps}
        about |= {"report": self.report and str(self.report)}
        return about | {"error": None if self.error is None else str(self.error)}


def train_seeds(
    options: Options,
    seeds: Sequence[int],
    out: str | Path,
    context: Context = Context(),
    progress: Callable[[str], None] = lambda _: None,
    watchers: Callable[[], Sequence[Watcher]] = tuple,
) -> list[Trained]:
    """Train once with every seed, in `out/seed-0` and so on; asked again, each goes on from its last checkpoint.

    Args:
        options: Of the runs; their own seed is not used.
        seeds: Of the trainings.
        out: Folder of the folders.
        context: As of `build`.
        progress: Called with what is being trained.
        watchers: Makes those of each training.

    Raises:
        InputError, FailedError, Interrupted: As of `each_seed` and `meta_train`.
    """
    if distributed.join().size > 1:
        raise InputError("several seeds are trained one after another in one process: start without torchrun")

    def train(seed: int, run: Path) -> Trained:
        build(replace(options, train=replace(options.train, seed=seed)), context).meta_train(run, watchers())
        return Trained(seed, run, steps_done(run), report(run, context))

    return each_seed(seeds, out, train, progress)


def each_seed(
    seeds: Sequence[int], out: str | Path, train: Callable[[int, Path], Trained], progress: Callable[[str], None]
) -> list[Trained]:
    """Train once with every seed, each in a folder of its own.

    Args:
        seeds: Of the trainings.
        out: Folder of the folders.
        train: Of a seed and its folder; it goes on with what the folder holds.
        progress: Called with what is being trained.

    Raises:
        InputError: A seed is given twice, `out` holds a run of its own, or none of the seeds can be trained.
        FailedError: All of them failed.
    """
    twice = [seed for i, seed in enumerate(seeds) if seed in seeds[:i]]
    if twice:
        raise InputError(f"seed {twice[0]} is given twice: every training needs a seed of its own")
    if is_file(Path(out) / "config.json"):
        raise InputError(f"{out} is a run by itself: choose another folder for the runs of several seeds")
    done = []
    for i, seed in enumerate(seeds):
        run = Path(out) / f"{_PREFIX}{seed}"
        progress(f"seed {seed}, {i + 1} of {len(seeds)}")
        try:
            done.append(train(seed, run))
        except InnerloopError as error:  # one seed that diverges is no reason to lose the others
            done.append(Trained(seed, run, error=error))
    if done and all(one.error is not None for one in done):
        assert done[0].error is not None
        raise done[0].error
    return done


def runs_of(folder: str | Path) -> list[Path]:
    """The runs of a folder that `train_seeds` wrote, by their seeds; none of any other folder."""
    folder = Path(folder)
    if not is_folder(folder) or is_file(folder / "config.json"):
        return []
    runs = [path.parent for path in folder.glob(f"{_PREFIX}*/config.json")]
    numbered = [(run.name.removeprefix(_PREFIX), run) for run in runs]
    return [run for _, run in sorted((int(n), run) for n, run in numbered if n.lstrip("-").isdecimal())]


def seed_of(run: str | Path) -> int | None:
    """The seed of a run's training."""
    seed = (read_config(run).get("train") or {}).get("seed")
    return seed if type(seed) is int else None


def without_seed(run: str | Path) -> str:
    """What a run is but for its seed and for how its tasks are run: equal where only that differs."""
    config = read_config(run)
    train = {k: v for k, v in (config.get("train") or {}).items() if k not in _APART}
    return json.dumps([config["learner"], train, config.get("record"), config.get("update")], sort_keys=True)


def called(paths: Sequence[Path]) -> Path:
    """What a group of runs is called after: the folder of all seeds, or the first of them."""
    first = paths[0]
    together = len(paths) > 1 and all(p.parent == first.parent and p.name.startswith(_PREFIX) for p in paths)
    return first.parent if together else first
