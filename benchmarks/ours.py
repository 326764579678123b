"""Our side, as `meta_train` runs it: a plan, and one whole meta-step with its optimizer."""

from typing import Any, Literal

from torch.utils.flop_counter import FlopCounterMode

from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS
from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params
from innerloop.engine import meta_gradient
from innerloop.engine.choose import Length, choose
from innerloop.engine.plan import Plan
from innerloop.engine.updates import Descent
from innerloop.learners.bayesian.bmaml import BMAML
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.protonet import ProtoNet

LONG = 100_000
"""Steps of a run for which compiling is worth it."""
Optimizer = Literal["adam", "sgd"]


def maml(
    problem: str,
    tasks: int,
    steps: int = 1,
    first_order: bool = False,
    transductive: bool = True,
    plan: dict[str, Any] | None = None,
    long: bool = False,
) -> Work:
    """Peers use the query's own batch statistics, so `transductive` is the same arithmetic."""
    found = PROBLEMS[problem]
    learner = MAML(
        model=found.model,
        inner_lr=found.inner_lr,
        inner_steps=steps,
        first_order=first_order,
        objective=found.objective,
        transductive=transductive,
    )
    return _work(learner, found.episodes(tasks), plan, long)


def reptile(problem: str, tasks: int, steps: int, plan: dict[str, Any] | None = None, long: bool = False) -> Work:
    found = PROBLEMS[problem]
    learner = Reptile(
        model=found.model, inner_lr=found.inner_lr, inner_steps=steps, inner_optimizer="sgd", transductive=True
    )
    return _work(learner, found.episodes(tasks), plan, long, "sgd")


def bmaml(problem: str, tasks: int, particles: int, plan: dict[str, Any] | None = None, long: bool = False) -> Work:
    found = PROBLEMS[problem]
    learner = BMAML(model=found.model, inner_lr=found.inner_lr, particles=particles, objective=found.objective)
    return _work(learner, found.episodes(tasks), plan, long)


def protonet(problem: str, tasks: int = 1, plan: dict[str, Any] | None = None, long: bool = False) -> Work:
    found = PROBLEMS[problem]
    return _work(ProtoNet(encoder=found.model, transductive=True), found.episodes(tasks), plan, long)


class Steps:
    """Meta-steps on the same tasks, each as `innerloop.engine.train` has it."""

    def __init__(self, learner: Learner, episodes: Episode, plan: Plan, optimizer: Optimizer = "adam"):
        self.learner, self.episodes = learner, episodes
        self.params, self.update = learner.init(0), Descent(optimizer=optimizer, plan=plan)
        self.state = self.update.begin(learner, self.params, episodes)

    def __call__(self) -> float:
        result = self.update.step(self.learner, self.params, self.state, self.episodes, 0, META_LR)
        self.params, self.state, metrics = result
        return float(metrics["loss"])


def chosen(
    learner: Learner, params: Params, episodes: Episode, plan: dict[str, Any] | None, long: bool = False
) -> tuple[Plan, str]:
    """The plan asked for, or the engine's own choice, for a run that is worth compiling for or not."""
    if plan is not None:
        return Plan(**plan), ""
    choice = choose(learner, params, episodes, Length(steps=LONG if long else 0))
    return choice.plan, str(choice.plan)


def _work(
    learner: Learner, episodes: Episode, plan: dict[str, Any] | None, long: bool, optimizer: Optimizer = "adam"
) -> Work:
    pinned, said = chosen(learner, learner.init(0), episodes, plan, long)

    def flops() -> float:
        one = tree.slice(episodes, slice(0, 1))
        with FlopCounterMode(display=False) as counter:
            meta_gradient(learner, learner.init(0), one, Plan("loop"))
        return float(counter.get_total_flops() * tree.length(episodes))

    return Work(run=Steps(learner, episodes, pinned, optimizer), said=said, flops=flops)
