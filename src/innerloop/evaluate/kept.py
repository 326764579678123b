"""Results that a run folder keeps, and what must be said beside each: pages, tables and readers take them from here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from innerloop.core.errors import InputError
from innerloop.evaluate import active_curves, generated, optimizer_curves, seal, shots
from innerloop.evaluate.active_curves import ActiveCurves
from innerloop.evaluate.generated import Generation
from innerloop.evaluate.optimizer_curves import OptimizerCurves
from innerloop.evaluate.result import Result
from innerloop.evaluate.shots import ShotCurve

Measured = TypeVar("Measured", Result, OptimizerCurves, ActiveCurves, Generation, ShotCurve)


class Kept(NamedTuple, Generic[Measured]):
    """A result file of a run folder."""

    path: Path
    result: Measured | None
    """None: it is refused, and the warning says why."""
    baseline: str | None = None
    """Label of a baseline (pixels, untrained) that was measured beside the run; None: the result is the run's own."""
    mark: str | None = None
    """What must stand beside its number, such as "of step 60, the run is at step 120"."""
    warning: str | None = None
    """The same with what to type to renew it; None: there is nothing to say."""

    @property
    def own(self) -> bool:
        """Whether the number is the run's."""
        return self.result is not None and self.baseline is None

    def named(self, name: str) -> str:
        """A name for tables, with its marks."""
        marks = ["baseline"] * (self.baseline is not None) + ([self.mark] if self.mark else [])
        return f"{name} ({'; '.join(marks)})" if marks else name

    def to_json(self, scores: bool = False) -> dict[str, Any]:
        """Plain JSON values; an `error` instead of a result that is refused."""
        about: dict[str, Any] = {"file": self.path.name, "baseline": self.baseline}
        if not isinstance(self.result, Result):
            return about | {"error": self._without_place(self.warning)}
        content = {k: v for k, v in self.result.to_json().items() if scores or k != "scores"}
        score = self.result.protocol.score
        more = {"metric": self.result.protocol.metric, "conditions": self.result.conditions}
        more |= {"number": self.result.number}
        more |= {k: getattr(score, k) for k in ("title", "percent", "higher_is_better")}
        return content | about | {"mark": self.mark, "warning": self._without_place(self.warning)} | more

    def _without_place(self, text: str | None) -> str | None:
        """Names the run by its folder's name: where that lies is no business of who asks over a network."""
        run = self.path.parent
        return None if text is None else text.replace(f"{self.path}", self.path.name).replace(str(run), run.name)


def read(path: str | Path) -> Kept[Result]:
    """A result file, checked against its digest and against the run whose folder it is in.

    Raises:
        InputError: It is no result, or was edited; the message says how to renew it.
    """
    return _read(Path(path), Result.load)


def results(run: str | Path) -> list[Kept[Result]]:
    """All of a run folder: its own first, those of the parameters as they are before others, newest first.

    Then baselines, then what is refused.
    """
    return sorted((_tried(path, Result.load) for path in _files(run, "test")), key=_order)


def curves(run: str | Path) -> list[Kept[OptimizerCurves]]:
    """Optimizer curves of a run folder; release 0.1.0 called them descents."""
    return [_tried(path, OptimizerCurves.load) for path in optimizer_curves.saved(run)]


def active(run: str | Path) -> list[Kept[ActiveCurves]]:
    """Active learning of a run folder."""
    return [_tried(path, ActiveCurves.load) for path in active_curves.saved(run)]


def generations(run: str | Path) -> list[Kept[Generation]]:
    """What a run folder says of examples that it generated."""
    return [_tried(path, Generation.load) for path in generated.saved(run)]


def by_shots(run: str | Path) -> list[Kept[ShotCurve]]:
    """Scores by the number of shots of a run folder."""
    return [_tried(path, ShotCurve.load) for path in shots.saved(run)]


def marked(one: Kept[Result]) -> Result:
    """The result with its marks in its name, for tables and figures.

    Raises:
        InputError: It is refused.
    """
    if one.result is None:
        raise InputError(str(one.warning))
    return replace(one.result, learner=one.named(one.result.learner))


def _read(path: Path, load: Callable[[Path], Measured]) -> Kept[Measured]:
    result = load(path)
    # A baseline has parameters of its own, which more training does not move.
    parameters = seal.parameters_of(path.parent) if result.baseline else result.parameters
    mark = seal.mark(path.parent, parameters, result.step, result.sealed)
    warning = None if mark is None else f"{path.name} is {mark}: {seal.renewing(result.command(path.parent))}"
    return Kept(path, result, result.baseline, mark, warning)


def _tried(path: Path, load: Callable[[Path], Measured]) -> Kept[Measured]:
    try:
        return _read(path, load)
    except InputError as error:
        label = path.stem.split("-", 2)[2:]
        return Kept(path, None, label[0] if label else None, None, str(error))


def _files(run: str | Path, kind: str) -> list[Path]:
    return [path for path in Path(run).glob(f"{kind}-*.json") if path.is_file()]


def _order(one: Kept[Result]) -> tuple[bool, bool, bool, float, str]:
    try:
        age = -one.path.stat().st_mtime
    except OSError:
        age = 0.0
    return one.result is None, one.baseline is not None, one.mark is not None, age, one.path.name
