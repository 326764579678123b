"""A recurrent agent on bandits beside Thompson's and Gittins's rules, on the same unseen tasks.

python -m benchmarks.bandits [--seeds 0 1 2] [--steps 4000] [--arms 5] [--pulls 10]

A meta-step has 64 tasks of 16 trials each; tests have 4,000 tasks of 20 trials. Differences are paired by task, ± is a
95% interval over tasks, seconds are of the processor. With `--steps 0` the rules alone are played.
"""

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from innerloop.core import interval, tree
from innerloop.core.allocator import keep_memory
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.learners.agents.bandit_rule import BanditRule
from innerloop.learners.agents.rl2 import RL2
from innerloop.nn.gru import GRU
from innerloop.nn.mlp import Linear
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.sampler import EnvironmentTasks

_TASKS, _CHUNK, _TRIALS, _UNITS = 4000, 500, 20, 64


def returns(learner: Learner, params: Params, tasks: EnvironmentTasks) -> Tensor:
    """[tasks] mean returns of the unseen ones."""
    parts = []
    for first in range(0, _TASKS, _CHUNK):
        chunk = tasks.episodes(first, _CHUNK)
        one = lambda e: learner.predict(params, learner.adapt(params, e.support), e.query.x)  # noqa: E731
        parts.append(torch.vmap(one, in_dims=(tree.axes(chunk),))(chunk).flatten())
    return torch.cat(parts)


def trained(environment: Bandits, steps: int, seed: int) -> tuple[RL2, Params, float]:
    """An agent, its parameters and processor seconds of its training."""
    told = environment.observations + environment.arms + 2
    learner = RL2(
        env=environment,
        memory=GRU(inputs=told, units=_UNITS),
        policy=Linear(_UNITS, environment.arms, zero=True),
        value=Linear(_UNITS, 1, zero=True),
        units=_UNITS,
        baseline="trials",
        discount=1.0,
        entropy=0.02,
    )
    config = TrainConfig(steps=steps, meta_batch_size=64, meta_lr=8e-3, schedule="cosine", seed=seed, plan="vmap")
    start = time.process_time()
    params = meta_train(learner, EnvironmentTasks(environment=environment, seed=0), config)
    return replace(learner, trajectories=_TRIALS), params, time.process_time() - start


def main() -> None:
    """Play the rules, train and test what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    for name, value in (("steps", 4000), ("arms", 5), ("pulls", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    environment = Bandits(arms=options.arms, horizon=options.pulls)
    unseen = EnvironmentTasks(environment=environment, seed=1)
    rules = {
        rule: returns(BanditRule(env=environment, rule=rule, trajectories=_TRIALS), {}, unseen)
        for rule in ("thompson", "gittins")
    }

    def show(name: str, earned: Tensor) -> None:
        against = {"": earned} | {f" over {rule}": earned - other for rule, other in rules.items()}
        cells = [f"{v.mean:+.3f} ± {v.ci95:.3f}{k}" for k, v in ((k, interval.interval(e)) for k, e in against.items())]
        print(f"{name}: {', '.join(cells)}", flush=True)

    for rule, earned in rules.items():
        show(rule, earned)
    for seed in options.seeds if options.steps else ():
        learner, params, seconds = trained(environment, options.steps, seed)
        for greedy in (False, True):
            name = f"rl2, {options.steps} steps, seed {seed}, {seconds:.0f} s{', greedy' if greedy else ''}"
            show(name, returns(replace(learner, greedy=greedy), params, unseen))


if __name__ == "__main__":
    main()
