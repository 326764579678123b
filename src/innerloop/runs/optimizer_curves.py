"""A learned optimizer on functions, beside hand-made ones whose rates were tuned on validation functions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from innerloop.core.errors import InputError
from innerloop.core.learner import Unrolled
from innerloop.engine import load
from innerloop.evaluate.optimizer_curves import OptimizerCurves, descend
from innerloop.runs.options import FUNCTIONS
from innerloop.runs.report import kept, refresh
from innerloop.tasks.functions import Functions

VALIDATED = 128
"""Validation functions that a training ends with."""
_STREAMS = {"train": 0, "validation": 1, "test": 2}


class OptimizerComparison(NamedTuple):
    """What was found, and the files it is in."""

    curves: OptimizerCurves
    file: Path
    report: Path | None

    def __str__(self) -> str:
        """A line an optimizer and horizon, what they mean and where they are kept."""
        found = self.curves
        head, *body = found.table()
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (head, *body)]
        first = found.rows[0]
        ratios = ", ".join(f"{found.ratio(first, h):.2f} to {h} steps" for h in found.horizons)
        about = f"{found.functions} {found.split} functions of {found.dataset}; ± is a 95% interval over them"
        trained = f"trained on {found.horizons[0]} steps, on which rates were tuned too, on validation functions"
        return "\n".join(
            [
                *lines,
                f"{about}; {trained}",
                f"sum of values, times Adam's: {ratios}",
                kept("curves", self.file, self.report),
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the curves, which are in the file."""
        found = self.curves
        rows = [
            {
                "optimizer": row.name,
                "rate": row.rate,
                "sums": {str(h): s._asdict() for h, s in zip(found.horizons, row.sums, strict=True)},
                "values": {str(h): {"mean": row.mean[h - 1], "ci95": row.ci95[h - 1]} for h in found.horizons},
            }
            for row in found.rows
        ]
        about = {k: getattr(found, k) for k in ("dataset", "split", "seed", "functions")}
        return about | {"rows": rows, "file": str(self.file), "report": self.report and str(self.report)}


def optimises(config: Mapping[str, Any], data: str | None = None) -> bool:
    """Whether a run was trained on functions.

    Args:
        config: The run's `config.json`.
        data: To be tested on; None: what it was trained on.

    Raises:
        InputError: One is of functions, and the other is not.
    """
    task = (config.get("record") or {}).get("task") or {}
    own = task.get("data") == FUNCTIONS
    if data == FUNCTIONS and not own:
        raise InputError(f"the run is no learned optimizer, so it cannot be tested on --data {FUNCTIONS}")
    if own and data not in (None, FUNCTIONS):
        raise InputError(f"the run minimises functions, so it cannot be tested on {data}: leave out --data")
    return own


def functions(config: Mapping[str, Any], split: str, seed: int) -> Functions:
    """Functions of the run's family: training, validation and test are streams that never meet."""
    return Functions(family=config["record"]["task"]["family"], seed=3 * seed + _STREAMS[split])


def compare_optimizers(
    run: str | Path,
    config: Mapping[str, Any],
    split: Literal["test", "validation", "train"],
    count: int,
    seed: int,
    steps: int | None = None,
    allow: tuple[str, ...] = (),
) -> OptimizerComparison:
    """Compare, keep the curves in the run folder, and refresh its report.

    Args:
        run: The folder.
        config: Its `config.json`.
        split: Which functions.
        count: How many.
        seed: Of the functions.
        steps: The first horizon; None: that of training.
        allow: Module prefixes besides `innerloop.` that the run may name.
    """
    learner, params = load(run, allow)
    assert isinstance(learner, Unrolled)
    if steps is not None:
        if steps < 1:
            raise InputError(f"steps must be at least 1, got {steps}")
        learner = replace(learner, inner_steps=steps)  # pyright: ignore[reportArgumentType]
    validation = functions(config, "validation", config["train"]["seed"])
    found = descend(learner, params, functions(config, split, seed), validation, functions=count, split=split)
    file = found.save(run)
    return OptimizerComparison(found, file, refresh(run, allow=allow))
