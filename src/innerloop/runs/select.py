"""What is chosen on meta-validation classes once a run is trained, and kept with it."""

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from innerloop.core import files
from innerloop.core.learner import Learner
from innerloop.core.scores import tasks_of
from innerloop.core.types import Params, Sampler
from innerloop.engine import TrainConfig, Watcher, checkpoint
from innerloop.evaluate.select import select

FILE = checkpoint.CHOICE


class Pending(Watcher):
    """Notes in the folder of a run that something is still to be chosen, so that nobody takes it for finished.

    Args:
        names: What is chosen once it is trained.
    """

    def __init__(self, names: Collection[str]):
        self.names = names

    def started(self, run: Path | None, config: TrainConfig, record: dict[str, Any]) -> None:
        # A choice that is there is of the parameters as they are now; once they change it no longer counts.
        if run is not None and self.names and not checkpoint.read_choice(run):
            note = {"field": ", ".join(self.names), checkpoint.GIVES: None}
            files.write(run / FILE, json.dumps(note, indent=2) + "\n")


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
            # With the mode: a choice made in another one is made again.
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
            run = Path(out)
            # Parameters first: killed in between, the note does not fit them, and `load` refuses the run.
            checkpoint.save_params(run, learner, params, checkpoint.origin(run))
            # Until the last one is chosen the run is not finished, wherever the process is killed.
            last = name == [*candidates][-1]
            choice = choice | {checkpoint.GIVES: checkpoint.fingerprint(params, learner) if last else None}
            files.write(run / FILE, json.dumps(choice, indent=2) + "\n")
    return params


def _kept(out: str | Path | None, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The choice of the folder, if it was made in the way asked for."""
    choice = {} if out is None else checkpoint.read_choice(out)
    # A value that is no candidate was written by hand, or by a damaged disk.
    same = all(choice.get(k) == v for k, v in asked.items())
    return choice if same and choice.get("value") in asked["candidates"] else None
