"""What a tagger starts from: an encoder of words with a head, or a run that was meta-trained on entities."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from innerloop.apps.ner.settings import ENCODER, HEAD, SHIPPED, SOURCE, Head, shipped
from innerloop.core import files
from innerloop.core.aligned import from_numpy, packed
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import nearest
from innerloop.core.objectives import normalize
from innerloop.core.types import Params
from innerloop.encoders import tokens
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import TokenEncoder, TokenRows
from innerloop.encoders.whitening import Whitening
from innerloop.engine import checkpoint
from innerloop.engine import load as load_run
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.as_is import AsIs
from innerloop.tasks.entities.datasets import crossner
from innerloop.tasks.entities.episodes import weights
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
    other_weight: float | None = None
    """What words of none count together, where those of a type, on average, count as 1; None: each word as 1."""

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

    def weights(self, y: Tensor) -> Tensor | None:
        """[n] what words of these classes count, as `tasks.entities.episodes` weighs a support; None: 1."""
        if self.other_weight is None:
            return None
        classes = y.numpy()[None]
        ways = max(int(y.max()), 1)
        return from_numpy(weights(classes, np.ones_like(classes, bool), ways, self.other_weight)[0])

    def taught(self, words: int) -> tuple[Learner, Params]:
        """What learns from so many words."""
        if self.learner is not None:
            return self.learner, self.params
        if self.head == "prototypes":
            return ProtoNet(encoder=AsIs()), {}
        learner = GaussianMemory(encoder=AsIs(), sigma=1.0, neighbours=1, capacity=max(words, _FEWEST))
        return learner, {"log_sigma": torch.tensor(0.0)}


def source(
    name: str | Path | Source | None,
    *,
    head: Head | None = None,
    whiten: Whitening | bool = False,
    names: bool = False,
    context: Context = Context(),
) -> Source:
    """Find what a name stands for.

    Args:
        name: An encoder of words such as `minilm:3`, a shipped run such as `entities`, or a run folder (which wins if
            it has a slash or is a `Path`). None: `entities`, or `minilm:3` where a head or whitening is asked for.
        head: Of an encoder; None: prototypes.
        whiten: How its rows are whitened; True: by what differs within types of CrossNER, which has to be at hand;
            False: not at all.
        names: Whether names of types are examples.
        context: Where data sets lie, and what a run may name: importing that runs its code.

    Raises:
        InputError: There is no such thing, a package or data set is missing, or a run is of another kind.
    """
    if isinstance(name, Source):
        return _unchanged(name, head, whiten, names)
    if name is None:
        name = SOURCE if head is None and whiten is False else ENCODER
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"a tagger starts from an encoder of words or a run folder, got {type(name).__name__}")
    text = os.fspath(name)
    ours = isinstance(name, str) and text in shipped()
    if ours or isinstance(name, Path) or not _names_encoder(text):
        if head is not None or whiten is not False:
            raise InputError(f"{text} is a run, which has its own head and rows: leave out head and whiten")
        return replace(_run(str(SHIPPED / text), names, context), name=text) if ours else _run(text, names, context)
    if head is not None and head not in HEADS:
        raise InputError(f"there is no head '{head}' of a tagger{nearest(str(head), HEADS)}")
    if not isinstance(whiten, Whitening | bool):
        raise InputError(f"whiten is True, False or a Whitening, got {type(whiten).__name__}")
    if ":" not in text and text not in tokens.names():
        known = [*shipped(), *tokens.names()]
        raise InputError(f"there is no encoder of words or run '{text}'{nearest(text, known)}")
    encoder = tokens.named(text)
    whitening = _of_crossner(encoder, context) if whiten is True else whiten or None
    if whitening is not None and len(whitening.mean) != encoder.features:
        raise InputError(
            f"the whitening is of rows of {len(whitening.mean)} numbers, and {text} makes {encoder.features}: fit one "
            "on rows of this encoder"
        )
    return Source(name=text, encoder=encoder, whitening=whitening, head=head or HEAD, params={}, names=names)


def _unchanged(own: Source, head: Head | None, whiten: Whitening | bool, names: bool) -> Source:
    """A source as it is; what is asked for besides has to be what it has."""
    asked = {"head": head not in (None, own.head), "names": names and not own.names}
    asked["whiten"] = own.whitening is None if whiten is True else whiten not in (False, own.whitening)
    wrong = next((option for option, other in asked.items() if other), None)
    if wrong is not None:
        raise InputError(f"{wrong} is another than that of {own!r}, which is made already: give the name of a source")
    return own


def _names_encoder(text: str) -> bool:
    """Whether a text is meant as an encoder, perhaps one of a folder, such as `gliner:models/small`."""
    if re.match(r"[a-z][a-z-]+:", text) or text in tokens.names():
        return True
    return os.sep not in text and not files.is_folder(Path(text))


def _run(name: str, names: bool, context: Context) -> Source:
    from innerloop import problems  # every kind with its data sets: only a run folder needs them
    from innerloop.problems.entities import Entities

    folder = Path(name)
    if not files.is_folder(folder):
        raise InputError(f"there is no run folder {name}: name one, or an encoder of words such as {ENCODER}")
    record = checkpoint.read_config(folder).get("record") or {}
    try:
        problem = problems.of_record(record["task"])
    except (LookupError, TypeError) as error:
        raise InputError(f"{name} does not say what it was trained on: train one with `innerloop ner train`") from error
    if not isinstance(problem, Entities):
        raise InputError(f"{name} was trained on {problem.data}, not on entities: train one with `innerloop ner train`")
    learner, params = load_run(folder, context.allow)
    return Source(
        name=name,
        encoder=tokens.named(problem.encoder),
        whitening=problem.whitening(context),
        learner=replace(learner, transductive=False),
        params=packed(params),
        names=names,
        other_weight=problem.other_weight,
    )


def _of_crossner(encoder: TokenEncoder, context: Context) -> Whitening:
    domains = [crossner.domain(context, name) for name in crossner.SCHEMES]
    return Whitening.of_domains(domains, lambda one: rows_of(encoder, one.words, context).rows)
