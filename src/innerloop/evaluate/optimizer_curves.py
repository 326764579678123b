"""Learned and hand-made optimizers on the same functions: the value after every step.

The hand-made ones are `torch.optim`'s, each with the best of the same number of rates on validation functions.
"""

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from innerloop.core import files, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import Interval, interval
from innerloop.core.learner import Unrolled
from innerloop.core.types import Batch, Params, Sampler
from innerloop.engine.checkpoint import fingerprint
from innerloop.evaluate import seal
from innerloop.tasks.progress import track

RATES = tuple(10 ** (-3 + i / 3) for i in range(14))
"""From 1e-3 to 22, three a decade: the search of every hand-made optimizer."""
_CHUNK = 64
"""Functions at once; bounds the memory."""
_MULTIPLES = (1, 2, 5)
"""Where optimizers are judged, in training horizons, rising."""
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "momentum": lambda leaves, lr: torch.optim.SGD(leaves, lr=lr, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
}


class Tuned(NamedTuple):
    """An optimizer with the rate that was best on validation functions."""

    name: str
    rate: float


@dataclass(frozen=True, kw_only=True)
class Descent:
    """One optimizer's values on all functions; not finite from where a function has diverged."""

    name: str
    rate: float | None
    """That was best on validation functions; None: it has none."""
    mean: tuple[float, ...]
    """Over functions, after steps 1, 2, ..."""
    ci95: tuple[float, ...]
    """Half-width of the interval of each."""
    sums: tuple[Interval, ...]
    """Sums of the values up to each of the horizons."""


