"""What an active-learning measurement found, kept with the accuracy of every task after every label."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.interval import SHARES, Interval, difference, interval
from innerloop.core.scores import Accuracy
from innerloop.evaluate import seal
from innerloop.evaluate.result import ONE_TRAINING, Point, spell

RANDOM = "random"
"""What every rule is compared with."""
SHOWN = (0, 1, 2, 5, 10, 20)
"""Numbers of labels that tables have, and the last."""
_PLAIN = ("learner", "normalisation", "first", "candidates", "missing", "parameters", "step")


@dataclass(frozen=True, kw_only=True, eq=False)
class ActiveCurves:
    """Accuracy after 0, 1, ... bought labels, by several rules on the same tasks."""

    learner: str
    sampler: Mapping[str, Any]
    """Tasks as they begin: `scores.tasks_of(sampler)`."""
    normalisation: Literal["inductive", "transductive"]
    first: int
    """Index of the first task."""
    candidates: int
    """Examples of each class whose labels could be bought."""
    missing: int
    """How many of the classes began without a label."""
    scores: Mapping[str, Tensor]
    """[episodes, labels + 1] float64 by rule, at random first."""
    parameters: str | None = None
    """Fingerprint of the parameters that were tested, where it is known."""
    step: int | None = None
    """Meta-step of the run that they were of, where it is known."""
    options: Mapping[str, Any] | None = None
    """Options of the `innerloop test` that measured it; None: it does not say."""
    sealed: bool = True
    baseline: ClassVar[str | None] = None
    """Random labels stand in the same file."""

    @property
    def labels(self) -> int:
        """How many were bought."""
        return self.scores[RANDOM].shape[1] - 1

    @property
    def episodes(self) -> int:
        """How many tasks."""
        return len(self.scores[RANDOM])

    @property
    def rules(self) -> list[str]:
        """All but random."""
        return [rule for rule in self.scores if rule != RANDOM]

    @property
    def shown(self) -> list[int]:
        """Numbers of labels that tables have."""
        return sorted({n for n in SHOWN if n <= self.labels} | {self.labels})

    def curve(self, rule: str) -> tuple[Point, ...]:
        """Mean accuracy with its interval after every label."""
        return tuple(Point(n, *interval(column, SHARES)) for n, column in enumerate(self.scores[rule].unbind(1)))

    def difference(self, rule: str, labels: int, to: str = RANDOM) -> Interval:
        """How much better a rule is than another after so many labels, in paired tasks."""
        return difference(self.scores[rule][:, labels], self.scores[to][:, labels])

    @property
    def conditions(self) -> str:
        """How tasks begin and what was bought, in words."""
        ways, shots, queries = (self.sampler[k] for k in ("ways", "shots", "queries"))
        begins = f"{shots} label{'s' * (shots != 1)} a class"
        begins += f", none in {self.missing} of {ways} classes" if self.missing else ""
        tasks = f"{self.episodes} episodes, {self.normalisation}, {ways}-way {self.sampler['dataset']}"
        asked = f"{self.candidates} further examples a class to buy labels of, {queries} others a class as queries"
        return f"{tasks} {self.sampler['split']}; from {begins}; {asked}"

    def table(self) -> list[list[str]]:
        """Header and rows: accuracy after some labels, and below every rule how much better it is than random."""
        score = Accuracy()
        body = []
        for rule in self.scores:
            curve = self.curve(rule)
            body.append([_words(rule), *(spell(curve[n].mean, curve[n].ci95, score) for n in self.shown)])
            if rule != RANDOM:
                gains = (spell(*self.difference(rule, n), score, sign=True) for n in self.shown[1:])
                body.append([f"{_words(rule)}, against random", "", *gains])
        return [["labels bought", *map(str, self.shown)], *body]

    def __str__(self) -> str:
        rows = self.table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, f"{self.learner}: {self.conditions}", f"differences are paired; {ONE_TRAINING}"])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of the episodes, which are in the file that `save` writes."""
        rules = {
            rule: {
                "curve": [list(_finite(point)) for point in self.curve(rule)],
                "against_random": None
                if rule == RANDOM
                else [_finite(self.difference(rule, n)) for n in range(self.labels + 1)],
            }
            for rule in self.scores
        }
        about = {k: getattr(self, k) for k in _PLAIN}
        more = {"sampler": dict(self.sampler), "episodes": self.episodes, "labels": self.labels}
        return about | more | {"conditions": self.conditions, "rules": rules}

    def command(self, run: str | Path) -> str:
        """What to type to measure it again in a run folder."""
        options = {**(self.options or {}), **seal.options_of(self.sampler), "episodes": self.episodes}
        options |= {"transductive": self.normalisation == "transductive"}
        words = ["--active", str(self.labels), "--candidates", str(self.candidates)]
        words += ["--missing", str(self.missing)] if self.missing else []
        words += ["--by", *self.rules]
        return f"{seal.renewal(run, options)} {shlex.join(words)}"

    def save(self, run: str | Path) -> Path:
        """Write `active-<hash of how it was measured>.json` into a run folder, whole or not at all."""
        own = self.parameters is not None and self.parameters == seal.parameters_of(run)
        content = self._content(seal.step_of(run) if own else None)
        about = {k: content[k] for k in ("sampler", "normalisation", "first", "candidates", "missing")}
        about |= {"rules": self.rules, "labels": self.labels, "episodes": self.episodes}
        path = Path(run) / f"active-{seal.digest(about)}.json"
        files.write(path, json.dumps(content | {seal.DIGEST: seal.digest(content)}, allow_nan=False) + "\n")
        return path

    def _content(self, step: int | None) -> dict[str, Any]:
        about = {k: getattr(self, k) for k in _PLAIN} | {"step": step, "sampler": dict(self.sampler)}
        about |= {"options": None if self.options is None else dict(self.options)}
        return about | {"scores": {rule: values.tolist() for rule, values in self.scores.items()}}

    @classmethod
    def load(cls, path: str | Path) -> "ActiveCurves":
        """Read what `save` wrote.

        Raises:
            InputError: It is missing, something else, or was edited.
        """
        command = f"{seal.renewal(Path(path).parent, {})} --active 20"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=seal.refuse_constant)
            sealed = seal.check_seal(path, content, command)
            scores = {str(k): torch.tensor(v, dtype=torch.float64) for k, v in content["scores"].items()}
            shapes = {values.shape for values in scores.values()}
            if RANDOM not in scores or len(shapes) != 1 or len(next(iter(shapes))) != 2:
                raise ValueError("its rules were not measured on the same tasks")
            about = {k: content[k] for k in ("learner", "normalisation", "first", "candidates", "missing", "sampler")}
            about |= {"parameters": seal.text(content.get("parameters")), "step": seal.step(content.get("step"))}
            result = cls(scores=scores, options=seal.options(content.get("options")), sealed=sealed, **about)
            str(result)  # whatever is said of it can be said
        except InputError:
            raise
        except Exception as error:  # whatever a damaged file makes of it
            raise seal.unread(path, error, "holds no active learning", command) from error
        return result


def saved(run: str | Path) -> list[Path]:
    """Files of a run folder that hold active learning."""
    return sorted(Path(run).glob("active-*.json"))


def _words(rule: str) -> str:
    return rule.replace("_", " ")


def _finite(values: tuple[float, ...]) -> list[float | None]:
    return [v if v == v else None for v in values]
