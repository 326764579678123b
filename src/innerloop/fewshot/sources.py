"""What can be taught a task: a run folder, a shipped run, a frozen encoder, or a network of one's own."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from innerloop import encoders
from innerloop.core import files
from innerloop.core.aligned import packed
from innerloop.core.context import prefixes
from innerloop.core.errors import InputError
from innerloop.core.importing import is_import_path
from innerloop.core.learner import Learner
from innerloop.core.texts import Kind
from innerloop.core.types import Params
from innerloop.encoders import hub, module
from innerloop.encoders.base import Encoder
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import heads, source_names
from innerloop.fewshot.mapped import map_of
from innerloop.fewshot.reading import Reading
from innerloop.fewshot.settings import Head, Names
from innerloop.fewshot.source_names import SHIPPED
from innerloop.fewshot.tuning import Tuning
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks.images import LARGEST_SIDE, Ink
from innerloop.tasks.log_mel import LogMel, of_sounds


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What a task is taught to: a learner with its meta-parameters, and how raw examples become its rows."""

    name: str
    """As given: "runs/p", "kanji-protonet", "use-multilingual", "mypackage.nets:make"."""
    learner: Learner
    params: Params
    kind: Kind
    """What raw examples are; arrays of rows are always allowed as well."""
    shape: tuple[int, ...] | None = None
    """Shape of one row; None: as of the first ones given."""
    preprocessing: dict[str, Any] | None = None
    """How files become rows, for runs on pictures and sounds: keyword arguments of `tasks.image_files`, or those of
    `tasks.log_mel.LogMel`."""
    reading: Reading = field(default_factory=Reading)
    """What was decided about the examples of a task that it was taught."""
    columns: tuple[str, ...] | None = None
    """Names of the numbers of a row, where a task was taught a table that has them, such as a DataFrame."""
    encoder: Encoder | None = None
    """Makes rows of raw examples; None: rows are pictures or arrays themselves."""
    encoder_name: str | None = None
    """What the encoder is called, for a run that was trained on its rows; None: as the source itself."""
    calibration: Calibration | None = None
    """Measured on tasks that were not trained on; None: not measured. Of an encoder: with its centroids."""
    head: Head | None = None
    """What is fitted to the rows of an encoder, or of a run's map, in place of `learner` where that is another; None:
    `learner`, always."""
    names: Names | None = None
    """Whether names of classes are learned from; None: it cannot read them."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What classes are, beside their names, by which they are looked up."""
    tuning: Tuning | None = None
    """Whether the encoder was tuned to a task, and why; None: nobody asked for it."""

    def __post_init__(self) -> None:
        if self.preprocessing is None or of_sounds(self.preprocessing):
            return
        how = {"channels": 1, "ink": "auto"} | self.preprocessing  # what `image_files` takes for what is left out
        if set(how) != {"size", "channels", "ink"}:
            raise InputError(
                f"preprocessing says size, and if it is to be another, channels and ink; got {self.preprocessing}"
            )
        object.__setattr__(self, "preprocessing", how)

    @property
    def takes_heads(self) -> bool:
        """Whether heads fit its rows: those of a frozen encoder, or those that the map of a run makes."""
        return self.head is not None or map_of(self.learner, self.params) is not None

    def headed(self, head: Any, tuned: bool = False) -> "Source":
        """The same with the head that was asked for.

        Args:
            head: None: its own.
            tuned: Whether its encoder is to be tuned, that of a run to what the run's own learner answers.

        Raises:
            InputError: There is no such head, or it takes none.
        """
        if tuned and head is None and self.encoder_name is not None:
            return replace(self, head=None)
        of_run = map_of(self.learner, self.params)
        known = heads.checked(head, self.name, self.head, of_run)
        if of_run is None or known is None or known in ("auto", "own"):
            return replace(self, head=known)
        # Before there is an example: whether weights are taken is said by the head.
        return replace(self, head=known, learner=of_run.behind(heads.plain(known)))


