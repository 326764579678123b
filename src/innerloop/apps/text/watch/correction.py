"""Shares as they are, of shares as a classifier sees them: by what it takes for what on held-out examples.

Counts of answers are a mixture of the rows of its confusion, whose weights are the true shares. Their most likely value
is found by expectation and maximisation, as Saerens, Latinne and Decaestecker 2002
(https://doi.org/10.1162/089976602753284446), on answers in place of probabilities: what a window has to keep is its
counts. Where the inverse of the confusion gives shares between 0 and 1 it is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from innerloop.core.errors import InputError
from innerloop.fewshot import evaluation
from innerloop.fewshot.classifier import FewShotClassifier

_PRIOR = 1.0
"""Examples of every class that are thought to be spread over all answers: what was never confused may be tomorrow."""
_STEPS = 500
_CLOSE = 1e-6
_DRAWS = 200
_SEED = 0x5EA0
_TAILS = (0.025, 0.975)
_LARGEST = 40
"""Answers of a confusion whose interval is drawn: beyond, it would take longer than the answers."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """What a classifier answers to examples of every class."""

    counts: np.ndarray
    """[classes, answers] held-out examples."""

    @property
    def rates(self) -> np.ndarray:
        """[classes, answers] chances, which add up to 1 along answers."""
        counts = self.counts + _PRIOR / self.counts.shape[1]
        return counts / counts.sum(1, keepdims=True)


def measured(classifier: FewShotClassifier) -> Confusion | None:
    """The confusion of a taught task by cross-validation on its examples; None: it has too few to hold some out."""
    try:
        result = evaluation.cross_validate(classifier)
    except InputError:
        return None
    return of_counts(result.confusion.numpy(), result.reject)


def of_counts(held_out: np.ndarray, reject: float | None) -> Confusion:
    """The confusion of a task that was asked about examples of its classes.

    Args:
        held_out: [classes, classes + 1] counts of answers, "none of these" last.
        reject: Share of examples of no class that is taken for one, so that "none of these" is a class as well, which
            is answered by chance at that rate; None: it is never said.
    """
    counts = held_out.astype(float)
    if reject is None:
        return Confusion(counts[:, :-1])
    known = counts.shape[0]
    strange = np.full(known + 1, reject / known)
    strange[-1] = 1 - reject
    return Confusion(np.vstack([counts, counts.sum() / known * strange]))


def adjusted(answers: Sequence[int] | np.ndarray, rates: np.ndarray) -> np.ndarray:
    """[..., classes] the most likely shares of classes.

    Args:
        answers: [..., answers] how many events got each answer, at least one.
        rates: [..., classes, answers] chances of every answer, by class.
    """
    seen = np.asarray(answers, dtype=float)
    seen = seen / seen.sum(-1, keepdims=True)
    shares = np.full((*np.broadcast_shapes(seen.shape[:-1], rates.shape[:-2]), rates.shape[-2]), 1 / rates.shape[-2])
    for _ in range(_STEPS):
        expected = np.einsum("...j,...jk->...k", shares, rates)
        following = shares * np.einsum("...k,...jk->...j", seen / expected, rates)
        done = np.abs(following - shares).max() < _CLOSE
        shares = following
        if done:
            break
    return shares


def ends(answers: Sequence[int], confusion: Confusion) -> np.ndarray | None:
    """[2, classes] ends of a 95% interval of adjusted shares; None: there are too many classes.

    It is of draws from Dirichlet distributions of the shares of answers and of each row of the confusion, the same ones
    every time: both have been counted on a sample.
    """
    if len(answers) > _LARGEST:
        return None
    rng = np.random.default_rng(_SEED)
    prior = _PRIOR / len(answers)
    seen = rng.dirichlet(np.asarray(answers) + prior, _DRAWS)
    rows = [rng.dirichlet(row + prior, _DRAWS) for row in confusion.counts]
    drawn = adjusted(seen, np.stack(rows, 1))
    return np.quantile(drawn, _TAILS, axis=0)


def both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Rates of pairs of answers by pairs of classes, of two classifiers whose errors do not depend on each other."""
    return np.kron(one, other)


def expected(rates: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[answers] shares of answers where classes have these shares."""
    return shares @ rates
