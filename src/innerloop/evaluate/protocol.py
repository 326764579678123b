"""What was measured, frozen: two results may be compared when, and only when, their protocols have the same hash."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from innerloop.core import scores
from innerloop.core.errors import InputError
from innerloop.core.scores import Score

SELECTION = "nothing was chosen on the meta-test classes"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that decides which episodes are drawn and how they are scored.

    The hash covers all of it except `adaptation_steps`: how long a learner adapts is a property of the learner, so MAML
    after 10 steps, ProtoNet, which has none, and pixels can stand in one table. It is stored and printed all the same.
    """

    sampler: Mapping[str, Any]
    """`scores.tasks_of(sampler)`: data set, split, hash of the class list, ways, shots, queries, seed."""
    episodes: int
    """Number of episodes, `first .. first + episodes - 1` of the sampler."""
    first: int = 0
    normalisation: Literal["inductive", "transductive"] = "inductive"
    """Transductive: a prediction may use the other queries of its batch (their batch-norm statistics)."""
    selection: str = SELECTION
    """How hyper-parameters and the checkpoint were chosen."""
    metric: str = "accuracy"
    """The name of the score, see `innerloop.core.scores`."""
    adaptation_steps: int | None = field(default=None, compare=False)
    """Inner steps of the learner that was tested; not part of the hash."""

    @property
    def score(self) -> Score:
        """What the metric names.

        Raises:
            InputError: It is in a module of your own that is not imported.
        """
        return scores.named(self.metric)

    @property
    def covers_data(self) -> bool:
        """Whether its hash covers the data; release 0.1.0 named them only, and other data may go by the same name."""
        return "class_hash" not in self.sampler or "data" in self.sampler

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256 of its canonical JSON."""
        content = {k: v for k, v in self.to_json().items() if k != "adaptation_steps"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, equal before and after a round trip through a file."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        content["sampler"] = dict(self.sampler)
        return json.loads(json.dumps(content))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Protocol":
        """The inverse of `to_json`.

        Raises:
            InputError: Fields are missing or unknown.
        """
        try:
            return cls(**content)
        except TypeError as error:
            raise InputError(f"this is not a protocol of this version: {error}") from error

    def differences(self, other: "Protocol") -> list[str]:
        """One line per hashed entry that differs: "ways: 5 against 20"."""
        ours, theirs = dict(_entries(self)), dict(_entries(other))
        keys = [*ours, *(k for k in theirs if k not in ours)]
        missing = "nothing"
        return [
            f"{k}: {ours.get(k, missing)} against {theirs.get(k, missing)}"
            for k in keys
            if ours.get(k, missing) != theirs.get(k, missing)
        ]

    @property
    def task(self) -> str:
        """The task in words: "5-way 1-shot omniglot test"."""
        about = self.sampler
        counts = [
            f"{_range(about[k])}-{word}" for k, word in (("ways", "way"), ("shots", "shot")) if about.get(k) is not None
        ]
        data = [str(about[k]) for k in ("dataset", "split") if about.get(k)]
        return " ".join(counts + data)

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for a table, the steps and the hash last."""
        steps = "none" if self.adaptation_steps is None else str(self.adaptation_steps)
        entries = [(k.replace("_", " "), _text(v)) for k, v in _entries(self)]
        return [*entries, ("adaptation steps", steps), ("hash", self.hash)]


def _entries(protocol: Protocol) -> Iterator[tuple[str, Any]]:
    content = protocol.to_json()
    content.pop("adaptation_steps")
    yield from content.pop("sampler").items()
    yield from content.items()


def _range(value: Any) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
