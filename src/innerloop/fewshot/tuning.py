"""Whether the encoder of a task was tuned to it, and why.

What an encoder was trained on looks better through it than it is. So those examples are never held out again: what is
said of the task was measured before, on encoders tuned without them.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.plain import plain
from innerloop.fewshot.class_names import Use
from innerloop.fewshot.heads import Choice
from innerloop.fewshot.support import Support

SOURCE = "examples that the encoder was tuned without"
"""What a calibration of such a task was measured on."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was tried, and what came of it."""

    taken: bool
    """Whether the encoder is the tuned one."""
    seconds: float
    """That it was given."""
    steps: int = 0
    """That tuning to all examples takes, a batch each; 0: it was not tried."""
    why_not: str = ""
    """Why it was not tried; empty: it was."""
    examples: int = 0
    """Held-out examples that both encoders were asked about."""
    accuracy: tuple[float, float] | None = None
    """Share of them named correctly, by the encoder as it comes and by the tuned one."""
    gained: int = 0
    """How many the tuned one alone names correctly."""
    lost: int = 0
    """How many the other alone does."""
    choice: Choice | None = None
    """The head that was best behind the tuned encoder; None: a run, whose learner needs none."""
    use: Use | None = None
    """Whether names of classes are learned from, which was asked of the encoder as it comes."""
    scores: tuple[float, ...] = ()
    """What held-out examples score where "none of these" is decided."""
    seen: frozenset[str] = frozenset()
    """Digests of the rows of the examples that the tuned encoder was trained on."""

    @property
    def gain(self) -> tuple[float, float]:
        """Share of held-out examples that tuning gains, and its 95% interval: the same ones are asked of both."""
        n, net, apart = max(self.examples, 1), self.gained - self.lost, self.gained + self.lost
        return net / n, 1.96 * math.sqrt(max(apart - net**2 / n, 0.0)) / n

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        if self.accuracy is None:
            return f"the encoder stays as it comes: {self.why_not}"
        before, after = (f"{100 * share:.1f}%" for share in self.accuracy)
        gain, ci95 = self.gain
        told = f"{after} of {self.examples} held-out examples correctly, as it comes {before}"
        told += f" ({100 * gain:+.1f} ± {100 * ci95:.1f} points, {self.steps} steps)"
        if self.taken:
            return f"the encoder was tuned: so it names {told}"
        return f"the encoder stays as it comes, since tuning is not clearly better: tuned it names {told}"

    def kept(self, rows: Tensor) -> Tensor:
        """[n] bool, which of [n, ...] float32 rows the encoder was trained on."""
        if not self.seen:
            return torch.zeros(len(rows), dtype=torch.bool)
        return torch.tensor([digest in self.seen for digest in digests(rows)], dtype=torch.bool)

    def marked(self, given: Support) -> Support:
        """A support some of whose rows the encoder was trained on: they are learned from, and never held out."""
        seen = self.kept(given.x)
        return given._replace(kept=seen if given.kept is None else seen | given.kept, tuning=self)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "taken": self.taken,
            "seconds": self.seconds,
            "steps": self.steps,
            "why_not": self.why_not,
            "examples": self.examples,
            "accuracy": None if self.accuracy is None else list(self.accuracy),
            "gained": self.gained,
            "lost": self.lost,
            "choice": None if self.choice is None else self.choice.to_json(),
            "use": None if self.use is None else self.use.to_json(),
            "scores": list(self.scores),
            "seen": sorted(self.seen),
        }

    def told(self) -> dict[str, Any]:
        """What somebody wants to know of it, in plain JSON."""
        gain, ci95 = self.gain
        known = {key: value for key, value in self.to_json().items() if key not in ("choice", "use", "scores", "seen")}
        return known | {"gain": gain, "gain_ci95": ci95, "reason": self.reason}

    @classmethod
    def from_json(cls, entry: Any) -> "Tuning":
        """What `to_json` made.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: It is something else.
        """
        numbers = {key: entry[key] for key in ("steps", "examples", "gained", "lost")}
        if any(type(value) is not int or value < 0 for value in numbers.values()) or type(entry["taken"]) is not bool:
            raise ValueError("its tuning was none")
        shares = entry["accuracy"]
        if shares is not None:
            before, after = map(float, shares)
            shares = (before, after)
        scores = tuple(map(float, entry["scores"]))
        if not all(map(math.isfinite, (*scores, *(shares or ())))):
            raise ValueError("its tuning was measured in no finite numbers")
        return cls(
            taken=entry["taken"],
            seconds=float(entry["seconds"]),
            why_not=str(entry["why_not"]),
            accuracy=shares,
            choice=None if entry["choice"] is None else Choice.from_json(entry["choice"]),
            use=None if entry["use"] is None else Use.from_json(entry["use"]),
            scores=scores,
            seen=frozenset(map(str, entry["seen"])),
            **numbers,
        )


def checked_seconds(seconds: Any) -> float:
    """How long tuning may take.

    Raises:
        InputError: No finite number above 0.
    """
    value = plain(seconds)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InputError(f"tune_encoder is a number of seconds above 0, such as 120; got {seconds!r}")
    return float(value)


def digests(rows: Tensor) -> list[str]:
    """What each of [n, ...] float32 rows is recognised by, wherever it lies."""
    arrays: Iterable[Any] = rows.detach().float().contiguous().numpy()
    return [hashlib.blake2b(one.tobytes(), digest_size=8).hexdigest() for one in arrays]
