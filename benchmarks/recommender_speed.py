"""How fast a recommender is: users adapted in one piece against one after another, and a ranking of 10,000 items.

    python -m benchmarks.recommender_speed

Ratings are drawn, and networks are as they begin: neither changes the time. Users have 1 to 10 ratings, which are
masked in the batch. Everything is on one thread, and the fastest of a few runs is taken.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from innerloop.apps.recsys.recommender import Recommender
from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.learners.closed_form.alpaca import ALPaCA
from innerloop.learners.gradient.anil import ANIL
from innerloop.nn.mlp import Linear
from innerloop.nn.ratings import SkipHead
from innerloop.problems.ratings import encoder_of
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import roles
from innerloop.tasks.ratings.table import Ratings, Scale, tabled

ITEMS, USERS, EACH = 10_000, 3_000, 25


def drawn(seed: int = 0) -> Ratings:
    """Ratings of some of many items by many users."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), EACH)
    items = np.concatenate([rng.choice(ITEMS, EACH, replace=False) for _ in range(USERS)])
    values = rng.integers(1, 6, len(users)).astype(float)
    return tabled("drawn", [f"u{u}" for u in users], [f"i{i}" for i in items], values.tolist(), None, Scale(1, 5))


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print ratios and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=500, help="adapted at once")
    count = parser.parse_args().users
    torch.set_num_threads(1)
    table = drawn()
    train = RatingSampler(table=table, roles=roles(table, "user-cold"), shots=10, fewest_shots=1, queries=10)
    encoder = encoder_of(train.encoding)
    head = SkipHead(inputs=encoder.outputs)
    learners: list[Learner] = [
        ANIL(encoder=encoder, head=head, inner_lr=0.1, inner_steps=3, objective=regression),
        ALPaCA(encoder=encoder, head=head, basis=Linear(encoder.outputs, encoder.outputs)),
    ]
    supports = train.episodes(0, count).support
    one_by_one = [tree.slice(supports, i) for i in range(count)]
    for learner in learners:
        params, name = learner.init(0), type(learner).__name__
        with torch.no_grad():
            adapt = partial(learner.adapt, params)
            together = torch.vmap(adapt, in_dims=(tree.axes(supports),))
            loop = best(lambda run=adapt: [run(batch) for batch in one_by_one], 3)
            vector = best(lambda run=together: run(supports))
        print(
            f"{name}: {count / vector:,.0f} users a second together, {count / loop:,.0f} one by one, "
            f"{loop / vector:.1f} times as fast",
            flush=True,
        )
    alpaca = learners[1]
    assert isinstance(alpaca, ALPaCA)
    recommender = Recommender(alpaca, alpaca.init(0), table, train.encoding)
    known = {name: 1.0 + i % 5 for i, name in enumerate(table.item_names[:10])}
    recommender.fit(known).recommend()
    times = {
        "adapting to one user": best(lambda: recommender.fit(known)),
        f"a list of 10 of {len(table.item_names):,} items with reasons": best(recommender.recommend),
        "the same, diverse": best(lambda: recommender.recommend(10, diversity=0.5)),
        "scores of all items": best(recommender.scores),
    }
    for what, seconds in times.items():
        print(f"{what}: {1000 * seconds:.2f} ms")


if __name__ == "__main__":
    main()
