"""Recommend to somebody who has rated, or taken, a few items, say why, and ask what is worth knowing."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from innerloop.apps.recsys.catalogue import Catalogue, Item
from innerloop.apps.recsys.onboarding import most_telling
from innerloop.apps.recsys.reasons import Reasons, features_that_count
from innerloop.apps.recsys.tastes import Behaviour, Linear, Taste
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.types import Params
from innerloop.engine import load as load_run
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate.diversity import diverse
from innerloop.learners.closed_form.alpaca import ALPaCA
from innerloop.learners.gradient.anil import ANIL
from innerloop.problems import of_record
from innerloop.problems.ratings import RatingTasks
from innerloop.tasks.notices import Say, warn
from innerloop.tasks.ratings.encoding import Encoding
from innerloop.tasks.ratings.read import items_of_one, ratings_of_one
from innerloop.tasks.ratings.somebody import About, Column, columns_of, knowing
from innerloop.tasks.ratings.table import Ratings

_REASONS = 2
_LEARNERS = {False: ALPaCA, True: ANIL}
"""By whether a run is on what people took."""


class Recommended(NamedTuple):
    """An item that somebody may like."""

    item: str
    title: str
    rating: float
    """Foreseen, within the scale; of a run on clicks and the like, the chance that it is the one that is taken next."""
    deviation: float | None
    """How far the rating may be from that; None of a chance."""
    because: tuple[tuple[str, float], ...]
    """Titles of rated items that raise it most, and by how much; of a run on clicks, of the most alike ones."""
    features: Reasons = ()
    """Its own features that raise it most, as `column: value`, and by how much."""

    def __str__(self) -> str:
        why = ", ".join(f"{title} ({share:+.2f})" for title, share in self.because)
        number = f"{self.rating:.2%}" if self.deviation is None else f"{self.rating:.2f} ± {self.deviation:.2f}"
        own = ", ".join(f"{feature} ({share:+.2f})" for feature, share in self.features)
        return f"{number}  {self.title}" + (f", because of {why}" if why else "") + (f"; {own}" if own else "")


@dataclass(frozen=True, eq=False)
class _User:
    """What is known of the one who is recommended to."""

    ratings: dict[int, float]
    """By the item's position."""
    adapted: Any
    taste: Taste
    """All items as they are to somebody of whom this is known."""
    encoding: Encoding


