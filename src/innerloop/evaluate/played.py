"""Episodes of an agent on one unseen task after every step of its adaptation: those that a meta-test scores, kept."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch

from innerloop.core import fits, tree
from innerloop.core.aligned import aligned, packed
from innerloop.core.environment import Environment, Task, constants
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner, Unrolled
from innerloop.core.recorder import Trajectories, recorded
from innerloop.core.threads import on_one_core
from innerloop.core.types import Params, Sampler
from innerloop.learners import catalogue


class Episodes(NamedTuple):
    """What an agent did after so many steps of its adaptation."""

    step: int
    score: float
    """Mean return, as a meta-test has it."""
    trajectories: Trajectories
    step_name: str = Unrolled.step_name
    """What a step is: an inner step, or an episode of a trial."""

    @property
    def when(self) -> str:
        """In words."""
        return "before adaptation" if self.step == 0 else f"after {self.step} {self.step_name}{'s' * (self.step > 1)}"


class Played(NamedTuple):
    """An agent on one task."""

    environment: Environment[Any]
    task: Task
    episodes: list[Episodes]
    """Before adaptation, and after 1, 2, ... steps of it; of a learner without steps, those it is scored on."""


def play(learner: Learner, params: Params, sampler: Sampler, index: int = 0) -> Played:
    """Let an agent adapt to a task as `meta_test` does, by the same random numbers, and keep what it did.

    Args:
        learner: An agent, with as many inner steps as are to be shown.
        params: Its meta-parameters.
        sampler: Of unseen tasks.
        index: Which of them.

    Raises:
        InputError: The learner is no agent.
        FailedError: What it earned is not finite.
    """
    environment = acted_in(learner)
    fits.check_learner(learner)
    fits.check_params(learner, params)
    device = next(iter(params.values())).device if params else torch.device("cpu")
    params = packed(params)
    stacked = tree.map(lambda leaf: leaf.to(device), sampler.episodes(index, 1))
    support, query = aligned(tree.slice(fits.fitting(stacked, params), 0))
    recorder = recorded(environment)
    watched: Any = replace(learner, env=recorder)  # pyright: ignore[reportCallIssue]

    def scored(adapted: Any, step: int) -> Episodes:
        score = float(watched.predict(params, adapted, query.x).mean())
        kept = tree.map(lambda leaf: leaf.cpu(), recorder.trajectories())
        return Episodes(step, score, kept, learner.step_name if isinstance(learner, Unrolled) else "")

    @torch.no_grad()
    def acted() -> list[Episodes]:
        if not isinstance(learner, Unrolled):
            return [scored(learner.adapt(params, support), 0)]
        carry = learner.start(params, support)
        result = [scored(learner.finish(params, carry, support), 0)]
        for step in range(learner.steps_at_test):
            carry, _ = learner.advance(params, carry, support)
            result.append(scored(learner.finish(params, carry, support), step + 1))
        return result

    # On one core, as in a meta-test: the same rounding, which an environment may make more of with every step.
    episodes = on_one_core(acted)
    for step, score, trajectories, _ in episodes:
        numbers = [*tree.flatten(trajectories.states), trajectories.rewards]
        if not all(torch.isfinite(leaf).all() for leaf in [torch.tensor(score), *numbers]):
            raise FailedError(
                f"{type(learner).__name__} met numbers that are not finite in task {index} after {step} inner steps: "
                "training diverged, or inner_lr is too large for so many inner steps"
            )
    return Played(environment, tree.map(lambda leaf: leaf.cpu(), constants(support)), episodes)


def acted_in(learner: Learner) -> Environment[Any]:
    """What an agent acts in.

    Raises:
        InputError: The learner is none; the message names those that are.
    """
    environment = getattr(learner, "env", None)
    if "returns" not in learner.targets or not isinstance(environment, Environment):
        agents = ", ".join(name for name, cls in catalogue().items() if "returns" in cls.targets)
        raise InputError(
            f"{type(learner).__name__} is no agent, and only what acts can be shown acting: train one of {agents}, "
            "such as by `innerloop train maml_rl --env navigation`"
        )
    return environment
