"""New users (or items) of real ratings after ten of them: adapted learners beside means, paired over users.

    python -m benchmarks.recommendation insteval
    python -m benchmarks.recommendation insteval --task item
    python -m benchmarks.recommendation movielens --folds 0 1 2 3 4
    python -m benchmarks.recommendation movielens --folds 0 1 2 3 4 --text-encoder wordllama
    python -m benchmarks.recommendation movielens --folds 0 1 2 3 4 --implicit --learners anil

Every learner is trained with its defaults, which were chosen on meta-validation users. Numbers are means over tasks of
the folds and over seeds; ± is a 95% interval over tasks, each the mean over seeds, where folds share no task.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.core.interval import difference, interval
from innerloop.core.learner import Learner
from innerloop.core.score import Score
from innerloop.core.scores import named
from innerloop.engine import meta_train
from innerloop.evaluate import meta_test
from innerloop.problems.base import Baseline
from innerloop.problems.rating_rows import of_behaviour, of_ratings
from innerloop.problems.ratings import RatingNetworkOptions, RatingTasks
from innerloop.runs.defaults import defaults, learner_class
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import TRAIN
from innerloop.tasks.scored import Scored

CLICKS_FIELDS, CLICKS_TRAIN = {"inner_lr": 0.5}, {"steps": 1000, "meta_lr": 5e-3}
"""How anil is trained on what people take, chosen on meta-validation users of movielens."""


def scores(learner: Learner, params, tests: RatingSampler, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Numbers of every task, by score."""
    return {
        name: meta_test(learner, params, Scored(tests, name), len(tests), curve=False, quiet=True).scores
        for name in names
    }


def measured(name: str, problem: RatingTasks, seeds: list[int]) -> dict[str, list[dict[str, torch.Tensor]]]:
    """Rows of a table for one learner on one fold: a list over seeds."""
    options, rows = defaults(name, problem.data), dict[str, list]()
    cls, table, names = learner_class(name), problem.load(Context()), (problem.score.name, *problem.beside)
    assert isinstance(options.network, RatingNetworkOptions)
    values, train = dict(options.fields), options.train
    if problem.implicit:
        values, train = values | CLICKS_FIELDS, replace(train, **CLICKS_TRAIN)
    for seed in seeds:
        learner = problem.learner(cls, values, options.network, table)
        start = time.process_time()
        config = replace(train, seed=seed, plan="vmap", validate_every=0)
        params = meta_train(learner, problem.train(table, "episodes", seed), config)
        seconds = time.process_time() - start
        tests = problem.episodes(table, "test", 77)
        rows.setdefault(name, []).append(scores(learner, params, tests, names))
        if hasattr(learner, "inner_steps"):
            unadapted = replace(learner, inner_steps=0)
            rows.setdefault(f"{name}, unadapted", []).append(scores(unadapted, params, tests, names))
        print(f"  {name}, fold {problem.fold}, seed {seed}: {seconds:.1f} s of processor time", flush=True)
    return rows


def beside(problem: RatingTasks, tests: RatingSampler) -> Iterable[Baseline]:
    """What stands beside learners, the row that they are paired with first."""
    return (of_behaviour if problem.implicit else of_ratings)(tests, tests.roles == TRAIN, 0)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--task", choices=("user", "item"), default="user")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--learners", nargs="*", default=["anil", "alpaca"])
    parser.add_argument("--text-encoder")
    parser.add_argument("--implicit", action="store_true")
    options = parser.parse_args()
    keep_memory()
    rows: dict[str, list[list[dict[str, torch.Tensor]]]] = {}
    usual = RatingTasks(
        data=options.data, task=options.task, text_encoder=options.text_encoder, implicit=options.implicit
    )
    first, second = usual.score, named(usual.beside[0])
    for fold in options.folds:
        problem = replace(usual, fold=fold)
        tests = problem.episodes(problem.load(Context()), "test", 77)
        for row in beside(problem, tests):
            numbers = scores(row.learner, row.params, tests, (first.name, second.name))
            rows.setdefault(row.name, []).append([numbers])
        for name in options.learners:
            for label, values in measured(name, problem, options.seeds).items():
                rows.setdefault(label, []).append(values)
    own = {label: _tasks(folds, first.name) for label, folds in rows.items()}
    strongest = next(iter(own))
    print(f"| {options.data}, {options.task}s, {len(own[strongest])} tasks | {first.title} | {second.title} | ", end="")
    print(f"against {strongest} |\n| --- | --- | --- | --- |")
    for label, values in own.items():
        gap, mean = difference(values, own[strongest]), interval(values)
        total = _total(rows[label], second)
        print(f"| {label} | {mean.mean:.4f} ± {mean.ci95:.4f} | {total:.4f} | {gap.mean:+.4f} ± {gap.ci95:.4f} |")
    for name in options.learners:
        if f"{name}, unadapted" in own:
            gap = difference(own[name], own[f"{name}, unadapted"])
            print(f"{name} against unadapted: {gap.mean:+.4f} ± {gap.ci95:.4f}")
        each_seed = [
            torch.cat([fold[i][first.name] for fold in rows[name]]).mean().item() for i in range(len(options.seeds))
        ]
        print(f"{name}, seeds: {', '.join(f'{v:.4f}' for v in each_seed)}")


def _tasks(folds: list[list[dict[str, torch.Tensor]]], score: str) -> torch.Tensor:
    """[tasks] the mean over seeds, of all folds."""
    return torch.cat([torch.stack([seed[score][:, 0] for seed in fold]).mean(0) for fold in folds])


def _total(folds: list[list[dict[str, torch.Tensor]]], score: Score) -> float:
    """The total over the tasks of all folds of numbers that are means over seeds."""
    return score.total(torch.cat([torch.stack([seed[score.name] for seed in fold]).mean(0) for fold in folds]))


if __name__ == "__main__":
    main()
