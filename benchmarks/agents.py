"""Agents: how fast environments are stepped, and what they look like.

    python -m benchmarks.agents speed               # steps a second, all tasks at once against one task after another
    python -m benchmarks.agents speed --rounds 3    # fewer turns
    python -m benchmarks.agents training            # seconds of a meta-step, by update and by plan
    python -m benchmarks.agents pictures            # the pictures of docs/guide/agents.md

20 tasks with 20 trajectories each, to the end of the horizon, on one thread. "one by one" is the manner of
learn2learn's examples: an object in NumPy for a task, reset for a trajectory, one call a step, and with a policy one
call of its network for one observation. "at once" is `vmap` over tasks of a loop over steps. Both take the same
actions, and what they earn must be the same. Actions are drawn before the clock starts, or come from a policy with two
layers of 64 units. Contenders take turns; a ratio is the median of the ratios of each round, [smallest to largest].

"training": an iteration of the trust region (`maml_rl` on navigation, 20 tasks x 20 trajectories before and after
adaptation), with the curvature of every step and of every tenth, since it takes all tasks at once and has no plan; and
a gradient of `rl2` by plan (64 tasks x 16 trials), with steps of the environment a second.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks import machine
from innerloop.core import random, tree
from innerloop.core.allocator import keep_memory
from innerloop.core.context import Context
from innerloop.core.environment import Discrete, Environment, random_actions
from innerloop.core.learner import Learner
from innerloop.engine import meta_gradient
from innerloop.engine.trust_region import TrustRegion
from innerloop.learners import catalogue
from innerloop.problems.agents import Acting, PolicyOptions
from innerloop.report.environments import draw
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.sampler import EnvironmentTasks
from innerloop.tasks.environments.tabular import Tabular
from tests.tasks.environments.test_mazes import Walker
from tests.tasks.environments.test_navigation import Walk

PLACE = Path(__file__).with_name("agents.json")
PICTURES = PLACE.parents[1] / "docs" / "images" / "environments.png"
TASKS, TRAJECTORIES, HIDDEN, ROUNDS = 20, 20, 64, 7
TRIALS, PLANS = 64, ("vmap", "loop")
"""Tasks of a gradient of rl2, and the plans it is taken by, the one that others are read against first."""
ENVIRONMENTS: dict[str, tuple[Environment[Any], Callable[[Any, Any], Any]]] = {
    "navigation": (Navigation(), lambda environment, task: Walk(task["goal"])),
    "mazes": (Mazes(horizon=100), lambda environment, task: Walker(task, environment)),
}
"""In tensors, and how an object of a task is made in NumPy."""
_AGREE = 1e-3
_KEY = random.mix(0, 0)


def network(environment: Environment[Any]) -> nn.Module:
    """A policy that acts by its most likely action, so that both contenders do the same."""
    space = environment.actions
    outputs = space.n if isinstance(space, Discrete) else space.size
    torch.manual_seed(0)
    layers = nn.Linear(environment.observations, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(HIDDEN, outputs))


def chosen(environment: Environment[Any], outputs: Tensor) -> Tensor:
    return outputs.argmax(-1) if isinstance(environment.actions, Discrete) else 0.1 * outputs


def at_once(environment: Environment[Any], tasks: Any, drawn: Tensor, policy: nn.Module | None) -> float:
    """The mean reward of all steps, of tasks that are stepped together."""

    def run(task: Any, drawn: Tensor) -> Tensor:
        state, total = environment.start(task, TRAJECTORIES, _KEY), torch.zeros(())
        for t in range(environment.horizon):
            seen = environment.observe(task, state)
            action = drawn[t] if policy is None else chosen(environment, policy(seen))
            state, reward, _ = environment.step(task, state, action, _KEY)
            total = total + reward.mean()
        return total / environment.horizon

    return float(torch.vmap(run)(tasks, drawn).mean())


def one_by_one(environment: Environment[Any], made: list[Any], drawn: Any, policy: nn.Module | None) -> float:
    """The same, of objects that are stepped one after another."""
    total = 0.0
    for task, one in enumerate(made):
        for row in range(TRAJECTORIES):
            seen = one.reset(None, row, TRAJECTORIES)
            for t in range(environment.horizon):
                if policy is None:
                    action = drawn[task, t, row]
                else:
                    outputs = policy(torch.from_numpy(np.asarray(seen, np.float32)))
                    action = chosen(environment, outputs).numpy()
                seen, reward, _ = one.step(action, None, row, TRAJECTORIES)
                total += reward
    return total / (len(made) * TRAJECTORIES * environment.horizon)


def scripted(environment: Environment[Any], task: int) -> Tensor:
    """[steps, trajectories, ...] random actions."""
    steps = range(environment.horizon)
    return torch.stack([random_actions(environment.actions, TRAJECTORIES, random.mix(task, t)) for t in steps])


@torch.no_grad()
def speed(rounds: int) -> list[dict[str, Any]]:
    """Steps a second of both contenders on each environment, with and without a policy."""
    rows = []
    for name, (environment, make) in ENVIRONMENTS.items():
        tasks = torch.vmap(environment.draw)(random.mix(0, torch.arange(TASKS)))
        steps = torch.stack([scripted(environment, i) for i in range(TASKS)])
        made = [make(environment, tree.map(Tensor.numpy, tree.slice(tasks, i))) for i in range(TASKS)]
        for policy in (None, network(environment)):
            contenders = {
                "at once": partial(at_once, environment, tasks, steps, policy),
                "one by one": partial(one_by_one, environment, made, steps.numpy(), policy),
            }
            seconds: dict[str, list[float]] = {who: [] for who in contenders}
            for turn in range(rounds + 1):
                earned = {}
                for who, run in contenders.items():
                    begun = time.perf_counter()
                    earned[who] = run()
                    if turn:  # the first one warms the caches
                        seconds[who].append(time.perf_counter() - begun)
                assert abs(earned["at once"] - earned["one by one"]) < _AGREE, earned
            rows.append(row(name, environment, policy is not None, seconds))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def row(name: str, environment: Environment[Any], policy: bool, seconds: dict[str, list[float]]) -> dict[str, Any]:
    count = TASKS * TRAJECTORIES * environment.horizon
    ratios = sorted(slow / fast for fast, slow in zip(seconds["at once"], seconds["one by one"], strict=True))
    about: dict[str, Any] = {"environment": name, "policy": policy}
    about |= {f"{who}, steps a second": round(count / statistics.median(taken)) for who, taken in seconds.items()}
    return about | {"ratio": [round(r, 1) for r in (statistics.median(ratios), ratios[0], ratios[-1])]}


def in_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every turn of each, after one that warms the caches."""
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    for turn in range(rounds + 1):
        for who, run in contenders.items():
            begun = time.perf_counter()
            run()
            if turn:
                seconds[who].append(time.perf_counter() - begun)
    return seconds


