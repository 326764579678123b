"""Recommend to somebody who has rated a few items, say why, and ask what is worth knowing."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from innerloop.apps.recsys.onboarding import most_telling
from innerloop.core import tree
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.types import Batch, Params
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.learners.closed_form.alpaca import ALPaCA, Posterior, solved
from innerloop.problems import of_record
from innerloop.problems.ratings import RatingTasks
from innerloop.tasks.notices import warn
from innerloop.tasks.ratings.encoding import Encoding
from innerloop.tasks.ratings.read import ratings_of_one
from innerloop.tasks.ratings.table import Ratings

_NEAR, _REASONS = 3, 2
_COMPARED = 100
"""Characters of what is called like no item, by which the nearest are looked for."""


class Recommended(NamedTuple):
    """An item that somebody may like."""

    item: str
    title: str
    rating: float
    """Foreseen, within the scale."""
    deviation: float
    """How far the rating may be from that."""
    because: tuple[tuple[str, float], ...]
    """Titles of rated items that raise it most, and by how much."""

    def __str__(self) -> str:
        why = ", ".join(f"{title} ({share:+.2f})" for title, share in self.because)
        return f"{self.rating:.2f} ± {self.deviation:.2f}  {self.title}" + (f", because of {why}" if why else "")


@dataclass(frozen=True, eq=False)
class _User:
    """What is known of the one who is recommended to."""

    ratings: dict[int, float]
    """By the item's position."""
    adapted: Posterior


