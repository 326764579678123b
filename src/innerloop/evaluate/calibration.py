"""How far probabilities can be believed, and when an example is of none of the classes.

The largest logit as the score of an example: Hendrycks et al., ICML 2022, https://arxiv.org/abs/1911.11132.
"""

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from innerloop.core import files, tree
from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.interval import SHARES, Interval, Share, interval
from innerloop.core.learner import Learner
from innerloop.core.threads import spread
from innerloop.core.types import Batch, Episode, Params, Sampler, picked
from innerloop.evaluate.temperature import expected_calibration_error, fit_temperature

FILE = "calibration.json"
TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""False-accept rates that meta-validation tasks give thresholds for."""
_CHUNK = 16
_MOST = 0.05
EPISODES = 400
"""Tasks of a calibration, at most."""
_LEAST, _PRECISION = 48, 0.01


@runtime_checkable
class Widening(Sampler, Protocol):
    """A sampler that can draw its tasks with further classes."""

    def wider(self, more: int) -> Sampler:
        """The same tasks with up to so many classes more."""
        ...


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How logits become probabilities, and which examples are of none of the classes."""

    temperature: float = 1.0
    """Probabilities are softmax(logits / temperature)."""
    threshold: float | None = None
    """An example whose largest logit (before the temperature) is below is none of these; None: all are accepted."""
    target: float | None = None
    """The false-accept rate that the threshold was set for."""
    false_accepts: tuple[float, float] | None = None
    """The 95% interval of the share of further examples of no class that is accepted at it: over tasks, or over the
    classes of one task. None: measured by an earlier release, or of one task or class alone."""
    coverage: float | None = None
    """Share of examples of the classes that are accepted at it."""
    answered: tuple[float, float] | None = None
    """The 95% interval of `coverage`, over held-out examples; None: not measured so."""
    auroc: float | None = None
    """How well largest logits tell examples of the classes from others; 0.5 is guessing."""
    ece: float | None = None
    """Expected calibration error at the temperature."""
    source: str = ""
    """What it was measured on: "held-out support" or "meta-validation"."""
    ways: int | None = None
    """Classes of the tasks that thresholds were measured on."""
    tasks: int | None = None
    """How many these were."""
    points: tuple[tuple[float, ...], ...] = ()
    """Further (target, threshold, coverage), by target, and the ends of the interval of the false-accept rate."""

    def __post_init__(self) -> None:
        points = tuple(tuple(float(v) for v in point) for point in self.points)
        accepted, answered = (
            None if ends is None else tuple(float(v) for v in ends) for ends in (self.false_accepts, self.answered)
        )
        optional = [self.threshold, self.target, self.coverage, self.auroc, self.ece, self.ways, self.tasks]
        optional += (accepted or ()) + (answered or ())
        numbers = [self.temperature, *(v for v in optional if v is not None), *(v for point in points for v in point)]
        if not all(type(v) in (int, float) and math.isfinite(v) for v in numbers) or not isinstance(self.source, str):
            raise ValueError("a calibration holds finite numbers")
        if not self.temperature > 0 or any(len(point) not in (3, 5) for point in points):
            raise ValueError("a calibration needs a temperature above 0, and points of target, threshold, coverage")
        if any(ends is not None and len(ends) != 2 for ends in (accepted, answered)):
            raise ValueError("an interval has two ends")
        object.__setattr__(self, "false_accepts", accepted)
        object.__setattr__(self, "answered", answered)
        object.__setattr__(self, "points", points)  # lists, where it was read from JSON

    def at(self, target: float) -> "Calibration":
        """The same with the threshold for another false-accept rate: the nearest that was measured and is not above.

        Raises:
            InputError: None of those that were measured is so low.
        """
        fitting = [point for point in self.points if point[0] <= target + 1e-12]
        if not fitting:
            known = ", ".join(f"{point[0]:g}" for point in self.points) or "none"
            raise InputError(f"there is no threshold for a false-accept rate of {target:g}; measured: {known}")
        point = max(fitting)
        rate, at, coverage, *ends = point
        accepted = (ends[0], ends[1]) if ends else None
        return replace(self, target=rate, threshold=at, coverage=coverage, false_accepts=accepted, answered=None)

    def covering(self, coverage: float) -> "Calibration":
        """The same with the strictest threshold that was measured and answers this share of examples of the classes.

        Raises:
            InputError: None of those that were measured answers so many.
        """
        fitting = [point for point in self.points if point[2] >= coverage]
        if not fitting:
            known = ", ".join(f"{point[2]:.3f}" for point in self.points) or "none"
            raise InputError(f"there is no threshold for a coverage of {coverage:g}; measured: {known}")
        return self.at(min(fitting)[0])

    @property
    def rate(self) -> str:
        """The false-accept rate in words, with its interval and what it was measured on."""
        if self.false_accepts is None:
            return f"{self.target or 0:g}"
        low, high = (f"{v:.3f}" for v in self.false_accepts)
        tasks = "" if self.tasks is None else f" over {self.tasks} tasks of {self.ways} classes"
        return f"{self.target or 0:g} (95% interval {low} to {high}{tasks})"

    @property
    def sides(self) -> str:
        """Both shares at the threshold, in a sentence."""
        answered = "how many examples of the classes are accepted is not known, since none could be held out"
        if self.coverage is not None:
            ends = "" if self.answered is None else " ({:.0f} to {:.0f}%)".format(*(100 * end for end in self.answered))
            answered = f"{100 * self.coverage:.0f}%{ends} of examples of the classes are accepted"
        known = "" if self.auroc is None else f", AUROC {self.auroc:.3f}"
        return f'"None of these" at a false-accept rate of {self.rate}: {answered}{known} ({self.source})'

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `Calibration(**content)` is the inverse."""
        intervals = {"false_accepts": self.false_accepts, "answered": self.answered}
        ends = {name: None if interval is None else list(interval) for name, interval in intervals.items()}
        return asdict(self) | {"points": [list(point) for point in self.points]} | ends


def auroc(inside: Tensor, outside: Tensor) -> float:
    """The share of pairs in which the score of an example of the classes is above that of another; ties count half.

    It is the area under the ROC curve, by ranks (Mann and Whitney 1947).

    Raises:
        InputError: One of the two is empty.
    """
    inside, outside = inside.double().flatten(), outside.double().flatten().sort().values
    if not len(inside) or not len(outside):
        raise InputError("an AUROC needs examples of the classes and others")
    below = torch.searchsorted(outside, inside, right=False)
    not_above = torch.searchsorted(outside, inside, right=True)
    return ((below + not_above).double().mean() / (2 * len(outside))).item()


def threshold(impostors: Tensor, target: float) -> float:
    """The lowest threshold at which at most this share of examples of no class is accepted (a score at it is).

    Args:
        impostors: [n] scores of examples of no class.
        target: The false-accept rate, above 0 and below 1.

    Raises:
        InputError: There are none, or the target is no such rate.
    """
    check_target(target)
    values = impostors.double().flatten().sort(descending=True).values
    if not len(values):
        raise InputError("a threshold needs examples of no class")
    highest_refused = values[min(int(target * len(values) + 1e-9), len(values) - 1)]
    return torch.nextafter(highest_refused, torch.tensor(torch.inf, dtype=torch.float64)).item()


def check_target(target: float) -> None:
    """Refuse what is no false-accept rate.

    Raises:
        InputError: Not a number above 0 and below 1.
    """
    if isinstance(target, bool) or not isinstance(target, int | float) or not 0 < target < 1:
        raise InputError(f"reject is a false-accept rate above 0 and below 1, such as 0.05; got {target!r}")


def rejection(
    inside: Tensor, outside: Tensor | Sequence[Tensor], target: float, calibration: Calibration, few: bool = False
) -> Calibration:
    """`calibration` with the threshold for a false-accept rate, the rate's interval, its coverage, and the AUROC.

    Args:
        inside: [n] scores of examples of the classes.
        outside: Scores of others, [m]; or a tensor for each task, or class, that they are from: the unit of the
            interval, since examples of one are alike.
        target: The false-accept rate.
        calibration: Its temperature and source are kept.
        few: The others are of a handful of classes, which say little about further ones: where 95% of the examples of
            the classes score higher still, the threshold is set halfway to them.
    """
    groups = [outside] if isinstance(outside, Tensor) else list(outside)
    others = torch.cat(groups)
    at = threshold(others, target)
    low = inside.double().quantile(_MOST, interpolation="lower").item()
    if few and low > at:
        at = (at + low) / 2
    coverage = (inside.double() >= at).double().mean().item()
    rate = rate_of(groups, at) if len(groups) > 1 else None
    accepted = None if rate is None else (max(0.0, rate.mean - rate.ci95), min(1.0, rate.mean + rate.ci95))
    # Many queries of one task are no independent examples; those of a handful, each held out, are.
    answered = Share(int((inside.double() >= at).sum()), len(inside)).ends if few else None
    about = {"false_accepts": accepted, "coverage": coverage, "answered": answered, "auroc": auroc(inside, others)}
    return replace(calibration, threshold=at, target=target, **about)


def rate_of(groups: Sequence[Tensor], at: float) -> Interval:
    """Share of each group's scores that is accepted at a threshold, over groups."""
    return interval([(scores.double() >= at).double().mean().item() for scores in groups], SHARES)


