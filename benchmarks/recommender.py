"""A recommender on new users of real ratings: full rankings, asking, and times.

    python -m benchmarks.recommender movielens

Rankings are of all items that the user was not told to have rated. How much an item's being known counts is chosen on
meta-validation users, for each row by itself, from five values.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.ranked_items import Scorer, ranked
from innerloop.apps.recsys.onboarding import most_telling
from innerloop.apps.recsys.recommender import Recommender
from innerloop.core.context import Context
from innerloop.core.interval import difference
from innerloop.engine import meta_train
from innerloop.learners.closed_form.alpaca import ALPaCA
from innerloop.problems.rating_factors import factorised
from innerloop.problems.ratings import RatingTasks
from innerloop.runs.defaults import defaults
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import TRAIN

WEIGHTS = (0.0, 0.2, 0.4, 0.8, 1.6)
"""Of the logarithm of how many have rated an item."""
ASKED = 5


def trained(problem: RatingTasks, seed: int = 0) -> tuple[Recommender, float]:
    """A recommender, and the deviation of its noise."""
    options, table = defaults("alpaca", problem.data), problem.load(Context())
    learner = problem.learner(ALPaCA, options.fields, options.network, table)  # pyright: ignore[reportArgumentType]
    tasks = problem.train(table, "episodes", seed)
    params = meta_train(learner, tasks, replace(options.train, seed=seed, plan="vmap"))
    return Recommender(learner, params, table, tasks.encoding), float(params["log_sigma"].exp())  # type: ignore


def scorers(recommender: Recommender, tests: RatingSampler) -> dict[str, Scorer]:
    """Rankings by their names."""
    known, table = tests.encoding, tests.table
    means, _ = known.means(None, np.arange(len(known.counts)))
    factors = factorised(table, tests.roles == TRAIN, means)

    def alpaca(items: np.ndarray, ratings: np.ndarray) -> torch.Tensor:
        pairs = zip(items.tolist(), ratings.tolist(), strict=True)
        return recommender.fit({table.item_names[i]: rating for i, rating in pairs}).scores()

    return {
        "item mean": lambda items, ratings: torch.from_numpy(means),
        "matrix factorisation": lambda items, ratings: torch.from_numpy(
            means + factors.folded(items, ratings - means[items])
        ),
        "alpaca": alpaca,
    }


def asking(recommender: Recommender, noise: float, tests: RatingSampler) -> torch.Tensor:
    """[users, 2] absolute error on a third of a user's ratings, after 5 of the others: chosen ones, random ones."""
    basis, table, rows = recommender.basis, tests.table, []
    counts = torch.from_numpy(tests.encoding.counts).double()
    for user in range(len(tests)):
        own = np.random.default_rng(user).permutation(tests.rows(user))
        asked, open_ = np.split(own, [len(own) // 3 + 1])
        candidates = basis[torch.from_numpy(table.items[open_])]
        prior = torch.eye(basis.shape[1])
        best = most_telling(prior, noise, candidates, torch.ones(len(open_)), basis, counts, ASKED)
        errors = []
        for chosen in (open_[best], open_[:ASKED]):
            named = {table.item_names[i]: v for i, v in zip(table.items[chosen], table.values[chosen], strict=True)}
            foreseen = recommender.fit(named).scores()[torch.from_numpy(table.items[asked])]
            errors.append(float((foreseen - torch.from_numpy(table.values[asked])).abs().mean()))
        rows.append(errors)
    return torch.tensor(rows, dtype=torch.float64)


def main() -> None:
    """Print the table, what asking is worth, and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    problem = RatingTasks(data=parser.parse_args().data)
    table = problem.load(Context())
    validation, tests = (problem.episodes(table, split, 77) for split in ("validation", "test"))
    recommender, noise = trained(problem)
    popular = np.log1p(tests.encoding.counts)
    popularity = ranked(lambda items, ratings: torch.from_numpy(popular), tests, range(len(tests)))
    print(f"| {problem.data}, {len(tests)} users | weight of popularity | top 10 | nDCG above popularity |")
    print(f"| --- | --- | --- | --- |\n| popularity | | {popularity} | |", flush=True)
    for name, score in scorers(recommender, tests).items():

        def together(items: np.ndarray, ratings: np.ndarray, weight: float, score: Scorer = score) -> torch.Tensor:
            return score(items, ratings).double() + weight * torch.from_numpy(popular)

        def of(weight: float, split: RatingSampler, together=together):
            return ranked(partial(together, weight=weight), split, range(len(split)))

        best = max(WEIGHTS, key=lambda weight: float(of(weight, validation).ndcg.mean()))
        for weight in dict.fromkeys((0.0, best)):
            found = of(weight, tests)
            gap = found.above(popularity)
            print(f"| {name} | {weight} | {found} | {gap.mean:+.4f} ± {gap.ci95:.4f} |", flush=True)
    errors = asking(recommender, noise, tests)
    gap = difference(errors[:, 0], errors[:, 1])
    means = errors.mean(0)
    print(f"{ASKED} asked: {means[0]:.4f}, at random {means[1]:.4f}, {gap.mean:+.4f} ± {gap.ci95:.4f}")
    ratings = dict.fromkeys(table.item_names[:10], 3.0)
    for what, work in (
        ("adapting to a user", lambda: recommender.fit(ratings)),
        ("a list of 10", recommender.recommend),
    ):
        start = time.perf_counter()
        for _ in range(20):
            work()
        print(f"{what}: {1000 * (time.perf_counter() - start) / 20:.1f} ms ({len(table.item_names)} items)")


if __name__ == "__main__":
    main()
