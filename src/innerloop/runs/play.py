"""A run of an agent, shown: what it does on an unseen task before adaptation and after every step of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Unrolled
from innerloop.core.plain import is_whole
from innerloop.engine import load as load_run
from innerloop.evaluate.played import Played, acted_in, play
from innerloop.runs.measure import MetaTestOptions, prepare

MOST = 11
"""Inner steps whose episodes fit side by side."""


@dataclass(frozen=True, kw_only=True)
class PlayOptions:
    """What is shown."""

    out: str = "play.html"
    """The page: one file that needs nothing else."""
    png: str | None = None
    """A folder for the same episodes as a strip, task-N.png."""
    task: int = 0
    """Which unseen task, counted from 0 as `innerloop test` meets them."""
    seed: int = 77
    """Seed of the tasks, as in `innerloop test`."""
    steps: int = 3
    """Inner steps, of rl2 episodes of a trial, each shown beside the others: what is done after 0, 1, ... of them."""
    trajectories: int = 8
    """How many of the trajectories of an episode are drawn; the return is that of all."""

    def check(self) -> None:
        """Refuse what cannot be shown, before any work.

        Raises:
            InputError: A number out of range, or a page that would be no .html.
        """
        for name, least, most in (("task", 0, 2**32 - 1), ("steps", 0, MOST), ("trajectories", 1, 100)):
            value = getattr(self, name)
            if not is_whole(value, least) or value > most:
                raise InputError(f"{name} is a whole number from {least} to {most:,}, got {value!r}")
        page = files.expanded(self.out)
        if page.suffix.lower() not in (".html", ".htm"):
            raise InputError(
                f"{self.out!r} ends otherwise than in .html, and what is written is a page: give --out play.html"
            )
        if files.is_folder(page):
            raise InputError(f"{self.out} exists already and is a folder: give another name")
        if self.png is not None and (not self.png or files.is_file(files.expanded(self.png))):
            raise InputError(f"--png names the folder that pictures are written to, got {self.png!r}: give a folder")


class Shown(NamedTuple):
    """What was played, and the files it is in."""

    run: Path
    learner: str
    options: PlayOptions
    played: Played
    file: Path
    png: Path | None

    def __str__(self) -> str:
        """Returns by step, and where to look."""
        rows = [f"{one.when}: {one.score:.4g}" for one in self.played.episodes]
        n = len(self.played.episodes[0].trajectories.rewards)
        where = f"{self.learner} in {self.environment}, task {self.options.task}, mean return of {n}"
        return "\n".join([where, *rows, f"page: {self.file}", *([] if self.png is None else [f"picture: {self.png}"])])

    @property
    def environment(self) -> str:
        """Name of the environment's class."""
        return type(self.played.environment).__name__

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [
            {"step": step, "mean": score, "returns": seen.returns, "lengths": seen.lengths}
            for step, score, seen, _ in self.played.episodes
        ]
        about = {"run": str(self.run), "learner": self.learner, "environment": self.environment}
        which = {"task": self.options.task, "seed": self.options.seed, "episodes": rows}
        return about | which | {"file": str(self.file), "png": self.png and str(self.png)}


def play_run(run: str | Path, options: PlayOptions = PlayOptions(), context: Context = Context()) -> Shown:
    """Show a run folder on an unseen task: the very episodes that `innerloop test --steps` scores there.

    Args:
        run: The folder.
        options: What is shown.
        context: What the run may name.

    Raises:
        InputError: Not a run, or of a learner that is no agent; a file that cannot be written.
        FailedError: What the agent met is not finite.
    """
    options.check()
    from innerloop.report import played as drawn  # which wants packages of an extra: said before the work

    learner, _ = load_run(run, context.allow)
    acted_in(learner)
    steps = options.steps if isinstance(learner, Unrolled) else None
    test, *_ = prepare(run, MetaTestOptions(seed=options.seed, steps=steps, baselines=False), context)
    played = play(test.learner, test.params, test.sampler, options.task)
    name, page = type(learner).__name__, files.expanded(options.out)
    about = f"task {options.task} of seed {options.seed}"
    html = drawn.page(played, f"{name} in {type(played.environment).__name__}", about, options.trajectories)
    picture = None
    if options.png is not None:
        picture = files.expanded(options.png) / f"task-{options.task}.png"
        strip = drawn.strip(played, options.trajectories)
        files.write(picture, strip)
    files.write(page, html)
    return Shown(Path(run), name, options, played, page, picture)
