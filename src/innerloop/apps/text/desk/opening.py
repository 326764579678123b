"""A desk from files: intents, replies, documents, answers given before."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from innerloop import encoders
from innerloop.apps.text.desk import passages, replies
from innerloop.apps.text.desk.desk import Desk
from innerloop.apps.text.desk.search import Index
from innerloop.apps.text.desk.settings import HAND_OVER, DeskOptions
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.files import expanded
from innerloop.core.names import unified
from innerloop.encoders.base import content_of
from innerloop.fewshot import sources
from innerloop.fewshot.asking import opened
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import Source
from innerloop.tasks import cache, tables
from innerloop.tasks.columns import TableOptions

STRANGERS = 0.05
"""Share of messages of no intent that may be taken for one, where a table is taught."""
_SHOWN = 60
"""Characters of a sentence in a message."""


def classifier(
    subject: str | Path,
    context: Context = Context(),
    *,
    source: str = "use-multilingual",
    table: TableOptions = TableOptions(),
) -> FewShotClassifier:
    """What names the intent of a message; taught by a table, it says where none is near.

    Args:
        subject: What `innerloop adapt` wrote, or a table of sentences and their intents.
        context: What a file may name.
        source: What a table is taught to, see `innerloop list`.
        table: How a table is read.

    Raises:
        InputError: It cannot be read, or is no task of texts; an intent has a single sentence, or a sentence two.
    """
    path = expanded(subject)
    if tables.is_table(path):
        about = sources.source(source, context.allow)
        _check_texts(about)
        return FewShotClassifier(about, reject=STRANGERS, allow=context.allow).fit(*_sentences(path, table))
    task = opened(subject, context)
    _check_texts(task.task.source)
    return task


def desk(source: Source, intents: Sequence[str], options: DeskOptions, context: Context = Context()) -> Desk:
    """What it says beside naming intents.

    Args:
        source: Of the task: its encoder reads the passages.
        intents: Classes of the task.
        options: Where replies and documents are.
        context: Where encoded passages are kept.

    Raises:
        InputError: A file cannot be read, or answers an intent that there is none of.
    """
    known = {} if options.replies is None else replies.read(options.replies, intents)
    quoted = [] if options.documents is None else passages.read(options.documents)
    quoted += [] if options.past is None else passages.answers(options.past)
    return Desk(
        replies=known,
        passages=quoted,
        index=indexed(source, quoted, context) if quoted else None,
        near=options.near,
        hand_over=HAND_OVER if options.hand_over is None else (options.hand_over,),
    )


def indexed(source: Source, quoted: Sequence[passages.Passage], context: Context | None = None) -> Index:
    """Passages that can be searched by a task's encoder.

    Args:
        source: Of the task.
        quoted: The passages, at least one.
        context: In whose cache folder rows are kept; None: in memory alone.

    Raises:
        InputError: The source reads no texts, or bm25s is not installed.
    """
    texts = [passage.searched for passage in quoted]
    name = source.encoder_name or source.name
    known = content_of(source.encoder) or (name if name in encoders.names() else None)
    # Where nothing says that it is the same network next time, rows are made anew.
    if context is None or known is None or source.tuning is not None:
        return Index(texts, _rows(source, texts))
    digest = hashlib.sha256("\0".join((known, *texts)).encode(errors="surrogatepass")).hexdigest()[:16]
    kept = cache.cached(context, f"passages-{digest}", lambda: {"rows": _rows(source, texts).numpy()}, ("rows",))
    return Index(texts, from_numpy(np.asarray(kept["rows"])))


def _rows(source: Source, texts: list[str]) -> Tensor:
    assert source.encoder is not None
    return torch.as_tensor(source.encoder.encode(texts))


def _check_texts(source: Source) -> None:
    if source.kind != "texts" or source.encoder is None:
        raise InputError(f"a support desk reads texts, and '{source.name}' reads {source.kind}: take use-multilingual")


def _sentences(path: Path, table: TableOptions) -> tuple[list[str], list[str]]:
    """Sentences and intents of a table that contradict each other nowhere."""
    texts, labels, places = list[str](), list[str](), list[str]()
    try:
        with path.open("rb") as file:
            for row in tables.rows(file, str(path), "texts", table):
                for cell, what in ((row.example, "a sentence"), (row.label, "an intent")):
                    if not isinstance(cell, str) or not cell.strip():
                        raise InputError(f"{path}, {row.place} lacks {what}: each line has both")
                texts.append(row.example)
                labels.append(row.label)
                places.append(row.place)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    labels = unified(labels)
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        before = first.setdefault(" ".join(text.casefold().split()), i)
        if labels[before] != labels[i]:
            raise InputError(
                f"{path}: '{text[:_SHOWN]}' is '{labels[before]}' on {places[before]} and '{labels[i]}' on "
                f"{places[i]}: take one of them out"
            )
    for intent in dict.fromkeys(labels):
        if labels.count(intent) < 2:
            raise InputError(
                f"{path}: intent '{intent}' has 1 sentence; give 2 or more, since one is held out to learn how near "
                "is near enough"
            )
    return texts, labels