class Recommender:
    """A run of `innerloop train alpaca` on ratings, in use: `Recommender.load(run).fit(ratings).recommend()`."""

    def __init__(self, learner: ALPaCA, params: Params, table: Ratings, encoding: Encoding):
        """A recommender of what was trained.

        Args:
            learner: As trained.
            params: Its meta-parameters.
            table: The ratings that it was trained on.
            encoding: What meta-training knows of their items.
        """
        self._learner, self._params, self._table, self._encoding = learner, params, table, encoding
        self._user: _User | None = None

    @classmethod
    def load(cls, run: str | Path, context: Context = Context()) -> Self:
        """The recommender of a run folder.

        Raises:
            InputError: It is no run of alpaca on ratings of users, or its data have changed.
        """
        record = read_config(run).get("record") or {}
        problem = of_record(record["task"]) if record.get("task") else None
        learner, params = load_run(run, context.allow)
        if not isinstance(problem, RatingTasks) or not isinstance(learner, ALPaCA) or problem.task != "user":
            raise InputError(
                f"{run} recommends nothing: train on ratings of users by alpaca, which says how sure it is and why "
                "(innerloop train alpaca --data insteval)"
            )
        sampler = problem.unseen(record, context, "train", 0)
        return cls(learner, params, sampler.table, sampler.encoding)

    def fit(self, ratings: Mapping[str, float] | str | Path) -> Self:
        """Adapt to somebody's ratings, in milliseconds; nobody is remembered but the last one.

        Args:
            ratings: By an item's name or title; or a CSV file with the columns item and rating, and perhaps time. Of
                several ratings of one item the latest stays, and how many were left out is said. None at all is
                allowed.

        Raises:
            InputError: An item is not known, where the nearest titles are named, or a rating is outside of the scale.
        """
        low, high = self._table.scale
        rows = list(ratings.items()) if isinstance(ratings, Mapping) else ratings_of_one(expanded(ratings), (low, high))
        known: dict[int, float] = {}
        for item, value in rows:
            if not low <= value <= high:
                raise InputError(f"the rating {value:g} is outside of the scale from {low:g} to {high:g}")
            known[self.find(item)] = float(value)
        if len(known) < len(rows):
            warn(f"{len(rows) - len(known)} ratings of an item that was rated again later were left out")
        at = np.fromiter(known, np.int64, len(known))
        y = torch.tensor(list(known.values()), dtype=torch.float32)[:, None]
        with torch.no_grad():
            self._user = _User(known, self._learner.adapt(self._params, Batch(self._inputs(at), y)))
        return self

    def predict(self, items: Sequence[str]) -> list[float]:
        """Foreseen ratings of items, by name or title.

        Raises:
            InputError: `fit` was not called, or an item is not known.
        """
        at = [self.find(item) for item in items]
        return self._scaled(self._foreseen(self._fitted.adapted)[0][at]).tolist()

    def recommend(self, top: int = 10, familiarity: float = 0.0) -> list[Recommended]:
        """Items that are not rated yet, by the rating that is foreseen, best first.

        Args:
            top: How many.
            familiarity: What the logarithm of how many have rated an item adds to its rating in the order: 0 finds what
                is liked however rare, 1 what is also likely to be met.

        Raises:
            InputError: `fit` was not called, fewer than one item is asked for, none is left, or familiarity is
                negative.
        """
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        if not familiarity >= 0:
            raise InputError(f"familiarity must not be negative, got {familiarity}")
        user = self._fitted
        mean, deviation = self._foreseen(user.adapted)
        open_, order = self._open(), self.scores(familiarity)
        best = open_[order[open_].argsort(descending=True, stable=True)[:top]]
        shares = self._shares(user, best)
        rated = list(user.ratings)
        recommended = []
        for row, i in enumerate(best.tolist()):
            strongest = shares[row].argsort(descending=True)[:_REASONS].tolist()
            because = tuple((self.title(rated[j]), float(shares[row, j])) for j in strongest if shares[row, j] > 0)
            rating = float(self._scaled(mean[i]))
            name = self._table.item_names[i]
            recommended.append(Recommended(name, self.title(i), rating, float(deviation[i]), because))
        return recommended

    def scores(self, familiarity: float = 0.0) -> Tensor:
        """[items] what `recommend` orders by; arguments and errors as there."""
        mean, _ = self._foreseen(self._fitted.adapted)
        return mean.double() + familiarity * from_numpy(np.log1p(self._encoding.counts))

    def ask(self, count: int = 5) -> list[str]:
        """Titles of the items to ask for next, the most telling first; popular ones, which people know, before others.

        Raises:
            InputError: `fit` was not called, fewer than one item is asked for, or none is left.
        """
        if count < 1:
            raise InputError(f"ask for at least 1 item, got {count}")
        open_, basis, noise = self._open(), self._known.basis, float(self._params["log_sigma"].exp())
        popular = from_numpy(self._encoding.counts / max(1, self._encoding.counts.max()))
        chosen = most_telling(
            self._fitted.adapted.precision, noise, basis[open_], popular[open_], basis, popular, count
        )
        return [self.title(int(open_[i])) for i in chosen]

    def find(self, item: str) -> int:
        """The position of an item, by its name or its title. A name that is another's title as well is said.

        Raises:
            InputError: It is not known, or several have the title.
        """
        titled = self._titled.get(item.strip().casefold(), ())
        if (named := self._named.get(item)) is not None:
            if (other := next((i for i in titled if i != named), None)) is not None:
                warn(
                    f"'{item}' is taken for the name of '{self.title(named)}', not for the title of "
                    f"{self._table.item_names[other]}"
                )
            return named
        if len(titled) > 1:
            titles = ", ".join(f"'{self.title(i)}'" for i in titled[:_NEAR])
            raise InputError(f"{len(titled)} items are called '{item}': say which, such as {titles}")
        if not titled:
            called = {title: some[0] for title, some in self._titled.items() if len(some) == 1} | self._named
            near = difflib.get_close_matches(item[:_COMPARED].casefold(), called, _NEAR, 0.4)
            titles = ", ".join(f"'{self.title(called[n])}'" for n in near)
            raise InputError(
                f"there is no item '{item[:_COMPARED]}'" + (f"; the nearest are {titles}" if titles else "")
            )
        return titled[0]

    def title(self, position: int) -> str:
        """What people call the item at a position; its name is added where several are called so."""
        name = self._table.item_names[position]
        title = self._table.titles[position] if self._table.titles else name
        return f"{title} ({name})" if len(self._titled.get(title.casefold(), ())) > 1 else title

    @property
    def basis(self) -> Tensor:
        """[items, b] what the weights that are adapted to somebody multiply."""
        return self._known.basis

    @property
    def _fitted(self) -> _User:
        if self._user is None:
            raise InputError("nobody's ratings are known: call fit first, with an empty dict where there are none")
        return self._user

    @cached_property
    def _named(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._table.item_names)}

    @cached_property
    def _titled(self) -> dict[str, tuple[int, ...]]:
        positions: dict[str, tuple[int, ...]] = {}
        for i, title in enumerate(self._table.titles):
            positions[title.casefold()] = (*positions.get(title.casefold(), ()), i)
        shared = [(title, some) for title, some in positions.items() if len(some) > 1]
        return positions | {
            f"{title} ({self._table.item_names[i]})".casefold(): (i,) for title, some in shared for i in some
        }

    @cached_property
    def _known(self) -> "_Items":
        """What is the same for everybody, once for all items: their features, the head's answers, the basis."""
        with torch.no_grad():
            inputs = self._inputs(np.arange(len(self._table.item_names)))
            params, learner = self._params, self._learner
            features = learner.encoder.apply(tree.part(params, "encoder"), inputs)
            head = learner.head.apply(tree.part(params, "head"), features)[:, 0]
            return _Items(head, learner.basis.apply(tree.part(params, "basis"), features))

    def _inputs(self, items: np.ndarray) -> dict[str, Tensor]:
        return {name: from_numpy(rows) for name, rows in self._encoding.rows(None, items).items()}

    def _foreseen(self, adapted: Posterior) -> tuple[Tensor, Tensor]:
        """[items] ratings and their deviations."""
        known = self._known
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(adapted.precision), known.basis.T, upper=False)
        noise = float(self._params["log_sigma"].exp())
        return known.head + (known.basis @ solved(adapted))[:, 0], (half.square().sum(0) + noise**2).sqrt()

    def _shares(self, user: _User, items: Tensor) -> Tensor:
        """[items, rated] what each rated item adds to a foreseen rating; together, all that differs from nobody's."""
        at, known = list(user.ratings), self._known
        noise = float(self._params["log_sigma"].exp())
        left = torch.tensor(list(user.ratings.values())) - known.head[at]
        weights = torch.linalg.solve(user.adapted.precision, known.basis[at].T * left / noise**2)  # [b, rated]
        return known.basis[items] @ weights

    def _open(self) -> Tensor:
        """Positions of items that are not rated yet, and that meta-training knows."""
        known = from_numpy(self._encoding.counts > 0)
        known[list(self._fitted.ratings)] = False
        if not known.any():
            raise InputError(f"no item is left: {len(self._fitted.ratings)} are rated, and no other is known")
        return known.nonzero()[:, 0]

    def _scaled(self, ratings: Tensor) -> Tensor:
        return ratings.clamp(*self._table.scale)


class _Items(NamedTuple):
    head: Tensor  # [items]
    basis: Tensor  # [items, b]
