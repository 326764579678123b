"""Names of classes as examples: what "card payment fee" says of its class before anybody gave a sentence of it.

An encoder of texts makes a row of a name as of any text. It is learned from like an example, counts as `WEIGHT` of
them, and is never held out. Whether names are learned from is asked of the examples themselves: "class 7" says nothing.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.interval import Share
from innerloop.core.nearest import nearest
from innerloop.core.prototypes import cosine
from innerloop.core.threads import on_one_core
from innerloop.encoders.base import Encoder
from innerloop.encoders.tuned import Tuned
from innerloop.fewshot import calibrate
from innerloop.fewshot.history import Label
from innerloop.fewshot.settings import Names
from innerloop.fewshot.support import Support
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

if TYPE_CHECKING:
    from innerloop.fewshot.sources import Source

WEIGHT = 2
"""Examples that a name counts as. Of 1, 2, 3 and 5 it was the best for logistic regression on held-out training
sentences of BANKING77 and CLINC150, and level with 1 for other heads (`python -m benchmarks.names --weights`)."""
_SAY_MUCH = 0.3
"""Share of examples, beyond what chance gives, that must find their class by names alone. BANKING77's names reach 0.4
to 0.5 of 77 classes and more of fewer, those that say nothing 0. Names that stand at wrong classes cost accuracy up to
0.35 of 77 classes and 0.7 of 5 (there as well), which only a second example of a class tells."""
_LONGEST = 2_000
"""Characters of a description."""


class Named(NamedTuple):
    """Classes and rows of their names."""

    labels: tuple[Label, ...]
    rows: Tensor  # [k, d] float32


@dataclass(frozen=True, kw_only=True)
class Use:
    """Whether names are learned from, and why."""

    asked: Names
    used: bool
    examples: int
    """Number that were asked which name is nearest to them."""
    found: int
    """Number of these to which that of their class was."""
    ways: int
    accuracy: tuple[float, float] | None = None
    """Share of held-out examples named correctly without names, and with them; None: no class has a second example."""
    without: int = 0
    """Number of classes that have no example."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        if self.asked == "on":
            return "names of classes are learned from, as was asked for"
        if self.without:
            classes = f"{self.without} class{'es have' if self.without > 1 else ' has'}"
            return f"names of classes are learned from, since {classes} no example"
        told = f"by names alone {self.found} of {self.examples} examples find their class"
        if not self.used and self.accuracy is None:
            return f"names of classes are not learned from, since {told}, which is not clearly better than chance"
        if self.accuracy is None:
            return f"names of classes are learned from, since {told}"
        before, after = (f"{100 * share:.1f}%" for share in self.accuracy)
        verb = "are" if self.used else "are not"
        level = ", which is level" if self.used and self.accuracy[1] < self.accuracy[0] else ""
        held = f"without them {before} of held-out examples are nearest to their centroid, with them {after}{level}"
        return f"names of classes {verb} learned from: {held}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "asked": self.asked,
            "used": self.used,
            "examples": self.examples,
            "found": self.found,
            "ways": self.ways,
            "accuracy": None if self.accuracy is None else list(self.accuracy),
            "without": self.without,
        }

    @classmethod
    def from_json(cls, entry: Any) -> "Use":
        """What `to_json` made.

        Raises:
            ValueError, TypeError, KeyError: It is something else.
        """
        counts = {key: entry[key] for key in ("examples", "found", "ways", "without")}
        if (
            any(type(count) is not int or count < 0 for count in counts.values())
            or counts["found"] > counts["examples"]
        ):
            raise ValueError("its names were not found by its examples")
        if entry["asked"] not in get_args(Names) or type(entry["used"]) is not bool:
            raise ValueError("its names are neither learned from nor not")
        shares = entry["accuracy"]
        if shares is not None:
            before, after = map(float, shares)
            shares = (before, after)
        return cls(asked=entry["asked"], used=entry["used"], accuracy=shares, **counts)


