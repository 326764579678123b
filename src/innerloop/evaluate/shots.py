"""A learner on the same unseen tasks with several numbers of shots: nested supports, the same queries."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from innerloop.core import files, fits, tree
from innerloop.core.aligned import aligned, packed
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.scores import measured, of_sampler
from innerloop.core.threads import cores, spread
from innerloop.core.types import Batch, Episode, Params, Sampler, picked
from innerloop.engine.checkpoint import fingerprint
from innerloop.evaluate import seal
from innerloop.evaluate.by_shots import ByShots, check_shots
from innerloop.evaluate.meta_test import protocol
from innerloop.evaluate.protocol import Protocol
from innerloop.evaluate.result import ONE_TRAINING
from innerloop.tasks.progress import track

_CHUNK = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class ShotCurve:
    """Scores of one learner by the number of shots."""

    learner: str
    protocol: Protocol
    """That of the most shots."""
    by_shots: ByShots
    parameters: str | None = None
    """Fingerprint of the parameters that were tested."""
    options: Mapping[str, Any] | None = None
    """Options of the `innerloop test` that measured it."""
    step: int | None = None
    """Meta-step of the run that they were of, where it is known."""
    sealed: bool = True
    """Whether its file carries a digest, as all do."""
    baseline: ClassVar[str | None] = None
    """None: it is of the run itself."""

    @property
    def conditions(self) -> str:
        """What was measured, in words."""
        about = f"{self.protocol.episodes} episodes, {self.protocol.normalisation}, {self.protocol.task}"
        return f"{about}; shots of a task are nested and its queries the same, so that differences are paired"

    def __str__(self) -> str:
        return f"{self.by_shots}\n{self.learner}: {self.conditions}; {ONE_TRAINING}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of the tasks, which are in the file that `save` writes."""
        about = {"learner": self.learner, "protocol": self.protocol.to_json(), "hash": self.protocol.hash}
        return about | {"parameters": self.parameters} | self.by_shots.to_json()

    def save(self, run: str | Path) -> Path:
        """Write `shots-<hash of how it was measured>.json` into a run folder, whole or not at all."""
        about = {"protocol": self.protocol.to_json(), "shots": list(self.by_shots.shots)}
        own = self.parameters is not None and self.parameters == seal.parameters_of(run)
        content = {"learner": self.learner, **about, "parameters": self.parameters}
        content |= {"step": seal.step_of(run) if own else None}
        content |= {"options": None if self.options is None else dict(self.options)}
        content |= {"curve": self.to_json()["points"], "scores": self.by_shots.scores.tolist()}
        path = Path(run) / f"shots-{seal.digest(about)}.json"
        files.write(path, json.dumps(content | {seal.DIGEST: seal.digest(content)}, allow_nan=False) + "\n")
        return path

    def command(self, run: str | Path) -> str:
        """What to type to measure it again in a run folder."""
        mode = {"episodes": self.protocol.episodes, "transductive": self.protocol.normalisation == "transductive"}
        options = {**(self.options or {}), **seal.options_of(self.protocol.sampler), **mode}
        options.pop("shots", None)
        return f"{seal.renewal(run, options)} --shots {' '.join(map(str, self.by_shots.shots))}"

    @classmethod
    def load(cls, path: str | Path) -> "ShotCurve":
        """Read what `save` wrote.

        Raises:
            InputError: It is missing, something else, or was edited.
        """
        command = f"{seal.renewal(Path(path).parent, {})} --shots 1 2 5"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=seal.refuse_constant)
            sealed = seal.check_seal(path, content, command)
            about, shots = Protocol.from_json(content["protocol"]), check_shots(content["shots"])
            scores = torch.tensor(content["scores"], dtype=torch.float64)
            if scores.shape != (len(shots), about.episodes, about.score.parts):
                raise ValueError("its scores are not those of its tasks")
            result = cls(
                learner=str(content["learner"]),
                protocol=about,
                by_shots=ByShots(shots=shots, scores=scores, score=about.score),
                parameters=seal.text(content.get("parameters")),
                options=seal.options(content.get("options")),
                step=seal.step(content.get("step")),
                sealed=sealed,
            )
            str(result)  # whatever is said of it can be said
        except Exception as error:  # whatever a damaged file makes of it
            if isinstance(error, InputError) and str(path) in str(error):
                raise
            raise seal.unread(path, error, "holds no scores by the number of shots", command) from error
        return result


def saved(run: str | Path) -> list[Path]:
    """Files of a run folder that hold scores by the number of shots."""
    return sorted(Path(run).glob("shots-*.json"))


def by_shots(
    learner: Learner,
    params: Params,
    sampler: Sampler,
    shots: Sequence[int],
    episodes: int = 600,
    *,
    first: int = 0,
    threads: int | None = None,
) -> ShotCurve:
    """Score a learner with fewer and more shots of the same tasks.

    Args:
        learner: As tested; predictions are inductive unless it is transductive.
        params: Its meta-parameters.
        sampler: Of meta-test tasks with as many shots as the most of these.
        shots: How many labelled examples of each class, or points of a function.
        episodes: How many tasks.
        first: Index of the first.
        threads: Tasks at once; None: one a core on the CPU, else 1. Changes no number.

    Raises:
        InputError: The sampler has another number of shots, or not one for all classes.
        FailedError: Predictions that are not finite.
    """
    shots = check_shots(shots)
    if episodes < 1:
        raise InputError(f"a meta-test needs at least 1 episode, got {episodes}")
    most = sampler.describe().get("shots")
    if most != shots[-1]:
        raise InputError(f"the tasks have {most} shots: give some with {shots[-1]}, of which fewer are taken")
    fits.check_learner(learner)
    fits.check_params(learner, params)
    own, params = fingerprint(params), packed(params)
    device = next(iter(params.values())).device if params else torch.device("cpu")
    threads = threads or (cores() if device.type == "cpu" else 1)
    score = of_sampler(sampler)

    @torch.no_grad()
    def run(task: Episode) -> Tensor:
        rows = []
        for k in shots:
            adapted = learner.adapt(params, _fewer(task.support, k))
            outputs = learner.predict(params, adapted, task.query.x)
            fits.check_outputs(outputs, task.query, type(learner).__name__)
            rows.append(measured(score, outputs, task.query).cpu().double())
        return torch.stack(rows)

    done: list[Tensor] = []
    starts = range(first, first + episodes, _CHUNK)
    for start in track(starts, f"{len(shots)} numbers of shots in {episodes} tasks, {_CHUNK} at once", len(starts)):
        count = min(_CHUNK, first + episodes - start)
        stacked = fits.fitting(tree.map(lambda leaf: leaf.to(device), sampler.episodes(start, count)), params)
        done += spread(run, [aligned(tree.slice(stacked, i)) for i in range(count)], threads)
    scores = torch.stack(done, 1)  # [shots, episodes, k]
    if not bool(scores.isfinite().all()):
        raise FailedError(f"{type(learner).__name__} gave predictions that are not finite: training diverged")
    return ShotCurve(
        learner=type(learner).__name__,
        protocol=protocol(learner, sampler, episodes, first=first),
        by_shots=ByShots(shots=shots, scores=scores, score=score),
        parameters=own,
    )


def _fewer(support: Batch, shots: int) -> Batch:
    """The first examples of every class, or the first points of a function; unlabelled ones stay."""
    y = support.y
    if y.is_floating_point():
        keep = torch.arange(len(y), device=y.device) < shots
    else:
        same = y[:, None] == y
        before = same.tril(-1).sum(1)
        keep = (before < shots) | (y < 0)
    return picked(support, keep)
