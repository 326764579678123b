"""Ratings: a user is a task, of which a few ratings are told and others are to be foreseen."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.learner import Learner
from innerloop.core.networks import Parts
from innerloop.core.networks import roles as roles_of
from innerloop.core.objectives import regression, sampled_softmax
from innerloop.core.ranges import Count
from innerloop.core.rankings import NormalisedGain
from innerloop.core.score import Score
from innerloop.core.scores import MeanAbsoluteError
from innerloop.core.sensible import RATINGS, Sensible, Stream
from innerloop.core.types import Params, Sampler
from innerloop.encoders.text_cache import rows_of
from innerloop.evaluate.diversity import costs
from innerloop.nn.mlp import Linear
from innerloop.nn.ratings import RatingEncoder, RatingNetwork, SkipHead
from innerloop.problems.base import Baseline, Problem, Split, first_line
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions, StartOptions
from innerloop.problems.rating_rows import of_behaviour, of_ratings
from innerloop.tasks import ratings
from innerloop.tasks.ratings import RatingOptions, Ratings
from innerloop.tasks.ratings.behaviour import BehaviourSampler
from innerloop.tasks.ratings.encoding import Encoding
from innerloop.tasks.ratings.sampler import RatingSampler
from innerloop.tasks.ratings.splits import TRAIN, State, roles

_DRAWN = 50
"""Users whose lists show in a report what diversity costs."""
_USUAL = Sensible(fields={"inner_lr": 0.1, "inner_steps": 3}, train=RATINGS.train)
_TAKING_STEPS = 1000
"""How popular items are is known at the start, and what goes with what takes longer to learn."""
_FEWEST, _TRAIN_QUERIES, _HIDDEN = 3, 20, 0.05
"""In meta-training: told ratings at least, asked ones at most, and the share of items that are taken for unknown."""


@dataclass(frozen=True, kw_only=True)
class RatingNetworkOptions(StartOptions):
    """The network inside the learner."""

    embedding: Count = 16
    """Numbers that stand for an item; for a category they are half as many."""
    item_features: Count = 16
    """Numbers that are made of a pair of user and item, over which a task is adapted."""
    decision_units: tuple[Count, ...] = ()
    """Units of hidden layers of the head."""


@dataclass(frozen=True, kw_only=True)
class RatingTasks(Problem[Ratings]):
    """What a task is."""

    streams = ("episodes",)
    network_options = RatingNetworkOptions
    in_test: ClassVar[Mapping[str, Any]] = {}
    turns: ClassVar[tuple[str, ...]] = ("implicit",)

    data: str = "insteval"
    """A data set (see `innerloop list`), or a CSV file whose first line names user, item, rating and perhaps time."""
    task: Literal["user", "item"] = "user"
    """Whether a user is a task, or an item, whose raters are told apart."""
    state: State = "user-cold"
    """What is new in tests: users, items, both, only further ratings (warm), or ratings that are later."""
    fold: int = 0
    """Which of five fifths of the users (items, ratings) is the test."""
    shots: int = 10
    """Ratings that are told; meta-training tells from 3 to so many."""
    queries: int | None = None
    """At most so many of a user's other ratings are asked for in tests; None: all."""
    at_least: int = 15
    """Users with fewer ratings are no task."""
    told: Literal["random", "time"] = "random"
    """Which ratings are told; time: the earliest."""
    user_features: str | None = None
    """CSV file with a column user and one for each feature; None: nothing is known of users."""
    product_features: str | None = None
    """The same with a column item; a column title has what people call them."""
    categories: tuple[str, ...] | None = None
    """Columns of features whose numbers are names of categories, such as codes; None: none."""
    lowest: float | None = None
    """Lowest rating of the scale of a file; None: the lowest that occurs."""
    highest: float | None = None
    """Highest rating of the scale."""
    implicit: bool = False
    """Whether rows are what users did, such as clicks, plays or purchases: all other items are ranked, and a column
    rating need not be there."""
    liked: float | None = None
    """With --implicit: from which rating on a row counts; None: every row does."""
    text_encoder: str | None = None
    """The frozen encoder that reads titles, descriptions and tags of items (see `innerloop list`), so that an item
    that nobody has rated is known by them; None: they are not read."""

    @property
    def score(self) -> Score:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Ratings are foreseen; of what is clicked, all other items are ranked."""
        return NormalisedGain() if self.implicit else MeanAbsoluteError()

    @property
    def beside(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What a test tells as well."""
        return ("recall",) if self.implicit else ("rmse",)

    @classmethod
    def claims(cls, data: str) -> bool:
        return data in ratings.names() or ratings.is_ratings(Path(expanded(data)))

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {name: first_line(ratings.module(name).__doc__) for name in ratings.names()}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return _USUAL

    @classmethod
    def turned(cls, learner: type[Learner], entry: Sensible, flags: Collection[str]) -> Sensible:
        if "implicit" not in flags:
            return entry
        own = learner.sensible.get("behaviour", Sensible())
        fields, train = {**entry.fields, **own.fields}, {**entry.train, "steps": _TAKING_STEPS, **own.train}
        return replace(entry, fields=fields, train=train)

    def check(self) -> None:
        for name in ("shots", "queries", "at_least"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if self.liked is not None and not self.implicit:
            raise InputError("--liked says which ratings count as taken: give --implicit as well, or leave it out")
        if self.text_encoder is not None and self.task == "item":
            raise InputError(
                "--text-encoder reads texts of items, and with --task item users are told apart: leave it out"
            )
        if (self.lowest is None) is not (self.highest is None):
            raise InputError("a scale has two ends: give --lowest and --highest, or neither")
        if self.lowest is not None and self.highest is not None and not self.lowest < self.highest:
            raise InputError(f"--lowest must be below --highest, got {self.lowest:g} and {self.highest:g}")
        if self.at_least <= self.shots:
            raise InputError(
                f"at_least must be more than shots, got {self.at_least} and {self.shots}: one rating must be left to "
                "ask for"
            )

    def load(self, context: Context) -> Ratings:
        scale = None if self.lowest is None or self.highest is None else (self.lowest, self.highest)
        options = RatingOptions(
            user_features=self.user_features,
            item_features=self.product_features,
            categories=tuple(self.categories or ()),
            scale=scale,
            behaviour=self.implicit,
            least=self.liked,
            texts=self.text_encoder is not None,
        )
        table = ratings.load(self.data, options)
        if self.text_encoder is not None:
            table = replace(table, item_texts=rows_of(table.words, self.text_encoder, context))
        return table.turned() if self.task == "item" else table

    def train(self, material: Ratings, stream: Stream, seed: int) -> RatingSampler:
        few = {"fewest_shots": min(_FEWEST, self.shots), "queries": _TRAIN_QUERIES, "hide": _HIDDEN}
        return self._of(material, "train", seed, **few)

    def validation(self, material: Ratings, seed: int) -> RatingSampler:
        return self.episodes(material, "validation", seed)

    def episodes(self, material: Ratings, split: Split, seed: int) -> RatingSampler:
        return self._of(material, split, seed, queries=self.queries)

    def learner(
        self, cls: type[Learner], values: dict[str, Any], network: RatingNetworkOptions, material: Ratings
    ) -> Learner:
        if "values" not in cls.targets:
            raise InputError(
                f"{cls.__name__} tells classes apart; ratings of {self.data} are values: try anil, alpaca or maml"
            )
        own = {f.name for f in fields(cls)}
        if self.implicit and "objective" not in own:
            raise InputError(
                f"{cls.__name__} learns from values, and of clicks nobody says what is not liked: try anil, maml or "
                "meta_sgd, or leave out --implicit"
            )
        encoding = self.train(material, "episodes", 0).encoding
        encoder = encoder_of(encoding, network.embedding, network.item_features)
        head = SkipHead(inputs=encoder.outputs, hidden=network.decision_units)
        readers = [name for name, role in roles_of(cls).items() if isinstance(role, Parts)]
        if readers:
            given = dict.fromkeys(readers, encoder) | {k: v for k, v in self.prescribed().items() if k in own}
            return make_learner(cls, {**values, **given}, (encoder.outputs,), 1, NetworkOptions())
        given: dict[str, Any] = {"encoder": encoder, "head": head, "model": RatingNetwork(encoder, head)}
        given |= {"basis": Linear(encoder.outputs, encoder.outputs), **self.prescribed()}
        if not own & {"encoder", "model"} or "decoder" in own:
            raise InputError(
                f"{cls.__name__} takes inputs that are one row of numbers, and a rating has an item and features: try "
                "anil, alpaca or maml"
            )
        given = {k: v for k, v in given.items() if k in own}
        return make_learner(cls, {**values, **given}, (encoder.outputs,), 1, NetworkOptions())

    def outputs(self, material: Ratings) -> int:
        return 1

    def prescribed(self) -> dict[str, Any]:
        return {"objective": sampled_softmax if self.implicit else regression}

    def record(self, material: Ratings) -> dict[str, Any]:
        about = {"dataset": material.name, "digest": material.digest, "repeated": material.repeated}
        names = {"user_columns": material.user_features.names, "item_columns": material.item_features.names}
        return about | names | {"scale": list(material.scale)}

    def unseen(self, record: Mapping[str, Any], context: Context, split: Split, seed: int) -> RatingSampler:
        material = self.load(context)
        if record.get("digest") not in (None, material.digest):
            raise InputError(
                f"{self.data} has other ratings than the run was trained on, whose items it would take for others: "
                "train again, or give back the old file"
            )
        return self.episodes(material, split, seed)

    def refuse_unfit(self, learner: Learner, params: Params, record: Mapping[str, Any], sampler: Sampler) -> None:
        trained = record.get("task") or {}
        assert isinstance(sampler, RatingSampler)
        for name in ("data", "task", "state", "fold", "implicit", "liked", "text_encoder"):
            if name in trained and trained[name] != getattr(self, name):
                raise InputError(
                    f"the run was trained with {name.replace('_', '-')} {trained[name]}, whose items and test users "
                    f"are not those of {getattr(self, name)}: train it so"
                )

    def baselines(self, learner: Learner, seed: int, sampler: Sampler) -> Iterator[Baseline]:
        assert isinstance(sampler, RatingSampler)
        known = sampler.roles == TRAIN
        yield from of_behaviour(sampler, known, seed) if self.implicit else of_ratings(sampler, known, seed)
        yield from super().baselines(learner, seed, sampler)

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        if not isinstance(sampler, BehaviourSampler):
            return []  # a task is a list of ratings
        from innerloop.report.diversity import shown  # its packages may be missing, and nothing else needs them

        return shown(costs(learner, params, sampler, min(len(sampler), _DRAWN)))

    def _of(self, table: Ratings, split: Split, seed: int, **changes: Any) -> RatingSampler:
        return (BehaviourSampler if self.implicit else RatingSampler)(
            table=table,
            roles=roles(table, self.state, self.fold),
            split=split,
            shots=self.shots,
            at_least=self.at_least,
            by=self.told,
            seed=seed,
            who=self.task,
            **changes,
        )


def encoder_of(encoding: Encoding, embedding: int = 16, features: int = 16) -> RatingEncoder:
    """The network that takes the inputs of an encoding."""
    one = np.zeros(1, np.int64)
    widths = {name: array.shape[1] if array.ndim > 1 else 1 for name, array in encoding.rows(one, one).items()}
    return RatingEncoder(
        items=encoding.item_count,
        categories=encoding.single.size,
        columns=widths.get("categories", 0),
        values=encoding.several.size,
        sets=widths.get("several", 0),
        numbers=widths.get("numbers", 0),
        texts=widths.get("texts", 0),
        length=embedding,
        features=features,
    )