def reading(source: "Source", names: Names | None, descriptions: Mapping[str, str] | None) -> "Source":
    """The source as names are to be read.

    Args:
        source: As it is otherwise.
        names: Whether they are learned from; None: as the source has it.
        descriptions: What classes are, by their names; None: as the source has it.

    Raises:
        InputError: There is no such answer, or the source cannot read them.
    """
    if names is None and not descriptions:
        return source
    if names is not None and (not isinstance(names, str) or names not in get_args(Names)):
        raise InputError(f"names are auto, on or off; got {names!r}{nearest(str(names), get_args(Names))}")
    if source.names is None and (names != "off" or descriptions):
        what = "descriptions" if descriptions else f"names='{names}'"
        raise InputError(
            f"'{source.name}' cannot read what classes are called, so that {what} cannot be taken: leave it out, or "
            "name an encoder of texts such as use-multilingual, or a run on texts"
        )
    if source.names is None:
        return source
    known = source.names if names is None else names
    return replace(
        source, names=known, descriptions=source.descriptions if descriptions is None else _texts(descriptions)
    )


def _texts(descriptions: Any) -> dict[str, str]:
    if not isinstance(descriptions, Mapping):
        raise InputError(f"descriptions are a dict of names and texts; got {type(descriptions).__name__}")
    for label, text in descriptions.items():
        if not isinstance(label, str) or not isinstance(text, str) or not text.strip():
            raise InputError(f"the description of {label!r} is no text: give one, such as 'they want their money back'")
        if len(text) > _LONGEST:
            raise InputError(f"the description of {label!r} has {len(text):,} characters, and {_LONGEST:,} is most")
    return dict(descriptions)


def declared(classes: Any) -> list[str]:
    """Classes that are known by their names, as they were given.

    Raises:
        InputError: They are no list of different texts.
    """
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise InputError(f"classes are a list of their names, such as ['refund', 'delivery']; got {classes!r}")
    for label in classes:
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"a class is known by its name, which {label!r} is not: give a text")
    if len(set(classes)) < len(classes):
        twice = next(label for i, label in enumerate(classes) if label in classes[:i])
        raise InputError(f"class {twice!r} is there twice: give each name once")
    return [str(label) for label in classes]


def words(label: str) -> str:
    """A name as people say it: `card_paymentFee` is "card payment Fee"."""
    apart = re.sub(r"(?<=[a-z]{2})(?=[A-Z][a-z])", " ", label)
    return " ".join(re.sub(r"[_\-./\\]+", " ", apart).split()) or label


def completed(known: Named | None, source: "Source", labels: Sequence[Label]) -> Named | None:
    """Rows of the names of classes, known ones as they are; None where the source reads none, or no name is a text."""
    if source.names in (None, "off") or source.encoder is None:
        return None
    old = () if known is None else known.labels
    new = [label for label in labels if isinstance(label, str) and label not in old]
    row = source.encoder.alone if isinstance(source.encoder, Tuned) else functools.partial(_row, source.encoder)
    rows = [row(text(label, source.descriptions)) for label in new]
    if known is not None:
        rows = [known.rows, *rows]
    return Named((*old, *new), torch.cat(rows)) if rows else None


def to_json(source: "Source", named: Named | None, use: Use | None) -> dict[str, Any] | None:
    """What a file says of names, but for their rows; None: the source reads none."""
    if source.names is None:
        return None
    return {
        "asked": source.names,
        "descriptions": dict(source.descriptions),
        "labels": [] if named is None else list(named.labels),
        "use": None if use is None else use.to_json(),
    }