class Recommender:
    """A run on ratings (alpaca) or on what people took (anil), in use: `Recommender.load(run).fit(me).recommend()`."""

    def __init__(self, learner: ALPaCA | ANIL, params: Params, table: Ratings, encoding: Encoding):
        """A recommender of what was trained.

        Args:
            learner: As trained: `alpaca` on ratings, `anil` on behaviour.
            params: Its meta-parameters.
            table: The ratings that it was trained on.
            encoding: What meta-training knows of their items.
        """
        self._learner, self._params, self._table, self._encoding = learner, params, table, encoding
        self._items = Catalogue(table)
        self._taste = self._of(encoding)
        self._user: _User | None = None

    @classmethod
    def load(cls, run: str | Path, context: Context = Context()) -> Self:
        """The recommender of a run folder.

        Raises:
            InputError: It is no run of alpaca on ratings of users, nor of anil on what they took, or its data have
                changed.
        """
        record = read_config(run).get("record") or {}
        problem = of_record(record["task"]) if record.get("task") else None
        learner, params = load_run(run, context.allow)
        wanted = _LEARNERS[problem.implicit] if isinstance(problem, RatingTasks) and problem.task == "user" else ()
        if not isinstance(problem, RatingTasks) or not isinstance(learner, wanted):
            raise InputError(
                f"{run} recommends nothing: train on ratings of users by alpaca, which says how sure it is and why "
                "(innerloop train alpaca --data insteval), or on what they took by anil (--implicit)"
            )
        sampler = problem.unseen(record, context, "train", 0)
        return cls(learner, params, sampler.table, sampler.encoding)  # pyright: ignore[reportArgumentType]

    @property
    def behaviour(self) -> bool:
        """Whether it is of what people took, such as clicks: then nobody rates, and nothing is asked."""
        return self._table.behaviour

    @property
    def columns(self) -> list[Column]:
        """What may be told of somebody besides ratings: the features of users that the run was trained with."""
        return columns_of(self._table.user_features, self._encoding)

    def fit(
        self,
        ratings: Mapping[str, float] | Iterable[str] | str | Path,
        features: About = MappingProxyType({}),
        say: Say = warn,
    ) -> Self:
        """Adapt to somebody's ratings, in milliseconds; nobody is remembered but the last one.

        Args:
            ratings: By an item's name or title; or a CSV file with the columns item and rating, and perhaps time. Of
                several ratings of one item the latest stays, and how many were left out is said. None at all is
                allowed. Of a run on what people took: the items, or a file with the column item.
            features: What is known of somebody, by the names of `columns`.
            say: Where notices go, of ratings that were left out and of values that nobody has in training.

        Raises:
            InputError: An item is not known, where the nearest titles are named, a rating is outside of the scale, or
                there is no such feature.
        """
        low, high = self._table.scale
        if isinstance(ratings, str | Path):
            path = expanded(ratings)
            rows = items_of_one(path) if self.behaviour else ratings_of_one(path, (low, high))
        elif isinstance(ratings, Mapping):
            rows = list(ratings.items())
        elif self.behaviour:
            rows = [(item, 1.0) for item in ratings]
        else:
            raise InputError("of each item its rating is needed: give a dict of items and ratings")
        known: dict[int, float] = {}
        for item, value in rows:
            if self.behaviour and not value > 0:
                raise InputError(
                    f"'{item}' has the value {value:g}: name only what was taken, whose values are above 0"
                )
            if not self.behaviour and not low <= value <= high:
                raise InputError(f"the rating {value:g} is outside of the scale from {low:g} to {high:g}")
            known[self.find(item)] = 1.0 if self.behaviour else float(value)
        if len(known) < len(rows):
            again = "an item that is there again" if self.behaviour else "an item that was rated again later"
            say(f"{len(rows) - len(known)} ratings of {again} were left out")
        encoding, taste = self._encoding, self._taste
        if features:
            encoding = knowing(encoding, self._table.user_features, features, say)
            taste = self._of(encoding)
        at, values = np.fromiter(known, np.int64, len(known)), torch.tensor(list(known.values()), dtype=torch.float64)
        self._user = _User(known, taste.adapt(at, values), taste, encoding)
        return self

    def predict(self, items: Sequence[str]) -> list[float]:
        """Foreseen ratings of items, by name or title; of a run on what people took, the chance of each to be the next.

        Raises:
            InputError: `fit` was not called, or an item is not known.
        """
        at = [self.find(item) for item in items]
        return self._told()[at].tolist()

    def recommend(self, top: int = 10, familiarity: float = 0.0, diversity: float = 0.0) -> list[Recommended]:
        """Items that are not rated yet, by the rating that is foreseen, best first.

        Args:
            top: How many.
            familiarity: What the logarithm of how many have rated an item adds to its rating in the order: 0 finds what
                is liked however rare, 1 what is also likely to be met.
            diversity: From 0 to 1: how much an item loses by being like one before it in the list.

        Raises:
            InputError: `fit` was not called, fewer than one item is asked for, none is left, or familiarity or
                diversity is outside of its range.
        """
        if top < 1:
            raise InputError(f"top must be at least 1, got {top}")
        if not 0 <= familiarity < math.inf:
            raise InputError(f"familiarity must be a number that is not negative, got {familiarity}")
        user, open_ = self._fitted, self._open()
        taste = user.taste
        order = self.scores(familiarity)[open_]
        best = open_[diverse(order, taste.vectors[open_], top, diversity)]
        rated, values = list(user.ratings), torch.tensor(list(user.ratings.values()))
        shares = taste.shares(user.adapted, rated, values, best)
        own = features_that_count(self._table, user.encoding, best.tolist(), lambda x: taste.answer(user.adapted, x))
        foreseen = self._told()
        sure = taste.deviations(user.adapted) if isinstance(taste, Linear) else None
        recommended = []
        for row, i in enumerate(best.tolist()):
            strongest = shares[row].argsort(descending=True)[:_REASONS].tolist()
            because = tuple((self.title(rated[j]), float(shares[row, j])) for j in strongest if shares[row, j] > 0)
            deviation = None if sure is None else float(sure[i])
            name = self._table.item_names[i]
            recommended.append(Recommended(name, self.title(i), float(foreseen[i]), deviation, because, own[row]))
        return recommended

    def scores(self, familiarity: float = 0.0) -> Tensor:
        """[items] what `recommend` orders by without diversity; arguments and errors as there."""
        scores = self._fitted.taste.scores(self._fitted.adapted)
        return scores.double() + familiarity * from_numpy(np.log1p(self._encoding.counts))

    def ask(self, count: int = 5, without: Sequence[str] = ()) -> list[str]:
        """Titles of the items to ask for next, the most telling first; popular ones, which people know, before others.

        Args:
            count: How many.
            without: Items by name or title that are not asked for, such as those that somebody could not rate.

        Raises:
            InputError: `fit` was not called, fewer than one item is asked for, none is left, or the run is on what
                people took.
        """
        if count < 1:
            raise InputError(f"ask for at least 1 item, got {count}")
        taste = self._fitted.taste
        if not isinstance(taste, Linear):
            raise InputError("the run is on what people took, which nobody is asked to rate: name some of it instead")
        open_ = self._open([self.find(item) for item in without])
        basis, noise = taste.known.basis, taste.noise
        popular = from_numpy(self._encoding.counts / max(1, self._encoding.counts.max()))
        chosen = most_telling(
            self._fitted.adapted.precision, noise, basis[open_], popular[open_], basis, popular, count
        )
        return [self.title(int(open_[i])) for i in chosen]

    def another(self) -> Self:
        """A recommender of the same run to somebody else, as for another thread; what is known of items is shared."""
        other = copy.copy(self)
        other._user = None
        return other

    def search(self, text: str, count: int = 20) -> list[Item]:
        """Items whose titles have words that begin with those of a text, those that most have rated first.

        Args:
            text: What is looked for; empty: all items.
            count: How many at most.
        """
        return self._items.search(text, self._encoding.counts, count)

    def item(self, position: int) -> Item:
        """The item at a position, by its name and its title."""
        return self._items.item(position)

    def named(self, name: str) -> Item | None:
        """The item of this name; None: there is none."""
        return self._items.named(name)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._table.item_names)

    def find(self, item: str) -> int:
        """The position of an item, by its name or its title. A name that is another's title as well is said.

        Raises:
            InputError: It is not known, or several have the title.
        """
        return self._items.find(item)

    def title(self, position: int) -> str:
        """What people call the item at a position; its name is added where several are called so."""
        return self._items.title(position)

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest rating."""
        return self._table.scale

    @property
    def step(self) -> float | None:
        """What the ratings that meta-training has are multiples of: 1, or half; None where they are finer."""
        return next((step for step in (1.0, 0.5) if not (self._table.values % step).any()), None)

    @property
    def ratings(self) -> dict[str, float]:
        """What `fit` was told, by the items' names.

        Raises:
            InputError: `fit` was not called.
        """
        return {self._table.item_names[i]: value for i, value in self._fitted.ratings.items()}

    @property
    def basis(self) -> Tensor:
        """[items, d] what says how alike items are; of ratings, what the weights that are adapted multiply."""
        taste = self._taste if self._user is None else self._user.taste
        return taste.known.basis if isinstance(taste, Linear) else taste.vectors

    def _of(self, encoding: Encoding) -> Taste:
        linear = isinstance(self._learner, ALPaCA)
        return (Linear if linear else Behaviour)(self._learner, self._params, encoding)  # pyright: ignore

    @property
    def _fitted(self) -> _User:
        if self._user is None:
            raise InputError("nobody's ratings are known: call fit first, with an empty dict where there are none")
        return self._user

    def _told(self) -> Tensor:
        """[items] ratings within the scale, or chances among what is open."""
        scores = self._fitted.taste.scores(self._fitted.adapted)
        if not self.behaviour:
            return scores.clamp(*self._table.scale)
        open_, chances = self._open(), torch.zeros_like(scores)
        chances[open_] = scores[open_].softmax(0)
        return chances

    def _open(self, without: Sequence[int] = ()) -> Tensor:
        """Positions of items that are not rated yet, and that something is known of."""
        known = from_numpy(self._encoding.candidates.copy())
        known[[*self._fitted.ratings, *without]] = False
        if not known.any():
            also = f", {len(without)} are left out" if len(without) else ""
            raise InputError(f"no item is left: {len(self._fitted.ratings)} are rated{also}, and no other is known")
        return known.nonzero()[:, 0]
