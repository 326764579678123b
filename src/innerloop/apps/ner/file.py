"""The file of a tagger: encoder and what was learned from, sentence by sentence and version by version.

It is a `.fewshot` file (see `fewshot.container`) of its own kind. Tensors are `params.*` and `buffers.*` of a run's
learner, `rows` of all words in half precision, `names.*` (rows of the names of types) and `whitening.*`; its JSON has
words, texts and offsets of the sentences, their entities, and the history. What learned is learned again when it is
read, which takes milliseconds, and needs no encoder; the encoder itself is named, with a hash of its files where its
name does not say which they are.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.apps.ner.examples import check_type
from innerloop.apps.ner.settings import Decoding, Transitions, checked
from innerloop.apps.ner.sources import HEADS, Source
from innerloop.apps.ner.task import Example, Task
from innerloop.core import config
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.encoders import tokens
from innerloop.encoders.base import Pinned, content_of
from innerloop.encoders.tokens import TokenEncoder
from innerloop.encoders.whitening import Whitening
from innerloop.engine import checkpoint
from innerloop.fewshot import container
from innerloop.fewshot.history import History
from innerloop.tasks.entities.sentences import OTHER, Sentence
from innerloop.tasks.entities.words import fits

VERSION = 1
_PARAMS, _NAMES, _WHITENING, _ROWS = "params.", "names.", "whitening.", "rows"


def write(path: Path, task: Task) -> None:
    """Write the file, whole or not at all.

    Raises:
        InputError: It cannot be written, or the learner cannot be named in a file.
    """
    source, named = task.source, list(task.named)
    tensors = {f"{_PARAMS}{name}": value for name, value in source.params.items()} | {_ROWS: task.rows}
    if source.learner is not None:
        tensors |= checkpoint.buffers(source.learner)
    if source.whitening is not None:
        tensors |= {f"{_WHITENING}{name}": value for name, value in source.whitening.tensors().items()}
    tensors |= {f"{_NAMES}{i}": task.named[name] for i, name in enumerate(named)}
    about = {
        "kind": "tagger",
        "version": VERSION,
        "source": {
            "name": source.name,
            "encoder": source.encoder.name,
            "pin": source.encoder.pin.to_json() if isinstance(source.encoder, Pinned) else None,
            "head": source.head,
            "names": source.names,
            "whitened": source.whitening is not None,
            "other_weight": source.other_weight,
        },
        "learner": None if source.learner is None else config.encode(source.learner),
        "decoding": task.decoding._asdict() | {"transitions": task.decoding.transitions._asdict()},
        "sentences": [{"words": list(one.words), "text": one.text, "offsets": one.offsets} for one in task.sentences],
        "examples": task.examples,
        "named": named,
        "history": task.history.to_json(),
    }
    container.write(path, about, tensors)


def read(path: Path, allow: Sequence[str] = (), encoder: Callable[[str], TokenEncoder | None] | None = None) -> Task:
    """Read what `write` wrote.

    Args:
        path: The file.
        allow: Module prefixes besides `innerloop.` that its learner may name.
        encoder: Finds the encoder of words that the file names, for files of strangers; None: one of this machine.

    Raises:
        InputError: It is missing, damaged, of another kind or version, names foreign classes, or an encoder that is
            not here.
    """
    about, tensors = container.read(path, "tagger")
    if about.get("version") != VERSION:
        raise InputError(f"{path} is of version {about.get('version')}, this release reads {VERSION}: adapt again")
    with container.naming(path):
        return _task(path, about, tensors, allow, encoder)


def _task(
    path: Path,
    about: dict[str, Any],
    tensors: dict[str, Tensor],
    allow: Sequence[str],
    find: Callable[[str], TokenEncoder | None] | None,
) -> Task:
    broken = next((k for k, v in tensors.items() if v.is_floating_point() and not bool(v.isfinite().all())), None)
    if broken is not None:
        raise ValueError(f"'{broken}' holds NaN or infinite values")
    sentences = tuple(_sentence(entry) for entry in about["sentences"])
    rows = tensors[_ROWS]
    if rows.dtype != torch.half or rows.ndim != 2 or len(rows) != sum(len(one.words) for one in sentences):
        raise ValueError("its rows are not those of its words")
    examples = tuple(_example(entry, sentences) for entry in about["examples"])
    history = History.from_json(about["history"], len(examples))
    _check_versions(history, examples)
    source = _source(path, about, tensors, allow, find)
    if rows.shape[1] != source.encoder.features:
        raise InputError(
            f"it holds rows of {rows.shape[1]} numbers and the encoder '{source.encoder.name}' makes "
            f"{source.encoder.features} now: adapt again"
        )
    named = {name: tensors[f"{_NAMES}{i}"] for i, name in enumerate(about["named"])}
    if any(row.dtype != torch.half or row.shape != rows.shape[1:] for row in named.values()):
        raise ValueError("rows of its types are not like those of its words")
    task = Task(
        source=source,
        decoding=_decoding(about["decoding"]),
        sentences=sentences,
        rows=rows,
        examples=examples,
        history=history,
        named=named,
    )
    return task.at(history)  # learns, and refuses what cannot be learned


def _source(
    path: Path,
    about: dict[str, Any],
    tensors: dict[str, Tensor],
    allow: Sequence[str],
    find: Callable[[str], TokenEncoder | None] | None,
) -> Source:
    entry, learner = about["source"], None
    if about["learner"] is not None:
        learner = config.decode(about["learner"], allow)
        if not isinstance(learner, Learner):
            raise ValueError(f"it holds a {type(learner).__name__}, not a learner")
        container.check_size(path, learner, own=find is None)
    params = {k.removeprefix(_PARAMS): v for k, v in tensors.items() if k.startswith(_PARAMS)}
    for name, blank in learner.init(0).items() if learner is not None else ():
        if name not in params or params[name].dtype != blank.dtype or params[name].shape != blank.shape:
            raise ValueError(f"its parameter '{name}' is not of the shape and type that its network has")
    if learner is not None:
        checkpoint.restore_buffers(learner, tensors)
    if (learner is None) != (entry["head"] in HEADS):
        raise ValueError("it has neither a head nor a learner, or both")
    name = str(entry["encoder"])
    encoder = (find or tokens.named)(name)
    if encoder is None:
        raise InputError(f"it names the encoder of words '{name}', which there is none of: adapt again")
    if entry["pin"] is not None and content_of(encoder) != entry["pin"]["content"]:
        raise InputError(f"it was taught with other weights than '{name}' has now: bring those back, or adapt again")
    kept = {k.removeprefix(_WHITENING): v for k, v in tensors.items() if k.startswith(_WHITENING)}
    return Source(
        name=str(entry["name"]),
        encoder=encoder,
        whitening=Whitening.of(kept) if entry["whitened"] else None,
        head=entry["head"],
        learner=learner,
        params=params,
        names=bool(entry["names"]),
        other_weight=_weight(entry["other_weight"]),
    )


def _weight(entry: Any) -> float | None:
    if entry is not None and not (type(entry) in (int, float) and 0 < entry < math.inf):
        raise ValueError("what words of none count is no weight")
    return entry


def _sentence(entry: dict[str, Any]) -> Sentence:
    words, text, offsets = entry["words"], entry["text"], entry["offsets"]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError("a sentence of it has no words")
    places = None if offsets is None else tuple((int(start), int(end)) for start, end in offsets)
    sentence = Sentence(tuple(words), (), text, places)
    if not isinstance(text, str | None) or not fits(sentence):
        raise ValueError("the words of a sentence are not in its text")
    return sentence


def _example(entry: Sequence[int], sentences: Sequence[Sentence]) -> Example:
    example = Example(*entry)
    if not all(type(number) is int for number in example) or not 0 <= example.sentence < len(sentences):
        raise ValueError("an example is in no sentence")
    if not 0 <= example.start <= example.end <= len(sentences[example.sentence].words):
        raise ValueError("an entity is out of its sentence")
    return example


def _check_versions(history: History, examples: Sequence[Example]) -> None:
    """Refuse entities without words, or of sentences that a version does not have."""
    for number, members in enumerate(history.each(), 1):
        there = {examples[row].sentence for row in members.get(OTHER, ())}
        for label, rows in members.items():
            if label == OTHER:
                continue
            check_type(label, f"version {number}")
            if any(examples[row].start == examples[row].end or examples[row].sentence not in there for row in rows):
                raise ValueError(f"version {number} has an entity without words, or without its sentence")


def _decoding(entry: dict[str, Any]) -> Decoding:
    transitions = Transitions(**{name: float(count) for name, count in entry["transitions"].items()})
    return checked(Decoding(**{**entry, "transitions": transitions}))