def from_json(
    entry: Any, rows: Tensor | None, shape: tuple[int, ...]
) -> tuple[Names | None, dict[str, str], Named | None, Use | None]:
    """What a file says of names: whether they are learned from, descriptions, rows, and what came of them.

    Args:
        entry: What `to_json` made; None: of a source that reads none, or of an earlier release.
        rows: [k, d] of the names; None: there are none.
        shape: Of an example.

    Raises:
        ValueError, TypeError, KeyError: It is something else.
        InputError: Descriptions are no texts.
    """
    if entry is None:
        return None, {}, None, None
    asked, labels, use = entry["asked"], entry["labels"], entry["use"]
    if asked not in get_args(Names):
        raise ValueError("its names are neither auto, on nor off")
    named = None if rows is None else Named(tuple(labels), rows)
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        raise ValueError("the names of its classes are no different texts")
    if rows is None and labels:
        raise ValueError("it has no rows of the names of its classes")
    if rows is not None and (
        rows.dtype != torch.float32 or rows.shape != (len(labels), *shape) or not bool(rows.isfinite().all())
    ):
        raise ValueError("the rows of its names are not of the shape of its examples")
    return asked, _texts(entry["descriptions"]), named, None if use is None else Use.from_json(use)


def joined(asked: Names | Use, examples: Support, classes: Sequence[Label], named: Named) -> tuple[Support, Use]:
    """What a task learns from, with the names of its classes where they say enough, and why.

    Args:
        asked: Whether they are, or what was decided before.
        examples: Without names.
        classes: In sorted order.
        named: Rows of their names.
    """
    places = {label: i for i, label in enumerate(named.labels)}
    whose = [i for i, label in enumerate(classes) if label in places]
    rows, labels = named.rows[[places[classes[i]] for i in whose]], torch.tensor(whose, dtype=torch.long)
    support = _with(examples, rows, labels)
    if not isinstance(asked, Use):
        name = asked
        asked = on_one_core(lambda: _use(name, examples, rows, labels, support, len(classes)))
    return support if asked.used else examples, asked


def _with(examples: Support, rows: Tensor, places: Tensor) -> Support:
    x, y, weight = examples.x, examples.y, examples.weight
    marks = torch.cat([torch.zeros(len(x), dtype=torch.bool), torch.ones(len(rows) * WEIGHT, dtype=torch.bool)])
    rows = rows.reshape(len(rows), *x.shape[1:])
    if weight is not None:
        weight = torch.cat([weight, torch.ones(len(rows) * WEIGHT)])
    return Support(torch.cat([x, *WEIGHT * [rows]]), torch.cat([y, *WEIGHT * [places]]), marks, weight)


@torch.no_grad()
def _use(asked: Names, examples: Support, rows: Tensor, places: Tensor, support: Support, ways: int) -> Use:
    x, y = examples.x, examples.y
    counts = y.bincount(minlength=ways)
    without = int((counts == 0).sum())
    found = int((places[cosine(x.flatten(1), rows).argmax(1)] == y).sum()) if len(x) else 0
    use = functools.partial(Use, asked=asked, examples=len(x), found=found, ways=ways, without=without)
    if asked == "on" or without:
        return use(used=True)
    share, chance = found / len(x), 1 / ways
    clear = Share(found, len(x)).ends[0] > chance and (share - chance) / (1 - chance) >= _SAY_MUCH
    if not clear or int(counts.max()) < 2:
        return use(used=clear)
    learner = NearestCentroid(distance="cosine")
    # The same examples are held out with names and without.
    before, after = (
        (logits.argmax(1) == labels).double()
        for logits, labels in (calibrate.examples_left_out(learner, {}, one, ways) for one in (examples, support))
    )
    # More than chance does to those that change: where means are level, names still help the other heads.
    lost, noise = float((before - after).sum()), float((before - after).abs().sum()) ** 0.5
    return use(used=lost <= noise, accuracy=(float(before.mean()), float(after.mean())))


def text(label: str, descriptions: Mapping[str, str]) -> str:
    """What is read of a class: its name, and what is said of it."""
    about = descriptions.get(label)
    return words(label) if about is None else f"{words(label)}: {about}"


@functools.lru_cache(maxsize=4096)
def _row(encoder: Encoder, text: str) -> Tensor:
    # Alone, since encoders of texts round by company: a name has one row, whichever others there are.
    return encoder.encode([text]).detach().float()