def source(name: str | Path | Source | None, allow: Sequence[str] = ()) -> Source:
    """Find what a name stands for. A frozen encoder is loaded once a process.

    Args:
        name: One of `names`, the path of a run folder (which wins if it has a slash or is a `Path`),
            `package.module:attribute` of a network, or `hf:` and a folder or a name of the Hugging Face Hub. A source
            is itself; None: nearest centroid on examples as they are.
        allow: Module prefixes besides `innerloop.` that may be imported: it runs their code.

    Raises:
        InputError: There is no such thing, an optional package is missing, or it names foreign code.
    """
    if isinstance(name, Source):
        return name
    if name is None:
        return Source(name="examples as they are", learner=NearestCentroid(), params={}, kind="features")
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"a source is a name or a path, got {type(name).__name__}: give one of {', '.join(names())}")
    text = os.fspath(name)
    if hub.is_name(text):
        return _encoded(text, hub.load(text))
    # A folder in the way that is called like an encoder is reached as `./minilm`.
    if not isinstance(name, Path) and os.sep not in text:
        if text in encoders.names():
            return _frozen(text)
        if text in _shipped():
            # Shipped runs are part of this package: nothing of theirs has to be allowed.
            return _run(text, SHIPPED / text, ())
    if files.is_folder(Path(text)):
        return _run(text, Path(text), allow)
    if is_import_path(text):
        return _own(text, allow)
    raise source_names.unknown(text)


def of_learner(
    learner: Learner, params: Params, shape: Sequence[int] | None, preprocessing: dict[str, Any] | None
) -> Source:
    """The source of a learner that was never saved; arguments as of `FewShotClassifier.of`."""
    return Source(
        name=type(learner).__name__,
        learner=replace(learner, transductive=False),
        params=packed(params),
        kind=_kind_of(preprocessing),
        shape=None if shape is None else tuple(shape),
        preprocessing=preprocessing,
    )


def names() -> dict[str, str]:
    """Frozen encoders, then shipped runs, with what they are, and how to get those whose packages are missing."""
    every = encoders.names() | _shipped()  # most people have photographs or sentences, few have drawings
    there = installed()
    return {name: about if name in there else about + _wanted(name) for name, about in every.items()}


def installed() -> list[str]:
    """Those of `names` whose packages are there."""
    every = {name: encoder_of(name) for name in (*encoders.names(), *_shipped())}
    return [name for name, encoder in every.items() if encoder is None or encoders.installed(encoder)]


def kind(name: str) -> Kind:
    """What raw examples of one of `names` are, without loading it."""
    encoder = encoder_of(name)
    if encoder is not None:
        return encoders.about(encoder).KIND
    return _kind_of(_record(name).get("preprocessing"))


def encoder_of(name: str) -> str | None:
    """The frozen encoder behind one of `names`, perhaps itself; None: there is none."""
    return name if name in encoders.names() else _record(name).get("encoder")


def _wanted(name: str) -> str:
    return f"; pip install 'innerloop[{encoders.about(encoder_of(name) or name).EXTRA}]'"


@functools.cache
def _record(name: str) -> dict[str, Any]:
    """What a shipped run says of its training."""
    return checkpoint.read_config(SHIPPED / name).get("record") or {}


def checked_preprocessing(entry: Any) -> dict[str, Any] | None:
    """How pictures or sounds become rows, as a file or a run says it.

    Raises:
        ValueError, TypeError, KeyError: It does not.
    """
    if entry is None:
        return None
    if isinstance(entry, Mapping) and of_sounds(entry):
        try:
            return asdict(LogMel(**entry))
        except InputError as error:
            raise ValueError(f"its preprocessing asks for sounds that there are none of: {error}") from error
    size, channels, ink = entry["size"], entry["channels"], entry["ink"]
    if isinstance(size, bool) or not isinstance(size, int) or channels not in (1, 3) or not isinstance(ink, str):
        raise ValueError("its preprocessing is not that of pictures")
    if not 1 <= size <= LARGEST_SIDE or ink not in get_args(Ink):
        raise ValueError("its preprocessing asks for pictures that there are none of")
    if not isinstance(entry, Mapping) or len(entry) != 3:
        raise ValueError("its preprocessing has entries that this release does not know")
    return {"size": size, "channels": channels, "ink": ink}