@dataclass(frozen=True, kw_only=True)
class OptimizerCurves:
    """Several optimizers on the same functions; the first is the learned one."""

    dataset: str
    split: str
    seed: int
    """Seed of the functions."""
    functions: int
    horizons: tuple[int, ...]
    """Numbers of steps to be judged at: that of training, and multiples of it."""
    rows: tuple[Descent, ...]
    parameters: str | None = None
    """Fingerprint of the parameters of the learned one, where it is known."""
    step: int | None = None
    """Meta-step of the run that they were of, where it is known."""
    options: Mapping[str, Any] | None = None
    """Options of the `innerloop test` that measured them; None: they do not say."""
    sealed: bool = True
    """Whether its file carries a digest; release 0.1.0 wrote none."""
    baseline: ClassVar[str | None] = None
    """The tuned optimizers stand in the same file."""

    def ratio(self, row: Descent, horizon: int, to: str = "Adam") -> float:
        """How many times another optimizer's sum of values up to a horizon this one's is."""
        i = self.horizons.index(horizon)
        other = next(r for r in self.rows if r.name == to)
        return row.sums[i].mean / other.sums[i].mean

    def table(self) -> list[list[str]]:
        """Header and rows: for every horizon the sum of values up to it and the value there, with 95% intervals."""
        head = ["optimizer", "rate"]
        for horizon in self.horizons:
            head += [f"sum to {horizon}", f"at {horizon}"]
        body = []
        for row in self.rows:
            cells = [row.name, "" if row.rate is None else f"{row.rate:.2g}"]
            for horizon, total in zip(self.horizons, row.sums, strict=True):
                cells += [_number(*total), _number(row.mean[horizon - 1], row.ci95[horizon - 1])]
            body.append(cells)
        return [head, *body]

    def __str__(self) -> str:
        """A line an optimizer and horizon, and what they mean."""
        head, *body = self.table()
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *body)]
        ratios = ", ".join(f"{self.ratio(self.rows[0], h):.2f} to {h} steps" for h in self.horizons)
        about = f"{self.functions} {self.split} functions of {self.dataset}; ± is a 95% interval over them"
        trained = f"one training, on {self.horizons[0]} steps, on which rates were tuned too, on validation functions"
        return "\n".join([*lines, f"{about}; {trained}", f"sum of values, times Adam's: {ratios}"])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the curves, which are in the file that `save` writes."""
        rows = [
            {
                "optimizer": row.name,
                "rate": row.rate,
                "sums": {str(h): s._asdict() for h, s in zip(self.horizons, row.sums, strict=True)},
                "values": {str(h): {"mean": row.mean[h - 1], "ci95": row.ci95[h - 1]} for h in self.horizons},
            }
            for row in self.rows
        ]
        names = ("dataset", "split", "seed", "functions", "parameters", "step")
        return {k: getattr(self, k) for k in names} | {"rows": _plain(rows)}

    def command(self, run: str | Path) -> str:
        """What to type to measure them again in a run folder."""
        split = {} if self.split == "test" else {"split": self.split}
        return seal.renewal(run, {**split, "seed": self.seed, "episodes": self.functions, **(self.options or {})})

    def save(self, run: str | Path) -> Path:
        """Write `optimizer-curves-<split>-<seed>.json` into a run folder, whole or not at all."""
        path = Path(run) / f"optimizer-curves-{self.split}-{self.seed}.json"
        own = self.parameters is not None and self.parameters == seal.parameters_of(run)
        content = _plain(asdict(replace(self, step=seal.step_of(run) if own else None)))
        del content["sealed"]
        files.write(path, json.dumps(content | {seal.DIGEST: seal.digest(content)}, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "OptimizerCurves":
        """Read what `save` wrote.

        Raises:
            InputError: It is missing, something else, or was edited.
        """
        command = seal.renewal(Path(path).parent, {})
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=seal.refuse_constant)
            command = seal.renewal(Path(path).parent, seal.options(content.get("options")) or {})
            sealed = seal.check_seal(path, content, command)
            content = _back({k: v for k, v in content.items() if k != seal.DIGEST})
            horizons = tuple(map(operator.index, content["horizons"]))
            about = {"rows": tuple(_descent(row, horizons) for row in content["rows"]), "horizons": horizons}
            about |= {"parameters": seal.text(content.get("parameters")), "step": seal.step(content.get("step"))}
            about |= {"options": seal.options(content.get("options"))}
            return cls(**content | about | {"sealed": sealed})
        except InputError:
            raise
        except Exception as error:  # whatever a damaged file makes of it
            raise seal.unread(path, error, "holds no curves", command) from error


def saved(run: str | Path) -> list[Path]:
    """Files of a run folder that hold optimizer curves; release 0.1.0 called them descents."""
    return sorted(path for name in ("descents", "optimizer-curves") for path in Path(run).glob(f"{name}-*.json"))


def descend(
    learner: Any,
    params: Params,
    tasks: Sampler,
    validation: Sampler,
    *,
    functions: int,
    split: str = "test",
) -> OptimizerCurves:
    """A learned optimizer beside tuned ones, at its training horizon and at multiples of it.

    Args:
        learner: An L2O with a `value`; its `inner_steps` are the training horizon.
        params: Its meta-parameters.
        tasks: Functions to be judged on.
        validation: Functions that the others' rates are tuned on, over the training horizon.
        functions: How many.
        split: What the functions are called.

    Raises:
        InputError: Fewer than two functions.
        FailedError: A hand-made optimizer diverges at every rate, see `tune`.
    """
    if functions < 2:
        raise InputError(f"an interval needs at least 2 functions, got {functions}")
    horizons = tuple(m * learner.inner_steps for m in _MULTIPLES)
    tuned = tune(learner, validation, learner.inner_steps)
    runs: dict[str, list[Tensor]] = {type(learner).__name__: [], **{t.name: [] for t in tuned}}
    starts = range(0, functions, _CHUNK)
    for start in track(starts, f"{functions} functions, {horizons[-1]} steps", len(starts)):
        batch = tasks.episodes(start, min(_CHUNK, functions - start)).support
        parts = [learned(learner, params, batch, horizons[-1])]
        parts += [hand_made(learner, one, batch, horizons[-1]) for one in tuned]
        for values, part in zip(runs.values(), parts, strict=True):
            values.append(part)
    rates = [None, *(t.rate for t in tuned)]
    about = tasks.describe()
    return OptimizerCurves(
        dataset=str(about["dataset"]),
        split=split,
        seed=int(str(about["seed"])),
        functions=functions,
        horizons=horizons,
        rows=tuple(_row(k, rate, torch.cat(v, 1), horizons) for (k, v), rate in zip(runs.items(), rates, strict=True)),
        parameters=fingerprint(params),
    )


def _row(name: str, rate: float | None, values: Tensor, horizons: Sequence[int]) -> Descent:
    points = [interval(step) for step in values]
    return Descent(
        name=name,
        rate=rate,
        mean=tuple(p.mean for p in points),
        ci95=tuple(p.ci95 for p in points),
        sums=tuple(interval(values[:h].sum(0)) for h in horizons),
    )


@torch.no_grad()
def learned(learner: Unrolled, params: Params, tasks: Batch, steps: int) -> Tensor:
    """[steps, tasks] values after every step of a learner whose state has their sum, `total`."""
    axes = tree.axes(tasks)
    carry: Any = torch.vmap(learner.start, in_dims=(None, axes))(params, tasks)
    advance = torch.vmap(learner.advance, in_dims=(None, tree.axes(carry), axes))
    totals = [carry.total]
    for _ in range(steps):
        carry, _ = advance(params, carry, tasks)
        totals.append(carry.total)
    return torch.stack(totals).double().diff(dim=0)


def hand_made(learner: Any, tuned: Tuned, tasks: Batch, steps: int) -> Tensor:
    """As `learned`, by an optimizer of `OPTIMIZERS` on all tasks at once: it works entry by entry.

    Minibatches are those that the learner gets.
    """
    assert isinstance(tasks.x, dict)
    leaves = {k: v.detach().clone().requires_grad_() for k, v in tree.part(tasks.x, "start").items()}
    optimizer = OPTIMIZERS[tuned.name](list(leaves.values()), lr=tuned.rate)
    value = torch.vmap(learner.at_step, in_dims=(0, tree.axes(tasks), None))
    curve = []
    for step in range(steps + 1):
        values = value(leaves, tasks, torch.tensor(step))
        curve.append(values.detach().double())
        optimizer.zero_grad()
        values.sum().backward()  # of independent tasks: everyone's own gradient
        optimizer.step()
    return torch.stack(curve[1:])


def tune(learner: Any, validation: Sampler, steps: int, tasks: int = 128) -> list[Tuned]:
    """Every optimizer with its best rate, by the mean over validation functions of the sum of values.

    Raises:
        FailedError: One of them diverges at every rate.
    """
    batch = validation.episodes(0, tasks).support
    tried = [Tuned(name, rate) for name in OPTIMIZERS for rate in RATES]
    title = f"tuning {', '.join(OPTIMIZERS)} on {tasks} validation functions"
    sums = {one: float(hand_made(learner, one, batch, steps).sum(0).mean()) for one in track(tried, title, len(tried))}
    finite = {one: total for one, total in sums.items() if math.isfinite(total)}
    lost = [name for name in OPTIMIZERS if all(one.name != name for one in finite)]
    if lost:
        raise FailedError(
            f"{lost[0]} diverges at every rate from {min(RATES):.2g} to {max(RATES):.2g} on the validation functions: "
            "give functions whose values stay finite"
        )
    return [min((one for one in finite if one.name == name), key=lambda one: finite[one]) for name in OPTIMIZERS]


def _number(mean: float, ci95: float) -> str:
    return f"{mean:.3g} ± {ci95:.2g}" if math.isfinite(mean) else "diverged"


def _descent(row: dict[str, Any], horizons: Sequence[int]) -> Descent:
    """A row of a file, with a value at every step that may be asked for."""
    mean, ci95, rate = _floats(row["mean"]), _floats(row["ci95"]), row["rate"]
    sums = tuple(Interval(*_floats(pair)) for pair in row["sums"])
    if min(len(mean), len(ci95)) < max(horizons) or min(horizons) < 1 or len(sums) != len(horizons):
        raise ValueError(f"it has no values at steps {list(horizons)}")
    return Descent(
        name=str(row["name"]), rate=None if rate is None else seal.number(rate), mean=mean, ci95=ci95, sums=sums
    )


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    """Numbers, NaN where a function has diverged."""
    return tuple(math.nan if type(v) is float and math.isnan(v) else seal.number(v) for v in values)


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _back(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _back(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_back(v, key) for v in value]
    return math.nan if value is None and key not in ("rate", "parameters", "step", "options") else value
