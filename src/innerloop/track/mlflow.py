"""MLflow: a SQLite store in `tracking/mlflow.db` of the run folder, or the one that MLFLOW_TRACKING_URI names."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from innerloop.core.errors import InputError
from innerloop.track.base import FINISHED, Place, Point, Setting, State, Tracker

_EXPERIMENT = "innerloop"
_METRICS, _PARAMS = 900, 100
"""How many MLflow takes at once: 1000 of both together, 100 parameters."""


class MLflow(Tracker):
    """Keeps a run in an MLflow store, by MLflow's own client."""

    package, extra = "mlflow", "mlflow"

    def open(self, place: Place, settings: Mapping[str, Setting], state: State, step: int) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no network that was not asked for
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._metric, self._last = Metric, step
        own = f"sqlite:///{(place.folder / 'mlflow.db').resolve()}"
        # Kept only where it is elsewhere: a run folder may be moved.
        where = state.get("uri") or ("" if "run" in state else os.environ.get("MLFLOW_TRACKING_URI")) or own
        artifacts = (place.folder / "mlflow").resolve().as_uri() if where == own else None
        self._client = client = MlflowClient(tracking_uri=where)
        if "run" in state:
            try:
                client.update_run(state["run"], status="RUNNING")
            except MlflowException as error:
                raise InputError(
                    f"{where} has no run {state['run']} any more ({error}): remove {place.folder / 'mlflow.json'}"
                ) from None
            self._run = state["run"]
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts)
        self._run = client.create_run(experiment, run_name=place.name).info.run_id
        state |= {"run": self._run} | ({} if where == own else {"uri": where})
        params = [Param(key, str(value)) for key, value in settings.items()]
        for first in range(0, len(params), _PARAMS):
            client.log_batch(self._run, params=params[first : first + _PARAMS])

    def points(self, points: Sequence[Point]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(k, v, now, point.step) for point in points for k, v in point.values.items()]
        for first in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._run, metrics=metrics[first : first + _METRICS])

    def curve(self, name: str, points: Sequence[Point]) -> None:
        self.points(points)

    def picture(self, name: str, file: Path, step: int) -> None:
        self._client.log_artifact(self._run, str(file), "pictures")

    def final(self, values: Mapping[str, Setting], step: int) -> None:
        self.points([Point(step, {k: float(v) for k, v in values.items() if not isinstance(v, str)})])
        for key, value in values.items():
            if isinstance(value, str):
                self._client.set_tag(self._run, key, value)

    def close(self, reason: str | None) -> None:
        if reason is not None:
            self._client.set_tag(self._run, "ended", reason)
        self._client.set_terminated(self._run, "FINISHED" if reason in (None, FINISHED) else "KILLED")
