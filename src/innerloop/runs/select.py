"""What is chosen on meta-validation classes once a run is trained, and kept with it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from innerloop.core import files
from innerloop.core.learner import Learner
from innerloop.core.scores import tasks_of
from innerloop.core.types import Params, Sampler
from innerloop.engine import checkpoint
from innerloop.evaluate.select import select

FILE = "selection.json"


def choose(
    learner: Learner,
    params: Params,
    sampler: Sampler,
    candidates: Mapping[str, tuple[float, ...]],
    out: str | Path | None = None,
    transductive: bool = False,
    episodes: int = 200,
) -> Params:
    """`params` with those entries set that the learner's fields of the same names leave open (None).

    A choice that a run already holds, for the same trained parameters, candidates and tasks, is not made again.

    Args:
        learner: Which must read `params[name]` where its field `name` is None.
        params: As trained.
        sampler: Of meta-validation tasks.
        candidates: Values by name.
        out: The run folder, whose `params.safetensors` and `selection.json` are written; None keeps nothing.
        transductive: Mode that values are tried in: that of the report, whatever mode the learner trained in.
        episodes: How many tasks each value is tried on.
    """
    reported = replace(learner, transductive=transductive)
    for name in candidates:
        asked: dict[str, Any] = {
            "of": checkpoint.fingerprint(params, reported),
            "field": name,
            "candidates": list(candidates[name]),
            "episodes": episodes,
            "tasks": tasks_of(sampler),
        }
        choice = _kept(out, asked)
        if choice is None:
            chosen = select(reported, params, sampler, name, candidates[name], episodes)
            print(f"innerloop: {chosen}", file=sys.stderr)
            scores = [[value, *score] for value, score in chosen.scores]
            choice = asked | {"value": chosen.value, "metric": chosen.score.name, "scores": scores}
        params = params | {name: torch.tensor(float(choice["value"]))}
        if out is not None:
            checkpoint.save_params(Path(out), learner, params)
            files.write(Path(out) / FILE, json.dumps(choice, indent=2) + "\n")
    return params


def _kept(out: str | Path | None, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The choice of the folder, if it was made in the way asked for."""
    try:
        choice = json.loads((Path(out or "") / FILE).read_text())
    except (OSError, ValueError):
        return None
    same = isinstance(choice, dict) and all(choice.get(k) == v for k, v in asked.items())
    return choice if same and "value" in choice else None