class _Task(NamedTuple):
    """Logits of one task."""

    logits: Tensor
    """[n, ways] of the queries of its classes."""
    labels: Tensor
    strangers: Tensor | None
    """Largest logits of queries of classes that were left out; None: there are none."""
    ways: int
    """Classes that were taught when they were asked."""


def calibrate(
    learner: Learner, params: Params, sampler: Sampler, episodes: int = EPISODES, target: float = 0.05
) -> Calibration:
    """Measure on meta-validation tasks: the temperature on their queries, rejection on those of classes left out.

    A threshold is used with as many classes as it was measured with: each further class is one more that a stranger may
    be taken for. So tasks are drawn with up to as many classes more as they have (`sampler.wider`), and the first ones
    are taught. Where there are no more classes, the last of the task's own is left out, and `ways` says so.

    Tasks are drawn until the interval of the false-accept rate at `target` is within a point of it, at least 48, at
    most `episodes`. It holds for further tasks of these classes; of further classes few ones say less.

    Args:
        learner: Which tells classes apart; its predictions are inductive here.
        params: Its meta-parameters.
        sampler: Of tasks of classes that were not trained on.
        episodes: How many tasks at most.
        target: The false-accept rate; thresholds for `TARGETS` are in `points`.

    Raises:
        InputError: No tasks, tasks of fewer than two classes, or logits that are not finite.
    """
    check_target(target)
    if episodes < 1:
        raise InputError(f"a calibration needs at least 1 episode, got {episodes}")
    learner = replace(learner, transductive=False)
    ways = getattr(sampler, "ways", None)
    wide = sampler.wider(ways) if isinstance(ways, int) and isinstance(sampler, Widening) else sampler
    taught = ways if wide is not sampler else None
    tasks: list[_Task] = []
    for start in range(0, episodes, _CHUNK):
        stacked = wide.episodes(start, min(_CHUNK, episodes - start))
        parts = [aligned(tree.slice(stacked, i)) for i in range(tree.length(stacked))]
        tasks += spread(lambda episode: _asked(learner, params, episode, taught), parts)
        if len(tasks) >= _LEAST and not len(tasks) % _CHUNK and _precise(tasks, target):
            break
    widest = max(task.logits.shape[1] for task in tasks)
    z = torch.cat([torch.nn.functional.pad(task.logits, (0, widest - task.logits.shape[1])) for task in tasks])
    y = torch.cat([task.labels for task in tasks])
    counts = torch.cat([torch.full((len(task.logits),), task.logits.shape[1]) for task in tasks])
    temperature = fit_temperature(z, y, counts)
    probabilities = [torch.softmax(task.logits / temperature, 1) for task in tasks]
    confidence = torch.cat([p.amax(1) for p in probabilities])
    right = torch.cat([p.argmax(1) for p in probabilities]) == y
    calibration = Calibration(
        temperature=temperature, ece=expected_calibration_error(confidence, right), source="meta-validation"
    )
    strangers = [task.strangers for task in tasks if task.strangers is not None]
    if not strangers:
        return calibration
    most = max(task.ways for task in tasks if task.strangers is not None)
    calibration = replace(calibration, ways=most, tasks=len(strangers))
    inside = torch.cat([task.logits.amax(1) for task in tasks])
    points = [rejection(inside, strangers, rate, calibration) for rate in TARGETS]
    measured = tuple((p.target or 0.0, p.threshold or 0.0, p.coverage or 0.0, *(p.false_accepts or ())) for p in points)
    return replace(rejection(inside, strangers, target, calibration), points=measured)


