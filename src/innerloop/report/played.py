"""Episodes of an agent side by side: as one page with an animation, and as a strip of pictures."""

import io
from dataclasses import replace
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from innerloop.core import tree
from innerloop.core.environment import Environment
from innerloop.core.recorder import Trajectories
from innerloop.evaluate.played import Played
from innerloop.report.canvas import COLOURS, STYLE
from innerloop.report.environments import draw, has_picture
from innerloop.report.report import environment as pages
from innerloop.report.scenes import reach, scene
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot

_SIDE = 3.2
"""Inches of a picture of a strip."""


def page(played: Played, title: str, about: str, count: int = 8) -> str:
    """One HTML page that needs nothing else, no network either: the episodes on canvases, with their numbers in it.

    Args:
        played: The episodes.
        title: Such as the names of the agent and of what it acts in; any text.
        about: Which task; any text.
        count: Trajectories that are drawn, at most; the first stands out.
    """
    episodes = played.episodes
    shown = scene(played.environment, played.task, [one.trajectories for one in episodes], count)
    panels = [{"title": one.when, "score": one.score, "n": len(one.trajectories.live)} for one in episodes]
    template = pages().get_template("played.html")
    drawn = len(shown["panels"][0])
    return template.render(title=title, about=about, scene=shown, panels=panels, drawn=drawn, colours=COLOURS)


def strip(played: Played, count: int = 8) -> bytes:
    """A PNG with a picture of every episode, at its end; arguments as of `page`."""
    with matplotlib.rc_context(STYLE):
        n = len(played.episodes)
        figure = Figure(figsize=(_SIDE * n, _SIDE + 0.4), layout="constrained")
        row = figure.subplots(1, n, squeeze=False)[0]
        for axes, one in zip(row, played.episodes, strict=True):
            _picture(axes, played, one.trajectories, count)
            axes.set_title(f"{one.when}\nmean return {one.score:.3g}", fontsize=11)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, facecolor="white", bbox_inches="tight")
    return file.getvalue()


def _picture(axes: Axes, played: Played, seen: Trajectories, count: int) -> None:
    environment, task = played.environment, played.task
    if not has_picture(environment):
        for i in range(min(count, len(seen.live))):
            axes.plot(seen.rewards[i, : seen.lengths[i]].cumsum(0).numpy(), color=COLOURS[i % len(COLOURS)])
        axes.set(xlabel="step", ylabel="reward so far")
        return
    if isinstance(environment, Mazes):  # what an agent does not see of itself is shown all the same
        environment = replace(environment, located=True)
    draw(axes, environment, task, [_path(environment, played, seen, i) for i in range(min(count, len(seen.live)))])
    if isinstance(environment, Navigation | PointRobot):
        far = reach(environment, [one.trajectories for one in played.episodes], count)
        axes.set(xlim=(-far, far), ylim=(-far, far))
    if isinstance(environment, Bandits):
        pulls = seen.actions.flatten().bincount(minlength=environment.arms) / seen.actions.numel()
        axes.plot(pulls.numpy(), "D", color=COLOURS[1], label="share of pulls")
        axes.legend(loc="upper right", fontsize=8)


def _path(environment: Environment[Any], played: Played, seen: Trajectories, i: int) -> Tensor:
    """[steps + 1, observations] of a trajectory."""
    return environment.observe(played.task, tree.map(lambda leaf: leaf[i, : seen.lengths[i] + 1], seen.states))
