"""New users (or items) of real ratings after ten of them: adapted learners beside means, paired over users.

    python -m benchmarks.recommendation insteval
    python -m benchmarks.recommendation insteval --task item
    python -m benchmarks.recommendation movielens --folds 0 1 2 3 4

Every learner is trained with its defaults, which were chosen on meta-validation users. Numbers are means over tasks of
the folds and over seeds; ± is a 95% interval over tasks, each the mean over seeds, where folds share no task.
"""

import argparse
import time
from dataclasses import replace

import torch

from innerloop.core.context import Context
from innerloop.core.interval import difference, interval
from innerloop.core.learner import Learner
from innerloop.engine import meta_train
from innerloop.evaluate import meta_test
from innerloop.problems.rating_baselines import each
from innerloop.problems.ratings import RatingNetworkOptions, RatingTasks
from innerloop.runs.defaults import defaults, learner_class
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.scored import Scored

STRONGEST = "item mean + user offset"


def scores(learner: Learner, params, tests: RatingSampler) -> dict[str, torch.Tensor]:
    """Numbers of every task, by score."""
    samplers = {"mae": tests, "rmse": Scored(tests, "rmse")}
    return {
        name: meta_test(learner, params, s, len(tests), curve=False, quiet=True).scores for name, s in samplers.items()
    }


def measured(name: str, problem: RatingTasks, seeds: list[int]) -> dict[str, list[dict[str, torch.Tensor]]]:
    """Rows of a table for one learner on one fold: a list over seeds."""
    options, rows = defaults(name, problem.data), dict[str, list]()
    cls, table = learner_class(name), problem.load(Context())
    assert isinstance(options.network, RatingNetworkOptions)
    for seed in seeds:
        learner = problem.learner(cls, options.fields, options.network, table)
        start = time.process_time()
        config = replace(options.train, seed=seed, plan="vmap", validate_every=0)
        params = meta_train(learner, problem.train(table, "episodes", seed), config)
        seconds = time.process_time() - start
        tests = problem.episodes(table, "test", 77)
        rows.setdefault(name, []).append(scores(learner, params, tests))
        if hasattr(learner, "inner_steps"):
            rows.setdefault(f"{name}, unadapted", []).append(scores(replace(learner, inner_steps=0), params, tests))
        print(f"  {name}, fold {problem.fold}, seed {seed}: {seconds:.1f} s of processor time", flush=True)
    return rows


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--task", default="user")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--learners", nargs="*", default=["anil", "alpaca"])
    options = parser.parse_args()
    rows: dict[str, list[list[dict[str, torch.Tensor]]]] = {}
    for fold in options.folds:
        problem = RatingTasks(data=options.data, task=options.task, fold=fold)
        tests = problem.episodes(problem.load(Context()), "test", 77)
        for _, baseline in each(tests.encoding.centre, tests.encoding.median):
            rows.setdefault(baseline.of, []).append([scores(baseline, {}, tests)])
        for name in options.learners:
            for label, values in measured(name, problem, options.seeds).items():
                rows.setdefault(label, []).append(values)
    mae = {label: _tasks(folds, "mae") for label, folds in rows.items()}
    print(f"| {options.data}, {options.task}s, {len(mae[STRONGEST])} tasks | MAE | RMSE | against {STRONGEST} |")
    print("| --- | --- | --- | --- |")
    for label, values in mae.items():
        gap = difference(values, mae[STRONGEST])
        own, rmse = interval(values), _rmse(rows[label])
        print(f"| {label} | {own.mean:.4f} ± {own.ci95:.4f} | {rmse:.4f} | {gap.mean:+.4f} ± {gap.ci95:.4f} |")
    for name in options.learners:
        if f"{name}, unadapted" in mae:
            gap = difference(mae[name], mae[f"{name}, unadapted"])
            print(f"{name} against unadapted: {gap.mean:+.4f} ± {gap.ci95:.4f}")
        each_seed = [
            torch.cat([fold[i]["mae"] for fold in rows[name]]).mean().item() for i in range(len(options.seeds))
        ]
        print(f"{name}, seeds: {', '.join(f'{v:.4f}' for v in each_seed)}")


def _tasks(folds: list[list[dict[str, torch.Tensor]]], score: str) -> torch.Tensor:
    """[tasks] the mean over seeds, of all folds."""
    return torch.cat([torch.stack([seed[score][:, 0] for seed in fold]).mean(0) for fold in folds])


def _rmse(folds: list[list[dict[str, torch.Tensor]]]) -> float:
    sums = torch.stack([torch.stack([seed["rmse"].sum(0) for seed in fold]).mean(0) for fold in folds]).sum(0)
    return (sums[0] / sums[1]).sqrt().item()


if __name__ == "__main__":
    main()