def usual(name: str, data: str, **settings: Any) -> Learner:
    """A learner with the networks that the command line gives it."""
    problem = Acting(data=data)
    fields = {**problem.sensible(catalogue()[name], data).fields, **settings}
    return problem.learner(catalogue()[name], fields, PolicyOptions(), problem.load(Context()))


def training(rounds: int) -> list[dict[str, Any]]:
    """Seconds of a meta-step, the first contender against each of the others."""
    rows = []
    learner: Any = usual("maml_rl", "navigation")
    episodes, params = EnvironmentTasks(environment=learner.env).episodes(0, TASKS), learner.init(0)
    updates = {f"curvature of every {n}th step": TrustRegion(every=n) for n in (10, 1)}
    runs = {
        who: partial(update.step, learner, params, update.begin(learner, params, episodes), episodes, 0, 0.0)
        for who, update in updates.items()
    }
    rows.append(contest("an iteration of the trust region, navigation", in_turns(runs, rounds)))
    for data in ("bandits", "mazes"):
        learner = usual("rl2", data)
        episodes, params = EnvironmentTasks(environment=learner.env).episodes(0, TRIALS), learner.init(0)
        plans = {plan: partial(meta_gradient, learner, params, episodes, plan) for plan in PLANS}
        steps = TRIALS * learner.trajectories * (1 + learner.inner_steps) * learner.env.horizon
        rows.append(contest(f"a gradient of rl2, {data}", in_turns(plans, rounds), steps))
    return rows


def contest(name: str, seconds: dict[str, list[float]], steps: int | None = None) -> dict[str, Any]:
    """A row of the median seconds of each contender, and how many times the first one's each takes."""
    first, *others = seconds
    about: dict[str, Any] = {"work": name}
    for who, taken in seconds.items():
        about[f"{who}, seconds"] = round(statistics.median(taken), 4)
        about |= {f"{who}, steps a second": round(steps / statistics.median(taken))} if steps else {}
    for who in others:
        ratios = sorted(slow / fast for fast, slow in zip(seconds[first], seconds[who], strict=True))
        about[f"{who} over {first}"] = [round(r, 2) for r in (statistics.median(ratios), ratios[0], ratios[-1])]
    print(json.dumps(about), flush=True)
    return about


def walked(environment: Any, task: Any, length: int) -> Tensor:
    """[steps, d] what is seen by one who knows the way where there is one to be found, and acts at random elsewhere."""
    seen: list[Tensor] = []
    state: Any = environment.start(task, 1, _KEY)
    for t in range(length):
        seen.append(environment.observe(task, state)[0])
        action = random_actions(environment.actions, 1, random.fold(_KEY, t))
        if isinstance(environment, Mazes | PointRobot):
            action = environment.oracle(task, seen[-1][None])
        state, _, done = environment.step(task, state, action, random.fold(_KEY, t))
        if done:
            seen.append(environment.observe(task, state)[0])
            break
    return torch.stack(seen)


def pictures() -> None:
    """A task of each environment, with a trajectory."""
    shown = {"navigation": Navigation(), "point-robot": PointRobot(), "mazes": Mazes(cells=4)}
    shown |= {"bandits": Bandits(), "tabular": Tabular(), "cart-pole": CartPole()}
    figure = Figure(figsize=(10.5, 6.6), layout="constrained")
    for axes, (name, environment) in zip(figure.subplots(2, 3).ravel(), shown.items(), strict=True):
        task = environment.draw(random.mix(0, 5))
        draw(axes, environment, task, [walked(environment, task, 60 if name == "mazes" else 20)])
        axes.set_title(name)
    figure.savefig(PICTURES, dpi=80, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("what", choices=["speed", "training", "pictures"])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each contender")
    parser.add_argument("--dry", action="store_true", help="write no file: print what was found")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    if given.what == "pictures":
        pictures()
        return
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    about = {"date": date.today().isoformat(), "machine": machine.describe(), "rounds": given.rounds}
    kept[given.what] = about | {"rows": {"speed": speed, "training": training}[given.what](given.rounds)}
    if not given.dry:
        PLACE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
