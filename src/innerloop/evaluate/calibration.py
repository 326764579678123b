"""How far probabilities can be believed, and when an example is of none of the classes.

Temperature and expected calibration error: Guo, Pleiss, Sun, Weinberger, ICML 2017, https://arxiv.org/abs/1706.04599.
The largest logit as the score of an example: Hendrycks et al., ICML 2022, https://arxiv.org/abs/1911.11132.
"""

import json
import math
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.core import files, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Episode, Params, Sampler

FILE = "calibration.json"
BINS = 15
TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""False-accept rates that meta-validation tasks give thresholds for."""
_COLDEST, _HOTTEST = 1e-3, 1e4
_GOLDEN = (5**0.5 - 1) / 2
_CHUNK = 16
_MOST = 0.05


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How logits become probabilities, and which examples are of none of the classes."""

    temperature: float = 1.0
    """Probabilities are softmax(logits / temperature)."""
    threshold: float | None = None
    """An example whose largest logit (before the temperature) is below is none of these; None: all are accepted."""
    target: float | None = None
    """The false-accept rate that the threshold was set for."""
    coverage: float | None = None
    """Share of examples of the classes that are accepted at it."""
    auroc: float | None = None
    """How well largest logits tell examples of the classes from others; 0.5 is guessing."""
    ece: float | None = None
    """Expected calibration error at the temperature."""
    source: str = ""
    """What it was measured on: "held-out support" or "meta-validation"."""
    points: tuple[tuple[float, float, float], ...] = ()
    """Further (target, threshold, coverage), by target."""

    def __post_init__(self) -> None:
        points = tuple(tuple(float(v) for v in point) for point in self.points)
        optional = [self.threshold, self.target, self.coverage, self.auroc, self.ece]
        numbers = [self.temperature, *(v for v in optional if v is not None), *(v for point in points for v in point)]
        if not all(type(v) in (int, float) and math.isfinite(v) for v in numbers) or not isinstance(self.source, str):
            raise ValueError("a calibration holds finite numbers")
        if not self.temperature > 0 or any(len(point) != 3 for point in points):
            raise ValueError("a calibration needs a temperature above 0, and points of target, threshold, coverage")
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
        return replace(self, target=point[0], threshold=point[1], coverage=point[2])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `Calibration(**content)` is the inverse."""
        return asdict(self) | {"points": [list(point) for point in self.points]}


def fit_temperature(logits: Tensor, y: Tensor, ways: Tensor | None = None) -> float:
    """The temperature with the least negative log-likelihood.

    One more example counts that is like the one which is right by the least, and wrong: otherwise a handful of examples
    that are all right would ask for a temperature of 0, for certainty.

    Args:
        logits: [n, classes].
        y: [n] the true classes.
        ways: [n] how many of the classes each example could be of, the first ones, at least 2; None: all.

    Raises:
        InputError: There is no example, or a logit is not finite.
    """
    z, y = logits.double(), torch.as_tensor(y)
    if not len(z) or not bool(z.isfinite().all()):
        raise InputError(f"a temperature needs examples with finite logits, got {list(z.shape)}")
    if ways is not None:
        z = z.masked_fill(torch.arange(z.shape[1]) >= ways[:, None], -torch.inf)
    best, second = z.topk(2).values.T
    margin = torch.where(z.argmax(1) == y, best - second, torch.inf)
    i = int(margin.argmin())
    if margin[i] < torch.inf:
        z, y = torch.cat([z, z[i : i + 1]]), torch.cat([y, z[i].topk(2).indices[1:]])
    z = z - z.gather(1, y[:, None])

    def cost(log_t: float) -> float:
        return float(torch.logsumexp(z * math.exp(-log_t), 1).mean())

    # Convex in 1 / temperature, so there is one valley.
    return math.exp(_lowest(cost, math.log(_COLDEST), math.log(_HOTTEST)))


def _lowest(cost: Any, low: float, high: float, tolerance: float = 1e-4) -> float:
    """Golden-section search (Kiefer 1953)."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = cost(a), cost(b)
    while high - low > tolerance:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = cost(b)
    return (low + high) / 2


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over bins of equal width (Guo et al. 2017, equation 3).

    Args:
        confidence: [n] probability of the predicted class.
        right: [n] bool, whether it was the true one.
        bins: How many; a confidence on an edge belongs to the bin below.

    Raises:
        InputError: There is no prediction.
    """
    confidence, right = confidence.double().flatten(), right.double().flatten()
    if not len(confidence):
        raise InputError("a calibration error needs at least one prediction")
    index = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, confidence - right)
    return (gaps.abs().sum() / len(confidence)).item()


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
    inside: Tensor, outside: Tensor, target: float, calibration: Calibration, few: bool = False
) -> Calibration:
    """`calibration` with the threshold for a false-accept rate, its coverage, and the AUROC.

    Args:
        inside: [n] scores of examples of the classes.
        outside: [m] scores of others.
        target: The false-accept rate.
        calibration: Its temperature and source are kept.
        few: The others are of a handful of classes, which say little about further ones: where 95% of the examples of
            the classes score higher still, the threshold is set halfway to them.
    """
    at = threshold(outside, target)
    low = inside.double().quantile(_MOST, interpolation="lower").item()
    if few and low > at:
        at = (at + low) / 2
    coverage = (inside.double() >= at).double().mean().item()
    return replace(calibration, threshold=at, target=target, coverage=coverage, auroc=auroc(inside, outside))


@torch.no_grad()
def calibrate(
    learner: Learner, params: Params, sampler: Sampler, episodes: int = 40, target: float = 0.05
) -> Calibration:
    """Measure on meta-validation tasks: the temperature on their queries, rejection on the queries of a class left out.

    Every task is adapted to twice, the second time without its last class.

    Args:
        learner: Which tells classes apart; its predictions are inductive here.
        params: Its meta-parameters.
        sampler: Of tasks of classes that were not trained on.
        episodes: How many tasks.
        target: The false-accept rate; thresholds for `TARGETS` are in `points`.

    Raises:
        InputError: No tasks, tasks of fewer than two classes, or logits that are not finite.
    """
    check_target(target)
    if episodes < 1:
        raise InputError(f"a calibration needs at least 1 episode, got {episodes}")
    learner = replace(learner, transductive=False)
    logits, labels, ways, outside = [], [], [], []
    for start in range(0, episodes, _CHUNK):
        count = min(_CHUNK, episodes - start)
        stacked = sampler.episodes(start, count)
        for i in range(count):
            episode = _real(tree.slice(stacked, i))
            k = _ways(episode.support)
            task_logits = _logits(learner, params, episode.support, episode.query.x, k)
            logits.append(task_logits)
            labels.append(episode.query.y)
            ways.append(torch.full((len(task_logits),), k))
            if k > 2:
                others = _logits(learner, params, _without_last(episode.support), _last(episode.query, k), k - 1)
                outside.append(others.amax(1))
    widest = max(int(w.max()) for w in ways)
    z = torch.cat([torch.nn.functional.pad(task_logits, (0, widest - task_logits.shape[1])) for task_logits in logits])
    y, counts = torch.cat(labels), torch.cat(ways)
    temperature = fit_temperature(z, y, counts)
    inside = torch.cat([task_logits.amax(1) for task_logits in logits])
    probabilities = [torch.softmax(task_logits / temperature, 1) for task_logits in logits]
    confidence = torch.cat([p.amax(1) for p in probabilities])
    right = torch.cat([p.argmax(1) for p in probabilities]) == y
    calibration = Calibration(
        temperature=temperature, ece=expected_calibration_error(confidence, right), source="meta-validation"
    )
    if not outside:
        return calibration
    scores = torch.cat(outside)
    points = [rejection(inside, scores, rate, calibration) for rate in TARGETS]
    measured = tuple((p.target or 0.0, p.threshold or 0.0, p.coverage or 0.0) for p in points)
    return replace(rejection(inside, scores, target, calibration), points=measured)


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
    return batch._replace(x=tree.map(lambda leaf: leaf[keep], batch.x), y=batch.y[keep], mask=None)


def _without_last(support: Batch) -> Batch:
    k = _ways(support)
    kept = _rows(support, support.y != k - 1)
    return kept._replace(classes=torch.ones(k - 1, dtype=torch.bool, device=support.y.device))


def _last(query: Batch, ways: int) -> Any:
    return tree.map(lambda leaf: leaf[query.y == ways - 1], query.x)
