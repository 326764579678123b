"""Weights & Biases: offline in `tracking/wandb` of the run folder, unless WANDB_MODE=online asks for the network."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from innerloop.core.errors import FailedError
from innerloop.track.base import FINISHED, Place, Point, Setting, State, Tracker
from innerloop.track.told import tell

_PROJECT = "innerloop"
_SECONDS = 30
"""How long a server may take to answer."""


class WandB(Tracker):
    """Keeps a run with W&B's own client, under one id however often it is resumed; it never asks who you are."""

    package, extra = "wandb", "wandb"

    def open(self, place: Place, settings: Mapping[str, Setting], state: State, step: int) -> None:
        # Neither errors of its own nor anything else leave this machine, unless it was asked for.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._wandb: Any = wandb
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode not in ("online", "offline"):
            raise FailedError(f"WANDB_MODE={mode} keeps nothing: leave it out, or take online or offline")
        self._run: Any = None
        if mode == "online" and (why := self._refused(place, settings, state)) is not None:
            tell(
                f"wandb: {why}; the run is kept offline, and goes to the server by `wandb sync "
                f"{place.folder / 'wandb' / 'offline-run-*'}`"
            )
        if self._run is None:
            self._run = self._begin(place, settings, state, "offline")

    def points(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log(point.values, step=point.step)

    def curve(self, name: str, points: Sequence[Point]) -> None:
        rows = [[point.step, *point.values.values()] for point in points]
        table = self._wandb.Table(columns=["inner steps", *points[0].values], data=rows)
        self._run.log({name: self._wandb.plot.line(table, "inner steps", next(iter(points[0].values)), title=name)})

    def picture(self, name: str, file: Path, step: int) -> None:
        self._run.log({f"pictures/{name}": self._wandb.Image(str(file))})

    def final(self, values: Mapping[str, Setting], step: int) -> None:
        self._run.summary.update(dict(values))

    def close(self, reason: str | None) -> None:
        if reason is not None:
            self._run.summary.update({"ended": reason})
        self._run.finish(exit_code=0 if reason in (None, FINISHED) else 1)

    def _refused(self, place: Place, settings: Mapping[str, Setting], state: State) -> str | None:
        """Why the server cannot be used; None: it is."""
        try:
            if not self._wandb.login(prompt=False):
                return "WANDB_MODE=online needs a key, and there is none: set WANDB_API_KEY, or type `wandb login` once"
            self._run = self._begin(place, settings, state, "online")
        except Exception as error:  # whatever the client makes of a missing network
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            return f"its server cannot be reached ({reason})"
        return None

    def _begin(self, place: Place, settings: Mapping[str, Setting], state: State, mode: str) -> Any:
        # Nothing of it looks at this machine: no output, no source, no processor, no branch.
        quiet = self._wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            init_timeout=_SECONDS,
        )
        return self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _PROJECT,
            id=state["id"],
            name=place.name,
            dir=str(place.folder),
            config=dict(settings),
            mode=mode,
            resume="allow",
            settings=quiet,
        )
