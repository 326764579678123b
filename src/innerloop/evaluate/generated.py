"""What was found of generated examples, kept in a run folder beside its tests."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.evaluate import seal
from innerloop.evaluate.ink import WORDS, Rule

_PLAIN = ("learner", "ink", "ways", "shots", "count", "tasks", "judge")
_MEASURED = ("recognised", "real", "pasted", "diversity", "novelty", "bits")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What `generation` measured; every interval is over tasks."""

    recognised: Interval
    real: Interval
    """Real examples that were not given, under the same rule of ink: the ceiling."""
    pasted: Interval
    """One example of the support pasted as often: its diversity is 0."""
    diversity: Interval
    """Distance between examples of a class, relative to real ones."""
    novelty: Interval
    """Distance to the nearest example of the support, relative to real ones."""
    bits: Interval | None
    """Bound on bits per number of real examples that were not given; None: the learner has none."""
    learner: str
    ink: Rule
    ways: int
    shots: int
    count: int
    """Examples of each class that were generated."""
    tasks: int
    judge: str
    sampler: Mapping[str, Any] = field(default_factory=dict)
    parameters: str | None = None
    """Hash of the parameters that generated; None: not of a run."""
    step: int | None = None
    sealed: bool = True
    """Whether the file carries a digest."""
    options: Mapping[str, Any] | None = None
    """Options of `innerloop test` that were not as usual."""
    baseline: ClassVar[str | None] = None
    """What it is beside stands in the same file."""

    @property
    def conditions(self) -> str:
        """What was generated and who judged it, in words."""
        data = f"{self.sampler.get('dataset', 'data')} {self.sampler.get('split', '')}".strip()
        return (
            f"{self.count} examples of each of {self.ways} classes from {self.shots}, {self.tasks} tasks of {data}, "
            f"judged by {self.judge}, {WORDS[self.ink]}"
        )

    def table(self) -> list[list[str]]:
        """Name, number and what it is to be compared with."""
        rows = [
            ["recognised", _percent(self.recognised), f"real examples {_percent(self.real)}"],
            ["", "", f"one given example pasted {_percent(self.pasted)}"],
            ["diversity", _ratio(self.diversity), "of real examples; pasted 0"],
            ["novelty", _ratio(self.novelty), "of real examples' distance to the nearest given one; copies 0"],
        ]
        return rows + ([] if self.bits is None else [["bound", _ratio(self.bits), "bits per number of real examples"]])

    def __str__(self) -> str:
        lines = [f"{name:<12}{value:<15}{beside}" for name, value, beside in self.table()]
        return "\n".join([f"generated: {self.conditions}", *lines])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        measured = {k: _entry(getattr(self, k)) for k in _MEASURED}
        return measured | {k: getattr(self, k) for k in _PLAIN} | {"sampler": dict(self.sampler)}

    def command(self, run: str | Path) -> str:
        """What to type to measure it again in a run folder."""
        words = ["--judge", self.judge, "--judged", str(self.tasks), "--ink", self.ink]
        return f"{seal.renewal(run, self.options or {})} {shlex.join(words)}"

    def save(self, run: str | Path) -> Path:
        """Write `generated-<hash of how it was measured>.json` into a run folder, whole or not at all."""
        own = self.parameters is not None and self.parameters == seal.parameters_of(run)
        about = {k: getattr(self, k) for k in _PLAIN} | {"sampler": dict(self.sampler)}
        content = self.to_json() | {"parameters": self.parameters, "step": seal.step_of(run) if own else None}
        content |= {"options": None if self.options is None else dict(self.options)}
        path = Path(run) / f"generated-{seal.digest(about)}.json"
        files.write(path, json.dumps(content | {seal.DIGEST: seal.digest(content)}, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Generation":
        """Read what `save` wrote.

        Raises:
            InputError: It is missing, something else, or was edited.
        """
        command = seal.renewal(Path(path).parent, {})
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=seal.refuse_constant)
            sealed = seal.check_seal(path, content, command)
            about: dict[str, Any] = {k: content[k] for k in (*_PLAIN, "sampler")}
            about |= {k: _interval(content[k]) for k in _MEASURED}
            about |= {"parameters": seal.text(content.get("parameters")), "step": seal.step(content.get("step"))}
            result = cls(options=seal.options(content.get("options")), sealed=sealed, **about)
            str(result)  # whatever is said of it can be said
        except InputError:
            raise
        except Exception as error:  # whatever a damaged file makes of it
            raise seal.unread(path, error, "holds nothing about generated examples", command) from error
        return result


def saved(run: str | Path) -> list[Path]:
    """Files of a run folder that say what was found of its generated examples."""
    return sorted(Path(run).glob("generated-*.json"))


def _entry(value: Interval | None) -> list[float | None] | None:
    """Mean and half-width; of one task there is no width, for which JSON has no word but null."""
    return None if value is None else [v if v == v else None for v in value]


def _interval(entry: Any) -> Interval | None:
    if entry is None:
        return None
    mean, half = entry
    return Interval(seal.number(mean), float("nan") if half is None else seal.number(half))


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.ci95:.1f}%"


def _ratio(value: Interval) -> str:
    return f"{value.mean:.2f} ± {value.ci95:.2f}"
