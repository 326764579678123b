"""Runs on streams from options: one, or one for every seed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from innerloop.continual.build import Options, build
from innerloop.continual.progress import matrix_of
from innerloop.continual.report import refresh
from innerloop.core.context import Context
from innerloop.runs.seeds import Trained, each_seed


def follow(options: Options, out: Path, context: Context = Context()) -> Trained:
    """Have a learner follow a stream, or go on with what the folder holds; arguments and errors as of `build`."""
    build(options, context).learn(out)
    return Trained(options.follow.seed, out, matrix_of(out)[1], refresh(out))


def follow_seeds(
    options: Options,
    seeds: Sequence[int],
    out: Path,
    context: Context = Context(),
    progress: Callable[[str], None] = lambda _: None,
) -> list[Trained]:
    """`follow` once with every seed, in `out/seed-0` and so on; see `runs.seeds.train_seeds`."""

    def train(seed: int, run: Path) -> Trained:
        return follow(replace(options, follow=replace(options.follow, seed=seed)), run, context)

    return each_seed(seeds, out, train, progress)
