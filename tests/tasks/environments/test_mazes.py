"""Mazes, against a walk through them by hand, and what a maze has to be."""

from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.tasks.environments.mazes import Mazes
from tests.tasks.environments.contract import Constants, Contract


class Walker:
    """One agent in one maze."""

    def __init__(self, task: Constants, environment: Mazes) -> None:
        self.walls, self.begin, self.goal = task["walls"], task["start"].astype(int), task["goal"].astype(int)
        self.environment, self.place, self.seen = environment, self.begin, False

    def reset(self, key: Any, row: int, rows: int) -> Any:
        self.place, self.seen = self.begin.copy(), False
        return self.look()

    def look(self) -> Any:
        row, column = self.place
        distance = np.abs(self.place - self.goal)
        self.seen = bool(self.seen or distance.max() <= 1)
        if self.environment.view == "near":
            walls = [self.walls[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
            goals = [float((row + i, column + j) == tuple(self.goal)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            numbers = walls + goals
        else:
            here, there = np.zeros_like(self.walls), np.zeros_like(self.walls)
            here[row, column] = 1
            there[tuple(self.goal)] = float(self.seen)
            numbers = [*self.walls.ravel(), *here.ravel(), *there.ravel()]
        middle = (len(self.walls) - 1) / 2
        return np.array([*numbers, (row - middle) / middle, (column - middle) / middle])

    def step(self, action: Any, key: Any, row: int, rows: int) -> tuple[Any, float, bool]:
        down, right = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}[int(action)]
        ahead = self.place + np.array([down, right])
        cost = self.environment.step_cost
        if self.walls[tuple(ahead)]:
            cost += self.environment.bump_cost
        else:
            self.place = ahead
        done = bool((self.place == self.goal).all())
        return self.look(), float(done) - cost, done


class TestNear(Contract):
    environment = Mazes(step_cost=0.25, bump_cost=0.125)

    def reference(self, task: Constants) -> Walker:
        return Walker(task, self.environment)


class TestMap(Contract):
    environment = Mazes(cells=2, view="map", opened=0.5)

    def reference(self, task: Constants) -> Walker:
        return Walker(task, self.environment)


def distances(walls: torch.Tensor, place: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Steps to every square that is reached from a place."""
    reached, border = {place: 0}, [place]
    while border:
        row, column = border.pop(0)
        for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1)):
            square = (row + down, column + right)
            if not walls[square] and square not in reached:
                reached[square] = reached[row, column] + 1
                border.append(square)
    return reached


@pytest.mark.parametrize("cells", [2, 4])
def test_every_map_is_a_tree_of_rooms(cells):
    drawn = torch.vmap(Mazes(cells=cells).draw)(random.mix(1, torch.arange(50)))
    for i in range(50):
        task = tree.slice(drawn, i)
        start, goal = tuple(task["start"].tolist()), tuple(task["goal"].tolist())
        free = int((task["walls"] == 0).sum())
        # A tree of n rooms has n - 1 ways between them, each of one square.
        assert free == 2 * cells**2 - 1 and len(distances(task["walls"], start)) == free
        assert start != goal and goal in distances(task["walls"], start)
        border = torch.ones_like(task["walls"], dtype=torch.bool)
        border[1:-1, 1:-1] = False
        assert (task["walls"][border] == 1).all() and ((task["walls"] == 0) | (task["walls"] == 1)).all()
    assert len({tuple(walls.flatten().tolist()) for walls in drawn["walls"]}) > (3 if cells == 2 else 40)


def test_opened_mazes_have_more_ways():
    drawn = torch.vmap(Mazes(opened=1.0).draw)(random.mix(1, torch.arange(3)))
    assert ((drawn["walls"] == 0).sum((1, 2)) == 9 + 12).all()


def test_the_goal_is_hidden_until_it_is_near():
    environment = Mazes(view="map")
    task, key = environment.draw(random.mix(4, 0)), random.mix(0, 0)
    ways = distances(task["walls"], tuple(task["goal"].tolist()))
    place = max(ways, key=lambda square: ways[square])
    state = environment.start(task | {"start": torch.tensor(place)}, 1, key)
    part = slice(2 * environment.size**2, 3 * environment.size**2)
    hidden = []
    while True:
        hidden.append(not environment.observe(task, state)[0, part].any())
        here = tuple(state.place[0].tolist())
        moves = [(here[0] + a, here[1] + b) for a, b in ((-1, 0), (0, 1), (1, 0), (0, -1))]
        nearer = next(i for i, square in enumerate(moves) if ways.get(square, 99) < ways[here])
        state, reward, done = environment.step(task, state, torch.tensor([nearer]), key)
        if done:
            break
    assert reward.item() == 1.0 and hidden[0] and not hidden[-1] and sorted(hidden, reverse=True) == hidden


@pytest.mark.parametrize("opened", [0.0, 0.4])
def test_who_knows_the_map_walks_a_shortest_way(opened):
    environment = Mazes(cells=4, opened=opened)
    drawn, key = torch.vmap(environment.draw)(random.mix(6, torch.arange(20))), random.mix(0, 0)
    for i in range(20):
        task = tree.slice(drawn, i)
        shortest = distances(task["walls"], tuple(task["goal"].tolist()))[tuple(task["start"].tolist())]
        state, done, steps = environment.start(task, 1, key), torch.zeros(1, dtype=torch.bool), 0
        while not done:
            action = environment.oracle(task, environment.observe(task, state))
            state, _, done = environment.step(task, state, action, key)
            steps += 1
        assert steps == shortest
    together = torch.vmap(
        lambda task: environment.oracle(task, environment.observe(task, environment.start(task, 2, key)))
    )
    assert together(drawn).shape == (20, 2)
    with pytest.raises(InputError, match="knows no way"):
        Mazes(located=False).oracle({}, torch.zeros(1, 18))


def test_a_maze_has_two_rooms_on_a_side():
    with pytest.raises(InputError, match="cells must be a whole number of at least 2"):
        Mazes(cells=1)
