"""One portable file for an adapted task: what learned, what it learned, from which examples, version by version.

A safetensors file: tensors `params.*`, `adapted.*` and `buffers.*`, `rows` (every example ever given) and their
`weights` where they differ, `names` (rows of names of classes), `tuned.*` (of a tuned encoder the weights that are
others), and in its metadata, under `innerloop`, JSON with the version of the format, the learner (`core.config`), class
names, preprocessing, calibration and history. A frozen encoder is named, never copied. Reading it runs no code that it
brings.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from innerloop.core import config, files, tree
from innerloop.core.dry_run import answers, dry_run
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.fits import completed
from innerloop.core.learner import Learner
from innerloop.core.texts import Kind
from innerloop.encoders.base import Encoder, Pinned, content_of
from innerloop.encoders.tuned import Tuned
from innerloop.engine import checkpoint
from innerloop.evaluate.calibration import Calibration
from innerloop.fewshot import budget, class_names, container, heads, sources
from innerloop.fewshot.calibrate import Wanted, checked_wanted
from innerloop.fewshot.drift import Drift
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.history import History
from innerloop.fewshot.reading import Reading
from innerloop.fewshot.rows import floats
from innerloop.fewshot.sources import Source
from innerloop.fewshot.task import Task
from innerloop.fewshot.tuning import Tuning
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

VERSION = 3
_READ = (2, 3)
"""Version 2, of release 0.1.0, says nothing about how examples are read: as `Reading()` has it."""
_ROWS, _NAMES, _GATE, _WEIGHTS, _TUNED = "rows", "names", "gate", "weights", "tuned."
_ASKED = 8
"""Examples of its own that a file answers before it is used."""
_LONGEST_NAME = 10_000
"""Characters of a class."""


def write(path: Path, task: Task) -> None:
    """Write the file, whole or not at all.

    Raises:
        InputError: It cannot be written, or the learner cannot be named in a file.
    """
    source, encoder, weights = task.source, task.source.encoder, {}
    if isinstance(encoder, Tuned):
        encoder, weights = encoder.base, encoder.weights
    tensors = {f"params.{k}": v for k, v in source.params.items()} | checkpoint.buffers(source.learner)
    known, same = {id(v): k for k, v in tensors.items()}, {}
    for name, leaf in tree.items(task.adapted, "adapted"):
        if id(leaf) in known:
            same[name] = known[id(leaf)]  # most learners carry meta-parameters along as they are
        else:
            tensors[name] = leaf
            known[id(leaf)] = name
    about = {
        "version": VERSION,
        "source": {
            "name": source.name,
            "kind": source.kind,
            "encoder": source.encoder_name or source.encoder is not None,
            "pin": encoder.pin.to_json() if isinstance(encoder, Pinned) else None,
            "tuned": sorted(weights),
            "preprocessing": source.preprocessing,
            "reading": source.reading.to_json(),
            "columns": source.columns,
            "calibration": None if source.calibration is None else source.calibration.to_json(),
        },
        "learner": config.encode(source.learner),
        "classes": task.classes,
        "history": task.history.to_json(),
        "calibration": task.calibration.to_json(),
        "reject": task.wanted.strangers,
        "coverage": task.wanted.coverage,
        "head": None if task.choice is None else task.choice.to_json(),
        "names": class_names.to_json(source, task.named, task.use),
        "tuning": None if source.tuning is None else source.tuning.to_json(),
        "drift": task.drift.to_json(),
        "budget": task.budget,
        "same": same,
    }
    tensors |= {f"{_TUNED}{name}": value for name, value in weights.items()}
    tensors |= {_ROWS: task.rows} | ({} if task.named is None else {_NAMES: task.named.rows})
    optional = {_GATE: task.gate, _WEIGHTS: task.weights}
    tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    container.write(path, about, tensors)


def read(path: Path, allow: Sequence[str] = (), encoder: Callable[[str], Encoder | None] | None = None) -> Task:
    """Read what `write` wrote.

    Args:
        path: The file.
        allow: Module prefixes besides `innerloop.` that it may name.
        encoder: Finds the encoder that the file names, for files of strangers, which may not take more memory than
            their size lets expect, either; None: it is looked for on this machine.

    Raises:
        InputError: It is missing, damaged, of another version, names foreign classes, or an encoder that is not
            installed.
    """
    about, tensors = container.read(path, "classifier")
    version = about.get("version")
    if version not in _READ:
        raise InputError(f"{path} is of version {version}, this release reads 2 and {VERSION}: adapt again")
    find = encoder or functools.partial(_local_encoder, allow)
    with container.naming(path):
        learner = config.decode(about.get("learner"), allow)
        if not isinstance(learner, Learner):
            raise InputError(f"holds a {type(learner).__name__}, not a learner: adapt again")
        # Before anything is built: a size in the file may ask for more than any machine has.
        container.check_size(path, learner, own=encoder is None)
        # Never transductive: an example is answered alone as it is among others.
        return _task(path, about, tensors, replace(learner, transductive=False), find)


def _task(
    path: Path,
    about: dict[str, Any],
    tensors: dict[str, Tensor],
    learner: Learner,
    find: Callable[[str], Encoder | None],
) -> Task:
    rows, names, gate, weights = (
        tensors.pop(_ROWS),
        tensors.pop(_NAMES, None),
        tensors.get(_GATE),
        tensors.get(_WEIGHTS),
    )
    if rows.dtype not in (torch.uint8, torch.float32) or rows.ndim < 2 or not bool(rows.float().isfinite().all()):
        raise ValueError("its examples are no rows of numbers")
    history = History.from_json(about["history"], len(rows))
    classes, entry = list(about["classes"]), about["source"]
    if classes != list(history.members()):
        raise ValueError("its classes are not those of its history")
    tensors |= {name: tensors[source] for name, source in about["same"].items()}
    # NaN in one weight answers with probability NaN, which nobody asks about; so it is looked for once, here.
    broken = next((k for k, v in tensors.items() if v.is_floating_point() and not bool(v.isfinite().all())), None)
    if broken is not None:
        raise ValueError(f"'{broken}' holds NaN or infinite values")
    params = {k.removeprefix("params."): v for k, v in tensors.items() if k.startswith("params.")}
    for name, blank in learner.init(0).items():
        value = params.get(name, torch.empty(0))
        grown = completed(learner, value, blank)
        if name not in params or value.dtype != blank.dtype or (value.shape != blank.shape and not grown):
            raise ValueError(f"its parameter '{name}' is not of the shape and type that its network has")
    checkpoint.restore_buffers(learner, tensors)
    shape, encoder, named = tuple(rows.shape[1:]), None, None
    blank = dry_run(learner, params, shape, len(classes))
    # The dry run says which tensors there are and how they lie; the file only fills them.
    # What is empty may be missing: files of before a learner had it, such as what `gaussian_memory` keeps of values.
    empty = {f"adapted.{name}": leaf for name, leaf in tree.items(blank) if not leaf.numel()}
    adapted = tree.rebuild(blank, empty | tensors, "adapted.")
    _check_like(blank, adapted)
    if answers(learner, params, adapted, shape) < len(classes):
        raise ValueError(f"it has fewer answers than its {len(classes)} classes")
    if any(isinstance(label, str) and len(label) > _LONGEST_NAME for label in classes):
        raise ValueError("the name of a class is too long")
    with torch.no_grad():
        own = learner.predict(params, adapted, floats(rows[:_ASKED] if len(rows) or names is None else names[:_ASKED]))
    if not bool(own.isfinite().all()):  # finite numbers can be so large that their squares are not
        raise ValueError("what it learned gives no finite answers")
    if entry["encoder"]:
        named = entry["encoder"] if isinstance(entry["encoder"], str) else None  # true: as the source
        encoder = _encoder(path, named or str(entry["name"]), find, shape, entry.get("pin"))
        if others := {name: tensors[f"{_TUNED}{name}"] for name in entry.get("tuned", ())}:
            encoder = Tuned(encoder, others)
    if entry["kind"] not in get_args(Kind):
        raise ValueError(f"there are no examples of kind {entry['kind']!r}")
    wanted = checked_wanted(Wanted(about["reject"], about.get("coverage")), classes)
    if gate is not None and (gate.dtype != torch.float32 or gate.shape != (rows[0].numel() + 1,)):
        raise ValueError("its gate is not of the length of its rows")
    if weights is not None and (
        weights.dtype != torch.float32 or weights.shape != (len(rows),) or not bool((weights > 0).all())
    ):
        raise ValueError("its weights are not those of its rows")
    choice = _choice(about.get("head"), learner, encoder)
    asked, descriptions, of_classes, use = class_names.from_json(about.get("names"), names, shape)
    source = Source(
        name=str(entry["name"]),
        learner=learner,
        params=params,
        kind=entry["kind"],
        shape=shape,
        preprocessing=sources.checked_preprocessing(entry["preprocessing"]),
        reading=Reading.from_json(entry.get("reading")),
        columns=_columns(entry.get("columns"), shape),
        encoder=encoder,
        encoder_name=named,
        calibration=None if entry["calibration"] is None else Calibration(**entry["calibration"]),
        head=None if choice is None else choice.asked,
        names=asked,
        descriptions=descriptions,
        tuning=None if about.get("tuning") is None else Tuning.from_json(about["tuning"]),
    )
    return Task(
        source=source,
        adapted=adapted,
        classes=classes,
        rows=rows,
        weights=weights,
        history=history,
        calibration=Calibration(**about["calibration"]),
        wanted=wanted,
        choice=choice,
        named=of_classes,
        use=use,
        gate=gate,
        drift=Drift.from_json(about.get("drift")),
        budget=budget.checked(about.get("budget")),
    )


def _choice(entry: Any, learner: Learner, encoder: Encoder | None) -> Choice | None:
    """The head of a task; files of earlier releases do not say it, and had the centroids alone."""
    encoded = encoder is not None
    if entry is None and encoded and isinstance(learner, NearestCentroid):
        return Choice(asked="centroid", head="centroid", accuracy={}, examples=0)
    choice = None if entry is None else Choice.from_json(entry)
    if choice is not None and not heads.is_head(learner, choice.head, encoded):
        raise ValueError("its head is not what it learned with")
    return choice


def _local_encoder(allow: Sequence[str], name: str) -> Encoder | None:
    """The encoder of a name; not of a folder, which would be some other file of this machine."""
    return None if files.is_folder(Path(name)) and name not in sources.names() else sources.source(name, allow).encoder


def _encoder(path: Path, name: str, find: Callable[[str], Encoder | None], shape: tuple[int, ...], pin: Any) -> Encoder:
    encoder = find(name)
    if encoder is None:
        raise InputError(f"{path} names the encoder '{name}', which there is none of: adapt again")
    if pin is not None and content_of(encoder) != pin["content"]:
        # A repository goes on, and its revision of then may still be here.
        old = None if pin["revision"] is None else f"{name}@{pin['revision']}"
        with contextlib.suppress(InnerloopError):
            encoder = encoder if old is None else find(old)
        if encoder is None or content_of(encoder) != pin["content"]:
            do = "bring its files of then back" if old is None else f"fetch '{old}'"
            raise InputError(f"{path} was taught with other weights than '{name}' has now: {do}, or adapt again")
    if encoder.features is not None and (encoder.features,) != shape:
        raise InputError(
            f"{path} holds rows of {list(shape)} and the encoder '{name}' makes {encoder.features} features now: "
            "adapt again"
        )
    return encoder


def _check_like(blank: Any, adapted: Any) -> None:
    """Refuse adapted tensors of other ranks and types than the learner makes; those of examples may be longer."""
    for (name, one), (_, other) in zip(tree.items(blank), tree.items(adapted), strict=True):
        if one.ndim != other.ndim or one.dtype != other.dtype:
            raise ValueError(f"its adapted '{name}' is not of the shape and type that its learner makes")


def _columns(names: Any, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    if names is None:  # also in files of earlier releases
        return None
    if not isinstance(names, list) or shape != (len(names),) or not all(isinstance(name, str) for name in names):
        raise ValueError("its names of columns are not those of its rows")
    return tuple(names)
