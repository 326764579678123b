"""How much the predictives of runs can be believed: `python -m benchmarks.predictives RUN [RUN ...]`.

Each is a run folder, or a folder of several seeds as `innerloop train --seeds` makes it, whose scores are then the mean
of the seeds' on the same tasks. Errors, likelihoods and coverage of the 90% band on unseen tasks, with intervals over
tasks; from the second on, also the paired difference from the first.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from innerloop.core.interval import difference, interval
from innerloop.engine import load
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate import meta_test
from innerloop.evaluate.predictive import predictive_scores
from innerloop.runs.measure import MetaTestOptions, unseen

TOLD = ("accuracy", "mse", "nll", "coverage_90", "width_90", "brier")


def runs(place: Path) -> list[Path]:
    """A run, or the runs of several seeds in a folder."""
    return [place] if (place / "config.json").is_file() else sorted(p.parent for p in place.glob("*/config.json"))


def scores(run: Path, options: MetaTestOptions, episodes: int) -> Mapping[str, Tensor]:
    """[episodes] of every score of a run."""
    learner, params = load(run)
    learner, sampler = replace(learner, transductive=False), unseen(read_config(run), options)
    result = meta_test(learner, params, sampler, episodes, quiet=True)
    found = predictive_scores(learner, params, sampler, episodes).scores
    return {result.protocol.score.name: result.scores.flatten().double(), **found}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictives", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--episodes", type=int, default=300)
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = MetaTestOptions(split=given.split, episodes=given.episodes)
    first: Mapping[str, Tensor] = {}
    for place in given.runs:
        seeds = [scores(run, options, given.episodes) for run in runs(place)]
        for run, each in zip(runs(place), seeds, strict=True):
            print(f"{run}: " + ", ".join(f"{k} {each[k].mean():.3f}" for k in TOLD if k in each))
        pooled = {k: torch.stack([each[k] for each in seeds]).mean(0) for k in seeds[0]}
        for k in (k for k in TOLD if k in pooled):
            gap = difference(pooled[k], first[k]) if k in first else None
            against = "" if gap is None else f", less {given.runs[0]}: {gap.mean:+.3f} ± {gap.ci95:.3f}"
            print(f"  {k} {pooled[k].mean():.3f} ± {interval(pooled[k]).ci95:.3f}{against}")
        first = first or pooled


if __name__ == "__main__":
    main()
