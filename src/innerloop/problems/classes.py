"""Classes of examples, pictures or arrays: tasks of a few new classes each."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import tyro

from innerloop.core.context import Context
from innerloop.core.dry_run import outputs as answered
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_folder
from innerloop.core.learner import Learner
from innerloop.core.networks import counts_outputs
from innerloop.core.scores import Accuracy
from innerloop.core.sensible import Stream
from innerloop.core.types import Params, Sampler
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.problems.base import Baseline, Problem, Split, first_line
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import (
    Augmentation,
    BatchSampler,
    Distorted,
    EpisodeSampler,
    Interpolated,
    Pool,
    SoundAugmentation,
    Splits,
    TaskBatchSampler,
    TrajectorySampler,
    UnsupervisedSampler,
    datasets,
    interpolation,
)
from innerloop.tasks.datasets.folder import read_alike
from innerloop.tasks.distorted import LIGHT
from innerloop.tasks.log_mel import of_sounds
from innerloop.tasks.pool import base_name
from innerloop.tasks.sealed import sealed
from innerloop.tasks.zips import is_zip

CUT, WITHIN = tyro.conf.arg(aliases=("--cut",)), tyro.conf.arg(aliases=("--within",))
"""Spellings that options had in release 0.1.0."""
_CHOOSING, _CALIBRATING = 15, 5
"""Queries of a class."""


@dataclass(frozen=True, kw_only=True)
class Classes(Problem[Splits]):
    """What a task is."""

    score = Accuracy()
    streams = ("episodes", "batches", "task_batches")
    usual_for = ("episodes", "batches", "task_batches")
    usual_data = "kanji"
    network_options = NetworkOptions
    in_test = {  # noqa: RUF012
        **{"queries": 15, "unlabelled": 0, "distractors": 0, "same_group": 0.0, "remember": 0},
        **{"rotations": False, "distort": False, "interpolate": 0.0, "interpolate_beta": None},
    }

    data: str = usual_data
    """A data set (see `innerloop list`), a folder with a sub-folder of pictures, or of sounds, for each class, a
    zip of one, or an .npz file."""
    split_scheme: Annotated[str | None, CUT] = None
    """How classes are split for training and testing, where there are several ways (omniglot: lake, vinyals, maml)."""
    ways: int = 5
    """Classes of a task, in meta-testing and, unless `train_ways` says otherwise, in meta-training."""
    shots: int = 1
    """Labelled examples of each class."""
    queries: int = 5
    """Examples of each class that a meta-training task is scored on."""
    train_ways: int | None = None
    """Classes of a meta-training task, for learners that take any number; None: as `ways`."""
    train_shots: int | None = None
    """Labelled examples of each class in meta-training; None: as `shots`."""
    batch_size: int = 64
    """Examples a step, for learners that are trained on plain batches of all classes."""
    unlabelled: int = 0
    """Further examples of each class that a meta-training task has without their label."""
    distractors: int = 0
    """Further classes that a meta-training task has unlabelled examples of."""
    same_group: Annotated[float, WITHIN] = 0.0
    """Share of meta-training tasks whose classes are all from one group (alphabet)."""
    remember: int = 0
    """Rows of other classes that a meta-training task asks for besides, so that learning its own does not disturb them:
    its labels are then those of all of meta-training. For oml and anml."""
    unsupervised: bool = False
    """Meta-train without labels: every class is one random picture, its examples are distorted copies of it."""
    rotations: bool = False
    """Meta-train on further classes: those of pictures, turned by 90, 180 and 270 degrees. Omniglot has them."""
    distort: bool = False
    """Meta-train on distorted copies, anew in each task: pictures are turned, moved, scaled and slanted a little,
    sounds are moved, made faster or slower, higher or lower, with another gain, noise, and parts left out."""
    interpolate: float = 0.0
    """Share of meta-training tasks whose classes are mixed with those of another task, after any distortion."""
    interpolate_beta: float | None = None
    """The a of Beta(a, a), from which it is drawn how much of each; None: 2."""

    @classmethod
    def claims(cls, data: str) -> bool:
        path = expanded(data)
        return data.replace("_", "-") in datasets.names() or is_folder(path) or path.suffix.lower() in (".npz", ".zip")

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        modules = {name: f"{datasets.__name__}.{name.replace('-', '_')}" for name in datasets.names()}
        return {name: first_line(importlib.import_module(module).__doc__) for name, module in modules.items()}

    def stream(self, learner: type[Learner], name: str) -> Stream:
        if not self.remember:
            return super().stream(learner, name)
        if "trajectories" not in learner.trains_on:
            raise InputError(
                f"{name} has nothing that remembers other classes: leave out --remember, or take oml or anml"
            )
        return "trajectories"

    def load(self, context: Context) -> Splits:
        return self._with_rotations(datasets.load(self.data, context, self.split_scheme))

    def _with_rotations(self, splits: Splits) -> Splits:
        """Splits whose classes of meta-training, and of no other, are there in four turns where that is asked for."""
        if self.rotations and of_sounds(splits.train.preprocessing):
            raise InputError("turned pictures of sounds are none of anything that is heard: leave out --rotations")
        return replace(splits, train=splits.train.rotated()) if self.rotations else splits

    def sealed(self, material: Splits) -> Splits:
        return sealed(material)

    def train(self, material: Splits, stream: Stream, seed: int) -> Sampler:
        sampler = self._as_drawn(material, stream, seed)
        if self.distort and self.unsupervised:
            raise InputError("unsupervised tasks are of distorted copies already: leave out --distort")
        if self.distort:
            copies = SoundAugmentation() if of_sounds(material.train.preprocessing) else LIGHT
            sampler = Distorted(sampler=sampler, augmentation=copies)
        if self.interpolate:
            beta = interpolation.BETA if self.interpolate_beta is None else self.interpolate_beta
            return Interpolated(sampler=sampler, share=self.interpolate, beta=beta)
        if self.interpolate_beta is not None:
            raise InputError("--interpolate-beta says how tasks are mixed: say how many of them with --interpolate")
        return sampler

    def _as_drawn(self, material: Splits, stream: Stream, seed: int) -> Sampler:
        if stream in ("batches", "task_batches"):
            make_batches = BatchSampler if stream == "batches" else TaskBatchSampler
            return make_batches(pool=material.train, batch_size=self.batch_size, seed=seed)
        ways, shots = self.train_ways or self.ways, self.shots if self.train_shots is None else self.train_shots
        sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": self.queries, "seed": seed}
        extras: dict[str, Any] = {k: getattr(self, k) for k in ("unlabelled", "distractors", "same_group")}
        if not self.unsupervised:
            sampler = EpisodeSampler(pool=material.train, **sizes, **extras)
            return TrajectorySampler(sampler=sampler, remember=self.remember) if self.remember else sampler
        if any(extras.values()):
            raise InputError(
                "unsupervised tasks are of single pictures, whose classes nobody knows: leave out --unlabelled, "
                "--distractors and --same-group"
            )
        copies = SoundAugmentation() if of_sounds(material.train.preprocessing) else Augmentation()
        return UnsupervisedSampler(pool=material.train, **sizes, augmentation=copies)

    def validation(self, material: Splits, seed: int) -> Sampler:
        return EpisodeSampler(
            pool=material.validation,
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            unlabelled=self.unlabelled,
            distractors=self.distractors,
        )

    def episodes(self, material: Splits, split: Split, seed: int) -> EpisodeSampler:
        return self._of(material.pools()[split], seed)

    def learner(self, cls: type[Learner], values: dict[str, Any], network: NetworkOptions, material: Splits) -> Learner:
        whole = self.stream(cls, cls.__name__) != "episodes"
        return make_learner(cls, values, material.train.shape, len(material.train) if whole else self.ways, network)

    def suited(self, learner: type[Learner], name: str, material: Splits) -> Self:
        sensible, stream = self.sensible(learner, self.data), self.stream(learner, name)
        if stream != "episodes":
            remembers = stream == "trajectories"
            given = "trajectories with the labels of all classes" if remembers else "plain batches of labelled examples"
            unfit = ("unlabelled", "distractors", "interpolate" if remembers else "same_group", "unsupervised")
            wrong = [k for k in unfit if getattr(self, k)]
            if wrong:
                raise InputError(
                    f"{name} is trained on {given}, not on tasks of their own: leave out --{wrong[0].replace('_', '-')}"
                )
            return self
        if self.train_ways not in (None, self.ways) and counts_outputs(learner):
            raise InputError(
                f"{name} learns a network with one output for each of {self.ways} classes, so it trains with the ways "
                f"it is tested with: leave out --train-ways {self.train_ways}, or take a learner for any number of "
                "classes (protonet)"
            )
        if self.ways == sensible.task.get("ways"):
            enough = [
                n for n in (len(material.train) - self.distractors, *map(len, material.pools().values())) if n > 1
            ]
            return self.changed({"ways": min(self.ways, *enough)})
        if self.train_ways is None or self.train_ways != sensible.task.get("train_ways"):
            return self
        pool = material.train
        most = int(pool.counts.sum()) if self.unsupervised else len(pool) - self.distractors
        return self.changed({"train_ways": max(min(self.train_ways, most), self.ways)})

    def outputs(self, material: Splits) -> int:
        return self.ways

    def splits(self, material: Splits) -> Splits:
        return material

    def record(self, material: Splits) -> dict[str, Any]:
        pool = material.train
        return {
            "dataset": pool.dataset,
            "train_classes": len(pool),
            "train_class_hash": pool.class_hash,
            "shape": list(pool.shape),
            "preprocessing": pool.preprocessing,
        }

    def choosing(self, material: Splits) -> EpisodeSampler | None:
        pool = material.validation
        return self._small(pool, max(1, self._queries(pool, _CHOOSING))) if len(pool) > 1 else None

    def calibrating(self, material: Splits) -> EpisodeSampler | None:
        pool = material.validation
        queries = self._queries(pool, _CALIBRATING) if len(pool) > 1 and self.ways > 1 else 0
        return self._small(pool, queries) if queries > 0 else None

    @classmethod
    def after(cls, trained: Problem, data: str) -> Self:
        problem = super().after(trained, data)
        return problem if data == trained.data else problem.changed({"split_scheme": None})

    def unseen(self, record: Mapping[str, Any], context: Context, split: Split, seed: int) -> Sampler:
        history = trained_on(record)
        own = [entry for entry in history if entry["data"] in _parts(self.data)]
        if not own and self.data not in datasets.names() and _holds_classes(self.data):
            return self._of(read_alike(self.data, record.get("preprocessing")), seed)
        scheme = self.split_scheme or (own[0]["split_scheme"] if own else None)
        pool = self.changed({"split_scheme": scheme}).load(context).pools()[split]
        for entry in history:
            split_otherwise = (entry["data"], entry["split_scheme"]) != (self.data, scheme)
            if split != "train" and split_otherwise and entry["dataset"] in _parts(pool.dataset):
                other = self.changed({"data": entry["data"], "split_scheme": entry["split_scheme"]})
                _refuse_seen(pool, other.load(context).train)
        return self._of(pool, seed)

    def pairs(
        self, record: Mapping[str, Any], context: Context, split: Split, seed: int, same_group: float | None
    ) -> EpisodeSampler:
        problem = self.changed({"shots": 1, "queries": 1, "same_group": same_group or 0.0})
        sampler = problem.unseen(record, context, split, seed)
        if not isinstance(sampler, EpisodeSampler):
            return super().pairs(record, context, split, seed, same_group)
        if same_group is None:
            with suppress(InputError):  # groups are not known, or too small
                return replace(sampler, same_group=0.5)
        return sampler

    def refuse_unfit(self, learner: Learner, params: Params, record: Mapping[str, Any], sampler: Sampler) -> None:
        about: dict[str, Any] = sampler.describe()
        shape, trained = about["shape"], record.get("shape")
        if trained is not None and shape != trained:
            raise InputError(
                f"the run was trained on examples of shape {trained}; those of {about['dataset']} have {shape}: "
                "choose data of the same shape, or train on these"
            )
        ours, theirs = record.get("preprocessing"), _preprocessing(sampler)
        if ours and theirs and of_sounds(ours) and of_sounds(theirs) and ours["highest"] != theirs["highest"]:
            raise InputError(
                f"the run listened up to {ours['highest']:,g} Hz, and {about['dataset']} is read up to "
                f"{theirs['highest']:,g}: choose sounds that are read alike, or train on these"
            )
        ways = about["ways"] if isinstance(about["ways"], int) else about["ways"][1]
        count = answered(learner, params, tuple(shape), ways)
        if count != ways:
            raise InputError(
                f"{type(learner).__name__} was meta-trained to tell {count} classes apart, not {ways}: test with "
                f"--ways {count}, or train it with --ways {ways}"
            )

    def baselines(self, learner: Learner, seed: int, sampler: Sampler) -> Iterator[Baseline]:
        """Examples as they are with the nearest centroid, then the learner without training."""
        shape: Any = sampler.describe().get("shape")
        pixels = NearestCentroid(transductive=learner.transductive)
        yield Baseline("pixels", pixels, {}, f"{self.raw(shape, _preprocessing(sampler))}, nearest centroid")
        yield from super().baselines(learner, seed, sampler)

    def raw(self, shape: Sequence[int], preprocessing: Mapping[str, Any] | None = None) -> str:
        if of_sounds(preprocessing):
            return "log-mel energy"
        return "pixels" if len(shape) == 3 else "raw inputs"

    def _of(self, pool: Pool, seed: int) -> EpisodeSampler:
        return EpisodeSampler(
            pool=pool,
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            seed=seed,
            unlabelled=self.unlabelled,
            distractors=self.distractors,
            same_group=self.same_group,
        )

    def _queries(self, pool: Pool, most: int) -> int:
        """How many of a class there are besides the shots."""
        return min(most, int(pool.counts.min()) - self.shots)

    def _small(self, pool: Pool, queries: int) -> EpisodeSampler:
        """Tasks of fewer classes where there are not as many."""
        return EpisodeSampler(pool=pool, ways=min(self.ways, len(pool)), shots=self.shots, queries=queries)


def _preprocessing(sampler: Sampler) -> Mapping[str, Any] | None:
    """How the examples of tasks became rows."""
    pool: Pool | None = getattr(sampler, "pool", None)
    return None if pool is None else pool.preprocessing


def _parts(name: str) -> tuple[str, ...]:
    """What data are called, and what those are that are joined in them."""
    return (name, *name.split("+"))


def _holds_classes(data: str) -> bool:
    path = expanded(data)
    return is_folder(path) or is_zip(path)


def trained_on(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The data whose classes a run has seen: its own, then those of the run it was begun with."""
    task = record.get("task")
    own = []
    if task:
        own = record.get("joined") or [
            {"data": task["data"], "split_scheme": task.get("split_scheme"), "dataset": record.get("dataset")}
        ]
    return own + (record.get("start") or {}).get("trained_on", [])


def _refuse_seen(pool: Pool, trained: Pool) -> None:
    """Two ways of cutting one data set put classes of one's training into the other's test."""
    seen = set(map(base_name, trained.names))
    shared = sorted({base for base in map(base_name, pool.names) if base in seen})
    if shared:
        raise InputError(
            f"{len(shared)} of the {len(pool)} classes of {pool.dataset} ({pool.split}) were trained on, such as "
            f"'{shared[0]}': the number would not be about new classes. Test with the split scheme of its training"
        )
