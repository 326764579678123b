"""What a tagger starts from: an encoder of words with a head, or a run that was meta-trained on entities."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from innerloop.apps.ner.settings import HEAD, Head
from innerloop.core import files
from innerloop.core.aligned import packed
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.objectives import normalize
from innerloop.core.types import Params
from innerloop.encoders import tokens
from innerloop.encoders.tokens import TokenEncoder, TokenRows
from innerloop.encoders.whitening import Whitening
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.as_is import AsIs
from innerloop.tasks.progress import track

HEADS: tuple[Head, ...] = ("nearest", "prototypes")
_AT_ONCE = 256
"""Sentences that are encoded together."""
_FEWEST = 64
"""Words that a memory has room for, at least."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source:
    """Words to rows, and what learns from them."""

    name: str
    """As given: `minilm:3`, `runs/entities`."""
    encoder: TokenEncoder
    whitening: Whitening | None = None
    head: Head | None = None
    """What is fitted to the rows; None: `learner`, of a run."""
    learner: Learner | None = None
    params: Params
    names: bool = False
    """Whether the name of a type is an example of it, too."""

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    def rows(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words of length 1, in half precision, in which support and query are compared."""
        parts = [sentences[start : start + _AT_ONCE] for start in range(0, len(sentences), _AT_ONCE)]
        title = f"{len(sentences):,} sentences through {self.name}"
        shown = track(parts, title, len(parts)) if len(parts) > 1 else parts
        encoded = [self.encoder.encode(part) for part in shown]
        rows = [self.scaled(rows) for rows, _ in encoded] or [torch.zeros(0, self.encoder.features, dtype=torch.half)]
        return TokenRows(torch.cat(rows), torch.tensor([len(one) for one in sentences], dtype=torch.int64))

    def scaled(self, rows: Tensor) -> Tensor:
        """[n, features] float16 what learners take of an encoder's rows, as `problems.entities` trains them."""
        return (normalize(rows) if self.whitening is None else self.whitening.apply(rows)).half()

    def taught(self, words: int) -> tuple[Learner, Params]:
        """What learns from so many words."""
        if self.learner is not None:
            return self.learner, self.params
        if self.head == "prototypes":
            return ProtoNet(encoder=AsIs()), {}
        learner = GaussianMemory(encoder=AsIs(), sigma=1.0, neighbours=1, capacity=max(words, _FEWEST))
        return learner, {"log_sigma": torch.tensor(0.0)}


def source(
    name: str | Path | Source,
    *,
    head: Head | None,
    whitening: Whitening | None,
    names: bool,
    allow: Sequence[str] = (),
) -> Source:
    """Find what a name stands for.

    Args:
        name: An encoder of words such as `minilm:3`, or a run folder (which wins if it has a slash or is a `Path`).
        head: Of an encoder; None: prototypes.
        whitening: Of its rows; None: they are as they come.
        names: Whether names of types are examples.
        allow: Module prefixes besides `innerloop.` that a run may name: importing them runs their code.

    Raises:
        InputError: There is no such thing, a package is missing, or a run is of another kind.
    """
    if isinstance(name, Source):
        return name
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"a tagger starts from an encoder of words or a run folder, got {type(name).__name__}")
    text = os.fspath(name)
    if isinstance(name, Path) or os.sep in text or (text not in tokens.names() and files.is_folder(Path(text))):
        return _run(text, allow, head, whitening, names)
    if head is not None and head not in HEADS:
        raise InputError(f"there is no head '{head}' of a tagger{nearest(str(head), HEADS)}")
    encoder = tokens.named(text)
    if whitening is not None and len(whitening.mean) != encoder.features:
        raise InputError(
            f"the whitening is of rows of {len(whitening.mean)} numbers, and {text} makes {encoder.features}: fit one "
            "on rows of this encoder"
        )
    return Source(name=text, encoder=encoder, whitening=whitening, head=head or HEAD, params={}, names=names)


def _run(name: str, allow: Sequence[str], head: Head | None, whitening: Whitening | None, names: bool) -> Source:
    folder = Path(name)
    if not files.is_folder(folder):
        raise InputError(f"there is no run folder {name}: name one, or an encoder of words such as minilm:3")
    if head is not None or whitening is not None:
        raise InputError(f"{name} is a run, which has its own head and rows: leave out head and whiten")
    record = checkpoint.read_config(folder).get("record") or {}
    task, encoder = record.get("task"), record.get("encoder")
    if not isinstance(task, dict) or task.get("data") != "entities" or not isinstance(encoder, str):
        raise InputError(f"{name} was not trained on entities: train one with `innerloop ner train`")
    learner, params = load_run(folder, allow)
    learner = replace(learner, transductive=False)
    return Source(name=name, encoder=tokens.named(encoder), learner=learner, params=packed(params), names=names)
