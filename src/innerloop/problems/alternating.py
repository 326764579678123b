"""Alternating least squares of the package `implicit`, where it is installed, as a row beside learners."""

import importlib.util

import numpy as np

from innerloop.core.aligned import from_numpy
from innerloop.core.types import Params
from innerloop.problems.item_baselines import FoldedIn
from innerloop.tasks.notices import Say, warn
from innerloop.tasks.ratings.table import Ratings

SIZE, DECAY, ALPHA, ROUNDS = 32, 20.0, 5.0, 15
"""Chosen on meta-validation users of three folds of movielens."""


def alternating(table: Ratings, rows: np.ndarray, seed: int, say: Say = warn) -> tuple[FoldedIn, Params] | None:
    """Factors of what users took, and the learner that folds a new user in; None, which is said, without the package.

    Args:
        table: What they took.
        rows: [rows] bool, those that are learned from.
        seed: Of the first factors.
        say: Where it is said that the package is missing.
    """
    if importlib.util.find_spec("implicit") is None:
        say("the row of implicit's ALS is left out, which needs an optional package: pip install 'innerloop[als]'")
        return None
    from implicit.cpu.als import AlternatingLeastSquares  # with what takes a second to import
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(
        factors=SIZE, regularization=DECAY, alpha=ALPHA, iterations=ROUNDS, random_state=seed, num_threads=1
    )
    shape = len(table.user_names), len(table.item_names)
    known = csr_matrix((np.ones(int(rows.sum()), np.float32), (table.users[rows], table.items[rows])), shape)
    model.fit(known, show_progress=False)
    items = np.concatenate([np.zeros((1, SIZE), np.float32), np.asarray(model.item_factors)])
    # `implicit` gives what was taken the weight alpha, not 1 + alpha.
    return FoldedIn(behaviour=True, decay=DECAY, alpha=ALPHA - 1), {"items": from_numpy(items)}
