"""Agents that walk to a goal they do not see: returns before and after adaptation, by setting and seed.

python -m benchmarks.navigation [NAME ...] [--seeds 0 1 2]

Every run is trained on 40 meta-steps of 20 tasks unless its name says otherwise, and tested on the same 200 unseen
goals, with 20 trajectories before every step and 20 that are scored. What was measured is kept in
`benchmarks/navigation.json`.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from innerloop.core import interval, tree
from innerloop.core.agent import PolicyGradient
from innerloop.core.allocator import keep_memory
from innerloop.core.types import Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.engine.clipped import Clipped
from innerloop.engine.trust_region import TrustRegion
from innerloop.engine.updates import Update
from innerloop.learners.agents.anil_rl import ANILRL
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.sampler import EnvironmentTasks

RESULTS = Path(__file__).with_suffix(".json")
_TESTED, _GOALS, _CHUNK = 999, 200, 50
_PLAIN = MAMLRL(env=Navigation(), model=Gaussian())
_ANIL = ANILRL(
    env=Navigation(),
    encoder=MLP(inputs=2, hidden=(64, 64), outputs=64, activation="tanh"),
    head=Gaussian(inputs=64, hidden=()),
)
_FAST = TrustRegion(every=10)


class Setting(NamedTuple):
    """How a run is trained."""

    learner: PolicyGradient = _PLAIN
    update: Update | None = _FAST
    steps: int = 40
    tasks: int = 20
    rate: float = 1e-3


SETTINGS = {
    "one step": Setting(),
    "three steps": Setting(replace(_PLAIN, inner_steps=3)),
    "one step, curvature on all steps": Setting(update=TrustRegion()),
    "learned rates": Setting(replace(_PLAIN, learn_rates=True)),
    "ratio (ProMP)": Setting(replace(_PLAIN, inner_loss="ratio")),
    "first order": Setting(replace(_PLAIN, first_order=True)),
    "40 tasks a meta-step": Setting(tasks=40),
    "anil_rl": Setting(_ANIL),
    "no bound, no floor, rate 0.1": Setting(replace(_PLAIN, bound=None, floor=0.0, inner_lr=0.1)),
    "the same, first deviation 0.5": Setting(
        replace(_PLAIN, model=Gaussian(start_std=0.5), bound=None, floor=0.0, inner_lr=0.1)
    ),
    "clipped (PPO), 5 epochs": Setting(update=Clipped(), rate=3e-3),
    "descent (A2C)": Setting(update=None, rate=3e-3),
    "pre-trained, without adaptation": Setting(replace(_PLAIN, inner_steps=0)),
    "from scratch": Setting(steps=0),
}


def trained(setting: Setting, seed: int) -> tuple[Params, float]:
    """Meta-parameters, and the processor time that they took in seconds."""
    started = time.process_time()
    config = TrainConfig(steps=setting.steps, meta_batch_size=setting.tasks, meta_lr=setting.rate, seed=seed)
    if setting.update is None:
        config = replace(config, plan="vmap", unchecked=True)
    tasks = EnvironmentTasks(environment=setting.learner.env, seed=seed)
    return meta_train(setting.learner, tasks, config, update=setting.update), time.process_time() - started


def returns(learner: PolicyGradient, params: Params, steps: int) -> Tensor:
    """[goals, steps + 1] mean returns on unseen goals after 0, 1, ... inner steps."""

    def one(episode: Any) -> Tensor:
        carries = learner.trajectory(params, episode.support, steps)
        actors = (learner.finish(params, carry, episode.support) for carry in carries)
        return torch.stack([learner.predict(params, actor, episode.query.x)[0, 0] for actor in actors])

    goals = EnvironmentTasks(environment=learner.env, seed=_TESTED).episodes(0, _GOALS)
    with torch.no_grad():
        chunks = [tree.slice(goals, slice(i, i + _CHUNK)) for i in range(0, _GOALS, _CHUNK)]
        return torch.cat([torch.vmap(one, in_dims=(tree.axes(chunk),))(chunk) for chunk in chunks])


def main() -> None:
    """Train and test what was asked for, print it, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SETTINGS)}; none: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    keep_memory()
    if unknown := [name for name in options.names if name not in SETTINGS]:
        parser.error(f"there is no setting {unknown[0]!r}: choose of {', '.join(map(repr, SETTINGS))}")
    torch.set_num_threads(1)
    for name in options.names or SETTINGS:
        for seed in options.seeds:
            params, seconds = trained(SETTINGS[name], seed)
            earned = returns(SETTINGS[name].learner, params, 3)
            intervals = [interval.interval(column) for column in earned.unbind(1)]
            row = {"seed": seed, "seconds": round(seconds), "returns": [[one.mean, one.ci95] for one in intervals]}
            said = ", ".join(f"{one.mean:.1f} ± {one.ci95:.1f}" for one in intervals)
            print(f"{name}, seed {seed}: {said}; {seconds:.0f} s", flush=True)
            kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            kept[name] = [other for other in kept.get(name, []) if other["seed"] != seed] + [row]
            RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