def _precise(tasks: Sequence[_Task], target: float) -> bool:
    """Whether the false-accept rate is known to a point, or cannot be known at all."""
    groups = [task.strangers for task in tasks if task.strangers is not None]
    return len(groups) < 2 or rate_of(groups, threshold(torch.cat(groups), target)).ci95 <= _PRECISION


def write(run: str | Path, calibration: Calibration, of: str = "") -> Path:
    """Keep a calibration in a run folder.

    Args:
        run: The folder.
        calibration: The calibration.
        of: Fingerprint of the learner and the parameters.

    Raises:
        InputError: It cannot be written.
    """
    path = Path(run) / FILE
    files.write(path, json.dumps(calibration.to_json() | {"of": of}, indent=2, allow_nan=False) + "\n")
    return path


def read(run: str | Path, of: str | None = None) -> Calibration | None:
    """The calibration of a run folder; None where it has none.

    Args:
        run: The folder.
        of: Fingerprint that it must have been written with; None: any.

    Raises:
        InputError: The file is damaged.
    """
    path = Path(run) / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content.pop("of", "") == of or of is None
        return Calibration(**content) if same else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): remove it, or calibrate the run again") from error


def read_current(run: str | Path, of: str) -> Calibration | None:
    """`read`, with a warning where there is one of other parameters, which is not used.

    Raises:
        InputError: The file is damaged.
    """
    calibration = read(run, of) or read(run, "")  # one that was written by hand need not say what it is of
    if calibration is None and read(run) is not None:
        warnings.warn(
            f"{Path(run) / FILE} is of other parameters than the run has now, and is not used: the same `innerloop "
            "train` command measures it again",
            stacklevel=2,
        )
    return calibration


