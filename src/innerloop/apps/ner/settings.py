"""Settings of a tagger that are words or numbers: reading options takes no torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest

Head = Literal["nearest", "prototypes"]
"""What tells types apart by the rows of a frozen encoder. nearest: a word is as near to a type as to its nearest word
(NNShot, Yang and Katiyar 2020). prototypes: as to the mean of its words."""
Decode = Literal["viterbi", "argmax"]
"""viterbi: the most probable sentence as a whole (StructShot, Yang and Katiyar 2020). argmax: word by word."""
Tagging = Literal["io", "bio"]
"""What words are told apart by. io: their types, so that entities of one type side by side are one. bio: also whether
an entity begins, which no word says by itself: both states of a type share what is said of the type, and transitions
alone tell them apart."""
SOURCE, ENCODER, HEAD = "entities", "minilm:3", "prototypes"
"""What a tagger starts from where nobody says it: a run, or where a head or whitening is asked for, an encoder."""
SHIPPED = Path(__file__).parent / "shipped"
"""Runs that come with the package, each with its card."""


def shipped() -> dict[str, str]:
    """Names of the runs that come with the package, and what they are: the first line of their card."""
    cards = sorted(SHIPPED.glob("*/card.md"))
    return {card.parent.name: card.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for card in cards}


class Transitions(NamedTuple):
    """How often a word followed another, by what they belong to."""

    start_none: float
    """Sentences that begin outside of entities."""
    start_entity: float
    none_none: float
    none_entity: float
    """An entity begins behind a word of none."""
    entity_none: float
    goes_on: float
    """An entity has one word more."""
    same: float
    """An entity begins right behind another of its own type."""
    other: float
    """An entity begins right behind one of another type."""


CROSSNER = Transitions(524, 176, 13064, 3872, 4045, 5224, 12, 40)
"""Counted on the 700 training sentences of CrossNER's five domains (Liu et al., AAAI 2021; MIT licence)."""


class Decoding(NamedTuple):
    """How a sentence is decoded from what is said of its words."""

    decode: Decode = "viterbi"
    tagging: Tagging = "io"
    transitions: Transitions = CROSSNER
    tau: float = 0.3
    """Power that probabilities of transitions are raised to: the smaller, the less they count."""
    temperature: float = 1.0
    """What logits are divided by before they are probabilities of a word's type."""


USUAL: Mapping[str | None, tuple[float, float]] = {"nearest": (0.15, 0.3), "prototypes": (0.2, 0.2), None: (0.3, 1.0)}
"""tau and temperature of each head, and of a run's own learner, whose logits are trained to be those of probabilities.
Heads: chosen by hand on CrossNER and WNUT17 from what `python -m benchmarks.viterbi --choose` prints."""


def checked(decoding: Decoding) -> Decoding:
    """A decoding whose values make sense.

    Raises:
        InputError: One does not.
    """
    for name, value, choices in (("decode", decoding.decode, Decode), ("tagging", decoding.tagging, Tagging)):
        if value not in get_args(choices):
            raise InputError(f"there is no {name} {value!r}{nearest(str(value), get_args(choices))}")
    for name, value in (("tau", decoding.tau), ("temperature", decoding.temperature)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise InputError(f"{name} is a number above 0, got {value!r}")
    if not isinstance(decoding.transitions, Transitions):
        raise InputError(
            f"transitions are `Transitions`, as `apps.ner.decode.counted` makes, got {decoding.transitions!r}"
        )
    wrong = [name for name, count in decoding.transitions._asdict().items() if not 0 <= count < math.inf]
    if wrong:
        raise InputError(f"transitions are counts from 0 on; {wrong[0]} is {getattr(decoding.transitions, wrong[0])}")
    return decoding
