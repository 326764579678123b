"""Pictures of environments: what a task is, and where trajectories went in it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from innerloop.core.environment import Environment, Task
from innerloop.core.errors import InputError
from innerloop.report.canvas import COLOURS, INK, STYLE, svg
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import EDGE, CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.tabular import Tabular

_WALLS = LinearSegmentedColormap.from_list("walls", [(0, 0, 0, 0.0), (0.5, 0.5, 0.5, 0.75)])
_SHOWN = 5
"""Carts of a trajectory."""


def picture(name: str, environment: Environment[Any], task: Task, paths: Sequence[Tensor] = ()) -> str:
    """A task, as SVG for a page, with trajectories in it.

    Args:
        name: Unique on the page.
        environment: One of `innerloop.tasks.environments`.
        task: Its constants.
        paths: [steps, observations] of trajectories, each as long as it lived.

    Raises:
        InputError: The environment has no picture.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 3.4), layout="constrained")
        draw(figure.add_subplot(), environment, task, paths)
        return svg(figure, name)


def draw(axes: Axes, environment: Environment[Any], task: Task, paths: Sequence[Tensor] = ()) -> None:
    """As `picture`, into axes of a figure."""
    if not has_picture(environment):
        known = ", ".join(kind.__name__ for kind in _DRAWN)
        raise InputError(f"{type(environment).__name__} has no picture: only {known} have")
    drawn = next(drawn for kind, drawn in _DRAWN.items() if isinstance(environment, kind))
    drawn(axes, environment, {k: v.detach().cpu() for k, v in task.items()}, [p.detach().cpu() for p in paths])


def has_picture(environment: Environment[Any]) -> bool:
    """Whether `picture` knows how to draw it."""
    return isinstance(environment, tuple(_DRAWN))


def _plane(axes: Axes, environment: Navigation | PointRobot, task: Task, paths: Sequence[Tensor]) -> None:
    navigates = isinstance(environment, Navigation)
    across, goal = (0.55, (-0.55, 0.55)) if navigates else (1.15, (-0.35, 1.15)), task["goal"].tolist()
    side, height = across
    if not navigates:
        axes.add_patch(Circle((goal[0], goal[1]), environment.radius, color=COLOURS[2], alpha=0.25, linewidth=0))
    for i, path in enumerate(paths):
        axes.plot(*path[:, :2].T.numpy(), "-", color=COLOURS[i % len(COLOURS)], linewidth=1.2, alpha=0.8)
    axes.plot(0, 0, "o", color=INK, markersize=5)
    axes.plot(*goal, "*", color=COLOURS[2], markersize=14, zorder=3)
    axes.set(xlim=(-side, side), ylim=height, aspect="equal")


def _maze(axes: Axes, environment: Mazes, task: Task, paths: Sequence[Tensor]) -> None:
    axes.imshow(task["walls"].numpy(), cmap=_WALLS, vmin=0, vmax=1, interpolation="nearest")
    for i, path in enumerate(paths):
        if environment.located:
            # A little beside one another, so that a way back is seen.
            rows, columns = ((path[:, j] + 1) * environment.cells + 0.12 * (i % 4 - 1.5) for j in (-2, -1))
            axes.plot(columns.numpy(), rows.numpy(), "-", color=COLOURS[i % len(COLOURS)], linewidth=1.6, alpha=0.9)
    for place, mark, colour in ((task["start"], "o", INK), (task["goal"], "*", COLOURS[2])):
        axes.plot(int(place[1]), int(place[0]), mark, color=colour, markersize=12 if mark == "*" else 6, zorder=3)
    _bare(axes)


def _arms(axes: Axes, environment: Bandits, task: Task, paths: Sequence[Tensor]) -> None:
    chances = task["chances"].tolist()
    best = max(range(len(chances)), key=chances.__getitem__)
    axes.bar(range(len(chances)), chances, color=[COLOURS[2 if i == best else 0] for i in range(len(chances))])
    axes.set(xlabel="arm", ylabel="probability of a reward", ylim=(0, 1), xticks=range(len(chances)))


def _table(axes: Axes, environment: Tabular, task: Task, paths: Sequence[Tensor]) -> None:
    shown = axes.imshow(
        task["means"].T.numpy(), cmap="coolwarm", vmin=-2, vmax=4, aspect="auto", interpolation="nearest"
    )
    axes.figure.colorbar(shown, ax=axes, label="mean reward", location="top")
    labels = [str(state) for state in range(environment.states)]
    if paths:
        visits = torch.cat(list(paths)).sum(0)
        labels = [f"{label}\n({int(n)}×)" for label, n in zip(labels, visits, strict=True)]
    axes.set(xlabel="state" + " (visits)" * bool(paths), ylabel="action", yticks=range(environment.choices))
    axes.set_xticks(range(environment.states), labels, fontsize=8)


def _carts(axes: Axes, environment: CartPole, task: Task, paths: Sequence[Tensor]) -> None:
    """Carts whose area is their mass, poles as long as they are, and arrows as long as the force is strong."""
    length, width = 2 * float(task["half_length"]), 0.35 * float(task["cart"]) ** 0.5
    states = [path[[round(k * (len(path) - 1) / (_SHOWN - 1)) for k in range(_SHOWN)]] for path in paths[:1]]
    rows = states[0].tolist() if states else [[0.0, 0.0, 0.05, 0.0]]
    for i, (x, _, angle, _) in enumerate(rows):
        strength = 0.25 + 0.75 * (i + 1) / len(rows)
        axes.add_patch(Rectangle((x - width / 2, -width / 2), width, width / 2, color=COLOURS[0], alpha=strength))
        thick = 2 + 8 * float(task["pole"])
        axes.plot(
            [x, x + length * math.sin(angle)],
            [0, length * math.cos(angle)],
            color=COLOURS[1],
            alpha=strength,
            linewidth=thick,
        )
    push = float(task["force"]) / 20
    axes.annotate("", (push, -0.45), (0, -0.45), arrowprops={"arrowstyle": "->", "color": INK})
    axes.plot([-EDGE, EDGE], [-width / 2] * 2, color=INK, linewidth=1)
    axes.set(xlim=(-EDGE, EDGE), ylim=(-0.7, 2 * EDGE - 0.7), aspect="equal", yticks=[], xlabel="position (m)")


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])


_DRAWN: dict[type[Environment[Any]], Callable[..., None]] = {
    Navigation: _plane,
    PointRobot: _plane,
    Mazes: _maze,
    Bandits: _arms,
    Tabular: _table,
    CartPole: _carts,
}