@torch.no_grad()
def _asked(learner: Learner, params: Params, episode: Episode, taught: int | None) -> _Task:
    """One task: the first `taught` of its classes are taught and the others ask; None: all, and then all but one."""
    support, query = _real(episode)
    k = _ways(support)
    if taught is not None:
        rows, known = _first(support, taught), query.y < taught
        z = _logits(learner, params, rows, query.x, _ways(rows))
        return _Task(z[known], query.y[known], z[~known].amax(1), taught)
    z = _logits(learner, params, support, query.x, k)
    if k < 3:
        return _Task(z, query.y, None, k)
    last = tree.map(lambda leaf: leaf[query.y == k - 1], query.x)
    return _Task(z, query.y, _logits(learner, params, _first(support, k - 1), last, k - 1).amax(1), k - 1)


def _logits(learner: Learner, params: Params, support: Batch, x: Any, ways: int) -> Tensor:
    """[n, ways] float64; a network with more outputs than there are classes was never told of the others."""
    return learner.predict(params, learner.adapt(params, support), x)[:, :ways].double().cpu()


def _ways(support: Batch) -> int:
    k = int(support.y.max()) + 1
    if k < 2:
        raise InputError("a calibration needs tasks of at least 2 classes")
    return k


def _real(episode: Episode) -> Episode:
    """Without padding, and without queries that have no label."""
    support, query = (_rows(batch, batch.mask) for batch in episode)
    return Episode(support, _rows(query, query.y >= 0))


def _rows(batch: Batch, keep: Tensor | None) -> Batch:
    if keep is None:
        return batch
    return picked(batch, keep)._replace(mask=None)


def _first(support: Batch, ways: int) -> Batch:
    """Rows of the first classes alone."""
    rows = _rows(support, support.y < ways)
    return rows._replace(classes=torch.ones(ways, dtype=torch.bool, device=support.y.device))
