"""Pages and strips that show what agents do."""

import json
import re
import struct
from typing import Any

import pytest
import torch

pytest.importorskip("matplotlib", reason="pages need the extra report")
from innerloop.core.environment import Box, Environment
from innerloop.evaluate.played import Played, play
from innerloop.learners.agents.scripted import Scripted
from innerloop.report.played import page, strip
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.cart_pole import CartPole
from innerloop.tasks.environments.mazes import Mazes
from innerloop.tasks.environments.navigation import Navigation
from innerloop.tasks.environments.point_robot import PointRobot
from innerloop.tasks.environments.sampler import EnvironmentTasks
from innerloop.tasks.environments.tabular import Tabular
from tests.core.test_environment import Line


class Other(Line):
    """One that no drawing is made for."""

    @property
    def actions(self) -> Box:
        return Box(1, -1.0, 1.0)


DRAWN: list[tuple[str, Environment[Any]]] = [
    ("plane", Navigation(horizon=9)),
    ("plane", PointRobot()),
    ("maze", Mazes()),
    ("maze", Mazes(located=False, view="map")),
    ("arms", Bandits(arms=3)),
    ("table", Tabular(states=4, choices=3)),
    ("cart", CartPole(horizon=20)),
    ("cart", CartPole(continuous=True, horizon=20)),
    ("curve", Other()),
]


def wandered(environment: Environment[Any], rule: str = "random", trajectories: int = 4) -> Played:
    """Two panels of a fixed rule."""
    learner = Scripted(env=environment, rule=rule, trajectories=trajectories)  # pyright: ignore[reportArgumentType]
    played = play(learner, {}, EnvironmentTasks(environment=environment), 1)
    return played._replace(episodes=[played.episodes[0], played.episodes[0]._replace(step=1)])


def scene(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="scene">(.*?)</script>', html, re.DOTALL)
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize(("kind", "environment"), DRAWN, ids=lambda v: v if isinstance(v, str) else type(v).__name__)
def test_a_page_holds_what_was_done_and_needs_nothing_else(kind, environment):
    played = wandered(environment)
    html = page(played, "an agent", "task 1", 3)
    shown, seen = scene(html), played.episodes[0].trajectories
    assert shown["kind"] == kind and f"  {kind}(panel, chosen, t)" in html and f'  {kind}: "' in html
    assert [len(panel) for panel in shown["panels"]] == [3, 3] and html.count("<canvas") == 2
    assert shown["frames"] == max(seen.lengths[:3]) and shown["horizon"] == environment.horizon
    for i, one in enumerate(shown["panels"][0]):
        length = seen.lengths[i]
        assert len(one["did"]) == len(one["rewards"]) == length
        assert len(one["moves"]) in (0, length + 1)
        assert sum(one["rewards"]) == pytest.approx(seen.returns[i], abs=1e-2)
    assert f"{played.episodes[0].score:.4g}</span> mean return of 4" in html
    for far in ("http:", "https:", "src=", "@import", "url("):
        assert far not in html, "nothing is fetched"
    assert "default-src 'none'" in html and "prefers-reduced-motion" in html


@pytest.mark.parametrize("environment", [e for _, e in DRAWN], ids=lambda e: type(e).__name__)
def test_every_environment_has_a_strip(environment):
    played = wandered(environment)
    assert strip(played._replace(episodes=played.episodes[:1]), 2).startswith(b"\x89PNG")


def test_a_strip_is_as_wide_as_there_are_episodes():
    played = wandered(Bandits())
    sizes = []
    for episodes in (played.episodes[:1], played.episodes * 2):
        sizes.append(struct.unpack(">II", strip(played._replace(episodes=episodes))[16:24]))
    (one, high), (four, same) = sizes
    assert four > 3 * one and abs(high - same) < 100


def test_positions_on_the_page_are_those_of_the_trajectory():
    played = wandered(Navigation(horizon=9), "oracle", 1)
    shown = scene(page(played, "an agent", "task 1"))
    moves, goal = shown["panels"][0][0]["moves"], shown["world"]["goal"]
    assert moves[0] == [0, 0] and max(abs(a - b) for a, b in zip(moves[-1], goal, strict=True)) < 0.011
    assert shown["world"]["reach"] == 0.6
    maze = wandered(Mazes(), "oracle", 1)
    shown = scene(page(maze, "an agent", "task 1"))
    moves, world = shown["panels"][0][0]["moves"], shown["world"]
    assert moves[0] == world["start"] and moves[-1] == world["goal"]
    assert all(world["walls"][row][column] == 0 for row, column in moves)


def test_a_trajectory_that_runs_away_widens_the_view_to_the_double_at_most():
    played = wandered(Navigation(horizon=9), "oracle", 1)
    seen = played.episodes[0].trajectories
    for far, reach in ((0.8, 0.84), (50.0, 1.2)):
        states = seen.states._replace(position=torch.full_like(seen.states.position, far))
        episode = played.episodes[0]._replace(trajectories=seen._replace(states=states))
        assert scene(page(played._replace(episodes=[episode]), "a", "b"))["world"]["reach"] == pytest.approx(reach)


def test_what_people_wrote_is_text_on_the_page():
    html = page(wandered(Bandits()), "</script><script>alert(1)</script>", "<b>task</b>")
    assert "alert(1)</script>" not in html and "&lt;b&gt;task" in html
