"""What a meta-test found, kept with the score of every episode."""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import files, notebook
from innerloop.core.errors import InputError
from innerloop.core.interval import Interval
from innerloop.core.learner import Unrolled
from innerloop.core.scores import Score
from innerloop.evaluate import seal
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.uncertainty import Uncertainty
from innerloop.tasks import datasets

ONE_TRAINING = "± over tasks, one training"
"""What stands beside figures of one seed: another training would move them by more than the tasks tell."""


class Point(NamedTuple):
    """Mean score after so many inner steps."""

    step: int
    mean: float
    ci95: float


class Reliability(NamedTuple):
    """Expected calibration error: the mean gap between confidence and accuracy, from 0 to 1."""

    ece: float
    """Error of softmax(logits)."""
    temperature: float | None = None
    """What logits are divided by, fitted on meta-validation tasks; None: the learner was not calibrated."""
    calibrated: float | None = None
    """The error at the temperature."""
    data: str | None = None
    """Data set of those meta-validation tasks, which need not be the one that was tested; None: an earlier release did
    not say."""

    def __str__(self) -> str:
        text = f"expected calibration error {100 * self.ece:.1f}%"
        if self.calibrated is None:
            return f"{text} (no temperature was fitted)"
        source = "meta-validation" if self.data is None else f"{self.data} (meta-validation)"
        return f"{text}, {100 * self.calibrated:.1f}% at the temperature {self.temperature:.3g} of {source}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Scores of one learner under one protocol."""

    learner: str
    """How tables call it."""
    protocol: Protocol
    scores: Tensor
    """[episodes, k] float64 on the CPU: the numbers of every episode, of which the score makes the total."""
    seconds_per_task: float
    """Wall time to adapt and predict, without drawing the episode."""
    curve: tuple[Point, ...] | None = None
    """Scores after 0, 1, ... inner steps, for learners that have any."""
    step_name: str = Unrolled.step_name
    """What such a step is: of a policy that remembers, an episode."""
    fingerprint: str | None = None
    """Fingerprint of the learner and the parameters that were tested, where it is known."""
    reliability: Reliability | None = None
    """How far its probabilities can be believed; None for regression."""
    uncertainty: Uncertainty | None = None
    """All that is known of how sure its answers are; None for values without a predictive, and in earlier files."""
    parameters: str | None = None
    """Fingerprint of the parameters that were tested alone, whatever learner they are in, where it is known."""
    step: int | None = None
    """Meta-step of the run that they were of, where it is known."""
    baseline: str | None = None
    """Label of a baseline that was measured beside a run; None: a result of the run itself."""
    options: Mapping[str, Any] | None = None
    """Options of the `innerloop test` that measured it, without those that are as usual; None: it does not say."""
    sealed: bool = True
    """Whether its file carries a digest; release 0.1.0 wrote none."""

    @property
    def mean(self) -> float:
        """The score's total: for most the mean over episodes."""
        return self._interval.mean

    @property
    def ci95(self) -> float:
        """Half-width of the 95% confidence interval over episodes."""
        return self._interval.ci95

    @property
    def number(self) -> str:
        """Such as "95.3 ± 0.4%", or "0.41 ± 0.03 mean squared error"."""
        return spell(self.mean, self.ci95, self.protocol.score)

    @functools.cached_property
    def _interval(self) -> Interval:
        return self.protocol.score.interval(self.scores)

    @property
    def conditions(self) -> str:
        """Such as "600 episodes, inductive, 5-way 1-shot omniglot test"."""
        count = self.protocol.episodes
        parts = [f"{count} episode{'s' * (count != 1)}", self.protocol.normalisation, self.protocol.task]
        return ", ".join(p for p in parts if p)

    def __str__(self) -> str:
        return f"{self.number} ({self.conditions})"

    def _repr_html_(self) -> str:
        score = self.protocol.score
        a_task = f"{1000 * self.seconds_per_task:.1f} ms"
        heads = ("learner", score.title, "episodes", "a task")
        table = [heads, (self.learner, self.number, self.protocol.episodes, a_task)]
        curve = [
            (f"{self.step_name}s", score.title),
            *((p.step, spell(p.mean, p.ci95, score)) for p in self.curve or ()),
        ]
        return notebook.shown(str(self), table, *([curve] if self.curve else []))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, all scores included, and the digest of all of them."""
        content = {
            "learner": self.learner,
            "mean": finite(self.mean),
            "ci95": finite(self.ci95),
            "hash": self.protocol.hash,
            "protocol": self.protocol.to_json(),
            "seconds_per_task": self.seconds_per_task,
            "curve": None if self.curve is None else [[p.step, *map(finite, p[1:])] for p in self.curve],
            **({} if self.step_name == Unrolled.step_name else {"step_name": self.step_name}),
            "fingerprint": self.fingerprint,
            "reliability": None if self.reliability is None else self.reliability._asdict(),
            "uncertainty": None if self.uncertainty is None else self.uncertainty.to_json(),
            "parameters": self.parameters,
            "step": self.step,
            "baseline": self.baseline,
            "options": None if self.options is None else dict(self.options),
            "scores": (self.scores.squeeze(1) if self.scores.shape[1] == 1 else self.scores).tolist(),
        }
        return content | {seal.DIGEST: seal.digest(content) if self.sealed else None}

    def of_run(self, run: str | Path, label: str = "") -> "Result":
        """The same as a run folder keeps it: with its step, where its parameters are the run's, or as a baseline."""
        own = not label and self.parameters is not None and self.parameters == seal.parameters_of(run)
        return replace(self, baseline=label or None, step=seal.step_of(run) if own else None, sealed=True)

    def command(self, run: str | Path) -> str:
        """What to type to measure it again in a run folder."""
        return _command(run, self.protocol, self.options)

    def save(self, run: str | Path, label: str = "") -> Path:
        """Write `test-<protocol hash>.json`, whole or not at all.

        Args:
            run: The run folder.
            label: Keeps a baseline beside the run's own result: `test-<protocol hash>-<label>.json`.

        Returns:
            The file.
        """
        path = file(run, self.protocol, label)
        files.write(path, json.dumps(self.of_run(run, label).to_json(), allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Result":
        """Read what `save` wrote.

        Raises:
            InputError: The file is missing or not a result, it was edited after the measurement, it holds other numbers
                an episode than its score, or its score is in a module of your own that is not imported.
        """
        path = Path(path)
        command = seal.renewal(path.parent, {})
        try:
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=seal.refuse_constant)
            command = _renewal(path, content)
            sealed = seal.check_seal(path, content, command)
            result = cls(
                learner=str(content["learner"]),
                protocol=Protocol.from_json(content["protocol"]),
                scores=_columns(torch.tensor(content["scores"], dtype=torch.float64)),
                seconds_per_task=seal.number(content["seconds_per_task"]),
                curve=_curve(content["curve"]),
                step_name=seal.text(content.get("step_name")) or Unrolled.step_name,
                fingerprint=seal.text(content.get("fingerprint", content.get("of"))),  # `of`: release 0.1.0
                reliability=_reliability(content.get("reliability")),
                uncertainty=_uncertainty(content.get("uncertainty")),
                parameters=seal.text(content.get("parameters")),
                step=seal.step(content.get("step")),
                baseline=seal.text(content.get("baseline")) or _label(path),
                options=seal.options(content.get("options")),
                sealed=sealed,
            )
            about = result.protocol
            fits = result.scores.shape == (about.episodes, about.score.parts) and bool(result.scores.isfinite().all())
            if about.hash != content["hash"] or not fits:
                raise InputError(f"{path} does not hold what its protocol says: {seal.renewing(command)}")
            str(result)  # whatever is said of it can be said
        except InputError as error:
            # With the file's name, of which a protocol or a score knows nothing.
            text = str(error)
            raise InputError(text if str(path) in text else f"{path}: {text}: {seal.renewing(command)}") from error
        except Exception as error:  # whatever a damaged file makes of it
            raise seal.unread(path, error, "is not a test result", command) from error
        return result


def file(run: str | Path, protocol: Protocol, label: str = "") -> Path:
    """Where a run folder keeps the result under a protocol; see `Result.save`."""
    return Path(run) / f"test-{protocol.hash}{'-' * bool(label)}{label}.json"


def _command(run: str | Path, about: Protocol, options: Mapping[str, Any] | None) -> str:
    """The protocol's word, which its hash covers, goes before that of the options."""
    if options is None:
        known = about.sampler.get("dataset") in datasets.names()
        options = {"data": about.sampler["dataset"]} if known else {}
    mode = {"episodes": about.episodes, "transductive": about.normalisation == "transductive"}
    return seal.renewal(run, {**options, **seal.options_of(about.sampler), **mode})


def _renewal(path: Path, content: Mapping[str, Any]) -> str:
    """What to type to renew a file that may have been edited: with its options where these are those of its hash."""
    try:
        about = Protocol.from_json(content["protocol"])
        if about.hash == content["hash"]:
            return _command(path.parent, about, seal.options(content.get("options")))
    except Exception:  # whatever a damaged file makes of it
        pass
    return seal.renewal(path.parent, {})


def _label(path: Path) -> str | None:
    """Label of a baseline in the name of its file, which is where release 0.1.0 had it."""
    return next(iter(path.stem.split("-", 2)[2:]), None)


def spell(mean: float, ci95: float, score: Score, sign: bool = False) -> str:
    """A mean with its interval as tables print it; digits follow the interval.

    Args:
        mean: Between 0 and 1 for percentages.
        ci95: Half-width; NaN is said in words.
        score: Gives the unit.
        sign: Write the plus of a difference, and its unit as points.
    """
    if score.percent:
        mean, ci95 = 100 * mean, 100 * ci95
        unit, digits = (" points" if sign else "%"), 2 if 0 < ci95 < 0.1 else 1
    else:
        unit = (f" {score.unit}" if score.unit else "") + ("" if sign else f" {score.title}")
        scale = ci95 if math.isfinite(ci95) and ci95 > 0 else abs(mean)
        digits = max(0, 1 - math.floor(math.log10(scale))) if 0 < scale < math.inf else 3
    value = f"{mean:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    if math.isnan(ci95):
        return f"{value}{unit} (one episode: no interval)"
    return f"{value} ± {ci95:.{digits}f}{unit}"


def _columns(scores: Tensor) -> Tensor:
    """[episodes, k], of a file that leaves the axis out where k is 1."""
    return scores[:, None] if scores.dim() == 1 else scores


def _curve(points: list[list[Any]] | None) -> tuple[Point, ...] | None:
    if points is None:
        return None
    # None is what `finite` makes of a number that JSON cannot say.
    number = seal.number
    return tuple(Point(int(i), *(math.nan if v is None else number(v) for v in pair)) for i, *pair in points)


def _reliability(entry: dict[str, Any] | None) -> Reliability | None:
    if not entry:
        return None
    if strange := entry.keys() - set(Reliability._fields):
        raise ValueError(f"its reliability has {', '.join(sorted(strange))}, which this release does not know")
    optional = {k: None if (v := entry.get(k)) is None else seal.number(v) for k in ("temperature", "calibrated")}
    return Reliability(seal.number(entry["ece"]), **optional, data=seal.text(entry.get("data")))


def _uncertainty(entry: Any) -> Uncertainty | None:
    return None if entry is None else Uncertainty.from_json(entry)


def finite(value: float) -> float | None:
    """The number as JSON can hold it: None where it has no value."""
    return value if math.isfinite(value) else None