def _kind_of(preprocessing: Mapping[str, Any] | None) -> Kind:
    """What raw examples are that become rows so."""
    return "features" if preprocessing is None else "sounds" if of_sounds(preprocessing) else "pictures"


def _frozen(name: str) -> Source:
    return _encoded(name, encoders.named(name), encoders.about(name).CALIBRATION)


def _own(path: str, allow: Sequence[str]) -> Source:
    return _encoded(path, module.load(path, prefixes(allow)))


def _encoded(name: str, encoder: Encoder, calibrated: Calibration | None = None) -> Source:
    return Source(
        name=name,
        # Encoders of sentences and of photographs were trained so that directions, not lengths, tell their rows apart.
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind=encoder.kind,
        shape=None if encoder.features is None else (encoder.features,),
        encoder=encoder,
        calibration=calibrated,
        # Rows of numbers are taken as they are, by anyone's network; those of sentences and pictures are known.
        head="centroid" if encoder.kind == "features" else "auto",
        names="auto" if encoder.kind == "texts" else None,
    )


def _run(name: str, folder: Path, allow: Sequence[str]) -> Source:
    # A run that Python made has no record: its examples are rows, of whatever shape comes first.
    record = checkpoint.read_config(folder).get("record") or {}
    _check_classes(name, record)
    learner, params = load_run(folder, allow)
    try:
        preprocessing, shape = checked_preprocessing(record.get("preprocessing")), _shape(record.get("shape"))
        frozen = record.get("encoder")
        if not isinstance(frozen, str | None):
            raise ValueError("its encoder is no name")
        head = record.get("head")
        if head not in (None, *get_args(Head)):
            raise ValueError("its head is none that there is")
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{folder / 'config.json'} is damaged: {error}. Restore it, or train again") from error
    encoder = None if frozen is None else encoders.named(frozen)
    return Source(
        name=name,
        learner=learner,
        params=params,
        kind=encoder.kind if encoder is not None else _kind_of(preprocessing),
        encoder=encoder,
        encoder_name=frozen,
        head=head,
        names="auto" if encoder is not None and encoder.kind == "texts" else None,
        shape=shape,
        preprocessing=preprocessing,
        calibration=calibration.read_current(folder, checkpoint.fingerprint(params, learner)),
    )


def _check_classes(name: str, record: dict[str, Any]) -> None:
    """Refuse a run whose tasks were sinusoids, say: its outputs are no classes, whatever it is taught."""
    from innerloop import problems  # every kind with its data sets: only a run folder needs them

    try:
        problem = problems.of_record(record["task"])
    except (InputError, LookupError, TypeError):
        return  # a run that Python made, or of a kind that is not installed here
    if not problem.score.of_classes:
        raise InputError(
            f"{name} was trained on {problem.data}, whose tasks have no classes that could be taught: name a run that "
            "was trained on classes, or an encoder"
        )
    if problem.score.common_classes:
        raise InputError(f"{name} was trained to tag words ({problem.data}): teach it with `innerloop ner adapt`")


def _shape(entry: Any) -> tuple[int, ...] | None:
    if entry is not None and not (isinstance(entry, list) and all(type(size) is int and size > 0 for size in entry)):
        raise ValueError("its shape is none")
    return None if entry is None else tuple(entry)


@functools.cache
def _shipped() -> dict[str, str]:
    cards = {name: SHIPPED / name / "card.md" for name in source_names.shipped()}
    return {name: card.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, card in cards.items()}
