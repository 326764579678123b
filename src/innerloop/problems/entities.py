"""Entities: words of sentences that are tagged with a few new types, from a handful of sentences."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.dry_run import outputs as answered
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.learner import Learner
from innerloop.core.objectives import normalize
from innerloop.core.scores import EntityF1
from innerloop.core.sensible import Sensible, Stream
from innerloop.core.types import Params, Sampler
from innerloop.encoders import tokens
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.whitening import Whitening
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.nn.as_is import AsIs
from innerloop.problems.base import Baseline, Problem, Split, first_line
from innerloop.problems.learner import make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import BatchSampler, Pool, TaskBatchSampler
from innerloop.tasks.entities import EntitySampler, datasets, files
from innerloop.tasks.entities.domains import LEFT_OUT, Domain, Encoded
from innerloop.tasks.entities.sentences import OTHER, Sentence
from innerloop.tasks.entities.splits import TaggedSplits, by_types
from innerloop.tasks.pool import from_rows

_OF_A_CLASS = 500
"""Words of a class that plain batches are drawn from, so that O does not fill them."""
_NEAREST = 0.05
"""Width of a kernel on rows of length 1 with which the nearest word alone decides."""


class Material(NamedTuple):
    """Encoded domains of each split."""

    dataset: str
    train: tuple[Encoded, ...]
    validation: tuple[Encoded, ...]
    test: tuple[Encoded, ...]


@dataclass(frozen=True, kw_only=True)
class Entities(Problem[Material]):
    """What a task is."""

    score = EntityF1()
    streams = ("episodes", "batches", "task_batches")
    network_options = NetworkOptions

    data: str = "crossner"
    """A data set (see `innerloop list`), or a file of tagged sentences: CoNLL (.conll, .bio, .iob, .txt) or JSON with
    spans of characters (.json, .jsonl)."""
    split_scheme: str | None = None
    """crossner: the domain that is tested on. wnut17: crossner's domain for validation."""
    encoder: str = "minilm:3"
    """The frozen network that turns words into rows, and its layer (see `innerloop list`)."""
    whiten: bool = False
    """Whiten rows by what differs within types of the domains that are not tested on."""
    ways: int = 5
    """Types of a task; O comes on top."""
    shots: int = 5
    """K: a support has K to 2K entities of each type."""
    queries: int = 5
    """K of what a task is scored on, likewise."""
    left_out: tuple[str, ...] = LEFT_OUT
    """Types that no task asks for; sentences that hold one are in no task."""
    tokens: int = 0
    """Most words of a support, and of a query; 0: what nearly all tasks need."""
    other_weight: float | None = None
    """What O's words in a support count together, where those of a type count as 1, for learners that weigh examples;
    None: each word as 1."""
    batch_size: int = 64
    """Words a step, for learners that are trained on plain batches of all types."""
    encoding: str | None = None
    """What a file is in; None: UTF-8, UTF-16, GB18030 or Windows-1252, as its bytes say."""
    strict: bool = False
    """Refuse a file with entities that begin with I- instead of B-; otherwise they are read as beginnings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_out", tuple(self.left_out))  # a record of JSON has a list

    @classmethod
    def claims(cls, data: str) -> bool:
        return data in datasets.names() or files.is_tagged(data)

    @classmethod
    def data_sets(cls) -> Mapping[str, str]:
        return {name: first_line(datasets.module(name).__doc__) for name in datasets.names()}

    @classmethod
    def usual(cls, data: str) -> Sensible:
        return Sensible(network={"width": 256})  # as texts, whose rows are as long

    @classmethod
    def sensible(cls, learner: type[Learner], data: str) -> Sensible:
        """What a learner says of texts, whose frozen rows are like those of words, where it says nothing of these."""
        of_texts = learner.sensible.get("texts")
        if of_texts is None or any(name in learner.sensible for name in cls.names(data)):
            return super().sensible(learner, data)
        return replace(of_texts, task={}, network={**cls.usual(data).network, **of_texts.network})

    @classmethod
    def after(cls, trained: Problem, data: str) -> "Entities":
        problem = super().after(trained, data)
        # Another file is written otherwise.
        return problem if data == trained.data else replace(problem, split_scheme=None, encoding=None, strict=False)

    def check(self) -> None:
        super().check()
        if self.data in datasets.names() and (self.encoding is not None or self.strict):
            raise InputError(f"{self.data} is read in one way only: leave out --encoding and --strict")

    def load(self, context: Context) -> Material:
        """Words as rows of length 1; encoded once and kept in the user's cache folder."""
        splits = self._splits(context)
        return self._encoded(splits, self._seen(splits), context)

    def sealed(self, material: Material) -> Material:
        return material._replace(test=())

    def train(self, material: Material, stream: Stream, seed: int) -> Sampler:
        if stream == "episodes":
            return self._of(material, "train", seed)
        make_batches = BatchSampler if stream == "batches" else TaskBatchSampler
        return make_batches(pool=_words(material), batch_size=self.batch_size, seed=seed)

    def validation(self, material: Material, seed: int) -> EntitySampler:
        return self._of(material, "validation", 0)

    def episodes(self, material: Material, split: Split, seed: int) -> EntitySampler:
        return self._of(material, split, seed)

    def learner(
        self, cls: type[Learner], values: dict[str, Any], network: NetworkOptions, material: Material
    ) -> Learner:
        whole = self.stream(cls, cls.__name__) != "episodes"
        outputs = len(_classes(material)) if whole else self.outputs(material)
        return make_learner(cls, values, (material.train[0].rows.shape[1],), outputs, network)

    def outputs(self, material: Material) -> int:
        return 1 + self.ways

    def record(self, material: Material) -> dict[str, Any]:
        return {
            "dataset": material.dataset,
            "train_domains": {encoded.domain.name: encoded.domain.digest for encoded in material.train},
            "shape": [material.train[0].rows.shape[1]],
        }

    def choosing(self, material: Material) -> EntitySampler | None:
        with suppress(InputError):  # too few entities
            return self.validation(material, 0)

    def calibrating(self, material: Material) -> EntitySampler | None:
        return self.choosing(material)

    def unseen(self, record: Mapping[str, Any], context: Context, split: Split, seed: int) -> EntitySampler:
        trained = Entities(**record["task"])
        if trained.encoder != self.encoder:
            raise InputError(
                f"the run was trained on rows of {trained.encoder}; leave out --encoder {self.encoder}, or train on "
                "these"
            )
        splits = self._whole() if self._is_other_file(trained) else self._splits(context)
        seen = record.get("train_domains", {})
        for domain in getattr(splits, split):
            if split != "train" and domain.digest in seen.values():
                raise InputError(
                    f"the run was trained on {domain.name}: the number would not be about new sentences. Test with the "
                    "split scheme of its training"
                )
        fitted = trained._seen(trained._splits(context)) if self.whiten else ()
        return self._of(self._encoded(splits, fitted, context), split, seed)

    def refuse_unfit(self, learner: Learner, params: Params, record: Mapping[str, Any], sampler: Sampler) -> None:
        assert isinstance(sampler, EntitySampler)
        shape, ways = [sampler.domains[0].rows.shape[1]], 1 + sampler.ways
        if record.get("shape", shape) != shape:
            raise InputError(
                f"the run was trained on rows of {record['shape'][0]} numbers, and {self.encoder} has {shape[0]}: "
                "choose its encoder, or train on these"
            )
        count = answered(learner, params, tuple(shape), ways)
        if count != ways:
            raise InputError(
                f"{type(learner).__name__} was meta-trained to tell {count - 1} types and O apart, not {ways - 1}: "
                f"test with --ways {count - 1}, or train it with --ways {ways - 1}"
            )

    def baselines(self, learner: Learner, seed: int, sampler: Sampler) -> Iterator[Baseline]:
        """The nearest word and the nearest mean of rows as they are, then the learner without training."""
        assert isinstance(sampler, EntitySampler)
        nearest = GaussianMemory(
            encoder=AsIs(), sigma=_NEAREST, capacity=max(sampler.lengths), transductive=learner.transductive
        )
        means = NearestCentroid(transductive=learner.transductive)
        yield Baseline("nearest-token", nearest, nearest.init(seed), f"{self.raw(())}, nearest token")
        yield Baseline("prototypes", means, means.init(seed), f"{self.raw(())}, prototypes")
        yield from super().baselines(learner, seed, sampler)

    def raw(self, shape: Sequence[int], preprocessing: Mapping[str, Any] | None = None) -> str:
        return f"{self.encoder}, whitened" if self.whiten else self.encoder

    def pictures(self, learner: Learner, params: Params, sampler: Sampler, count: int) -> list[Any]:
        return []  # tasks hold rows, of which nobody sees what they were

    def _splits(self, context: Context) -> TaggedSplits:
        if self.data in datasets.names():
            return datasets.module(self.data).read(context, self.split_scheme, self.left_out)
        if self.split_scheme is not None:
            raise InputError(f"{self.data} is split in one way only: leave out --split-scheme {self.split_scheme}")
        return by_types(expanded(self.data).stem, self._file(), self.left_out)

    def _whole(self) -> TaggedSplits:
        """All types of a file that was not trained on."""
        domain = Domain.of(expanded(self.data).stem, self._file(), self.left_out)
        return TaggedSplits(domain.name, *[(domain,)] * 3)

    def _file(self) -> list[Sentence]:
        return files.read(self.data, strict=self.strict, encoding=self.encoding)

    def _is_other_file(self, trained: "Entities") -> bool:
        return self.data not in datasets.names() and self.data != trained.data

    def _seen(self, splits: TaggedSplits) -> tuple[Domain, ...]:
        """What rows are whitened by."""
        return (*splits.train, *splits.validation) if self.whiten else ()

    def whitening(self, context: Context) -> Whitening | None:
        """What rows of these tasks are whitened by, found again from the domains; None: by nothing.

        Raises:
            InputError: They are whitened, and the data are not there.
        """
        if not self.whiten:  # who only uses a run need not have what it was trained on
            return None
        seen, encoder = self._seen(self._splits(context)), tokens.named(self.encoder)
        return Whitening.of_domains(seen, lambda one: rows_of(encoder, one.words, context).rows)

    def _encoded(self, splits: TaggedSplits, seen: Sequence[Domain], context: Context) -> Material:
        encoder, kept = tokens.named(self.encoder), dict[int, Tensor]()

        def rows(domain: Domain) -> Tensor:
            key = id(domain.sentences)  # of a file, all splits have the same sentences
            if key not in kept:
                kept[key] = rows_of(encoder, domain.words, context).rows
            return kept[key]

        change = Whitening.of_domains(seen, rows).apply if seen else normalize
        done = dict[int, Tensor]()

        def encoded(domain: Domain) -> Encoded:
            key = id(domain.sentences)
            if key not in done:
                done[key] = change(rows(domain)).half()
            return Encoded(domain, done[key])

        parts = (tuple(map(encoded, part)) for part in splits[1:])
        return Material(splits.dataset, *parts)

    def _of(self, material: Material, split: Split, seed: int) -> EntitySampler:
        return EntitySampler(
            domains=getattr(material, split),
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            seed=seed,
            dataset=material.dataset,
            split=split,
            tokens=self.tokens,
            other_weight=self.other_weight,
        )


def _classes(material: Material) -> list[str]:
    """O, and the types of all training domains; one of several domains is one class."""
    return [OTHER, *sorted({name for encoded in material.train for name in encoded.domain.types})]


def _words(material: Material) -> Pool:
    """Words of the training domains by their type, at most so many of each."""
    classes = _classes(material)
    index, rows, labels = {name: i for i, name in enumerate(classes)}, list[Tensor](), list[Tensor]()
    for encoded in material.train:
        own = torch.tensor([0, *(index[name] for name in encoded.domain.types), -1])  # the last: types left out
        rows.append(encoded.rows)
        labels.append(own[from_numpy(encoded.tags)])
    every, label = torch.cat(rows), torch.cat(labels)
    chosen = list[Tensor]()
    for i in range(len(classes)):
        places = (label == i).nonzero().flatten()
        order = random.permutation(random.fold(random.mix(0, 0), i), len(places))
        chosen.append(places[order[:_OF_A_CLASS]])
    kept = torch.cat(chosen)
    return from_rows(every[kept].float(), label[kept].tolist(), classes, dataset=material.dataset, split="train")
