"""Episodes of agents as plain numbers that the canvas of a page draws: what stays as it is, and what moves."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from innerloop.core.environment import Environment, Task
from innerloop.core.recorder import Trajectories
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import EDGE, CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.tabular import Tabular

_DIGITS = 4
Scene = dict[str, Any]


def scene(environment: Environment[Any], task: Task, panels: Sequence[Trajectories], count: int) -> Scene:
    """What a page draws, in plain JSON values.

    Args:
        environment: Of `innerloop.tasks.environments`; of any other, the reward so far is drawn.
        task: Its constants.
        panels: Episodes that stand side by side.
        count: Trajectories of each, at most.

    Returns:
        `kind` of drawing, `world` that stays, the `horizon`, `frames` that are shown, and `panels`: of each trajectory
        `moves`, with an entry for every step and one before them, `did` with one for every step, and the `rewards`.
    """
    kind, world, moves = next((entry for cls, entry in _KINDS.items() if isinstance(environment, cls)), _OTHER)
    shown = [[_trajectory(panel, i, moves) for i in range(min(count, len(panel.live)))] for panel in panels]
    frames = max(len(one["rewards"]) for panel in shown for one in panel)
    fixed = world(environment, task)
    if kind == "plane":
        fixed["reach"] = reach(environment, panels, count)
    return {"kind": kind, "world": fixed, "horizon": environment.horizon, "frames": frames, "panels": shown}


def reach(environment: Environment[Any], panels: Sequence[Trajectories], count: int) -> float:
    """How far from the origin of a plane there is something to see: all goals, and trajectories within the double."""
    goals = next(far for cls, far in _GOALS.items() if isinstance(environment, cls))
    far = max(float(_position(panel.states)[:count].abs().max()) for panel in panels)
    return min(max(goals, 1.05 * far), 2 * goals)


def _trajectory(seen: Trajectories, i: int, moves: Callable[[Any], Tensor] | None) -> Scene:
    length = seen.lengths[i]
    did = seen.actions[i, :length]
    return {
        "moves": [] if moves is None else numbers(moves(seen.states)[i, : length + 1]),
        "did": numbers(did),
        "rewards": numbers(seen.rewards[i, :length]),
    }


def numbers(values: Tensor) -> Any:
    """Lists of a tensor, rounded to what is seen."""
    return values.double().round(decimals=_DIGITS).tolist() if values.is_floating_point() else values.tolist()


def _plane(environment: Navigation, task: Task) -> Scene:
    return {"goal": numbers(task["goal"]), "radius": 0.0}


def _circle(environment: PointRobot, task: Task) -> Scene:
    return {"goal": numbers(task["goal"]), "radius": environment.radius}


def _maze(environment: Mazes, task: Task) -> Scene:
    return {name: task[name].long().tolist() for name in ("walls", "start", "goal")}


def _arms(environment: Bandits, task: Task) -> Scene:
    return {"chances": numbers(task["chances"])}


def _table(environment: Tabular, task: Task) -> Scene:
    return {"means": numbers(task["means"])}


def _cart(environment: CartPole, task: Task) -> Scene:
    return {name: float(task[name]) for name in ("cart", "pole", "half_length", "force")} | {"edge": EDGE}


def _nothing(environment: Environment[Any], task: Task) -> Scene:
    return {}


def _position(states: Any) -> Tensor:
    return states.position


_GOALS: dict[type[Environment[Any]], float] = {Navigation: 0.6, PointRobot: 1.25}
"""What all goals lie within, with a margin."""
_KINDS: dict[type[Environment[Any]], tuple[str, Callable[..., Scene], Callable[[Any], Tensor] | None]] = {
    Navigation: ("plane", _plane, _position),
    PointRobot: ("plane", _circle, _position),
    Mazes: ("maze", _maze, lambda states: states.place),
    Bandits: ("arms", _arms, None),
    Tabular: ("table", _table, lambda states: states.place),
    CartPole: ("cart", _cart, lambda states: states.numbers[..., ::2]),
}
"""Name of the drawing, what stays, and what moves as [n, T + 1, ...] of the states."""
_OTHER = ("curve", _nothing, None)
