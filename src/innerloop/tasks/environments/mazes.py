"""Mazes drawn at random, with a goal that is not seen before one stands beside it: the game of exploring, then knowing.

After the mazes of RL^2 (Duan et al. 2016, https://arxiv.org/abs/1611.02779), on a grid: several episodes of a trial
share one map, its start and its goal, and an agent that remembers walks straight in the later ones. The map is a random
spanning tree, by Prim's algorithm on random weights, of which some more walls may be taken away.
"""

import functools
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import random
from innerloop.core.environment import Discrete, Environment, Task
from innerloop.core.errors import InputError
from innerloop.core.ranges import Count, NotNegative, Share, Within

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Rows and columns by action: up, right, down, left."""
_FARTHER = 2.0
"""Above any random weight."""


class Place(NamedTuple):
    """Where the agent stands, and whether it saw the goal in this episode."""

    place: Tensor  # [n, 2] int64, row and column
    seen: Tensor  # [n] bool


@dataclass(frozen=True, kw_only=True)
class Mazes(Environment[Place]):
    """Task: a map of `cells` x `cells` rooms with walls between, which has (2 cells + 1)^2 squares, a start and a goal.

    An action is a step to the next square, if there is no wall. Reaching the goal pays 1 and ends the episode.

    An observation is, for `view` "near", the 3 x 3 squares around the agent, first which are walls, then which is the
    goal; for "map", the walls of the whole map, where the agent is, and where the goal is once it was near. With
    `located` the agent's row and column follow, from -1 to 1.
    """

    cells: Annotated[int, Within(2)] = 3
    """Rooms on a side."""
    horizon: Count = 30
    view: Literal["near", "map"] = "near"
    located: bool = True
    opened: Share = 0.0
    """Share of the walls between rooms that are taken away beyond the tree, so that there are several ways."""
    step_cost: NotNegative = 0.0
    """Taken from the reward of every step."""
    bump_cost: NotNegative = 0.0
    """Taken from the reward of a step into a wall."""

    @property
    def size(self) -> int:
        """Squares on a side of the map."""
        return 2 * self.cells + 1

    @property
    def observations(self) -> int:
        """18 numbers or three maps, and two of the place."""
        return (18 if self.view == "near" else 3 * self.size**2) + 2 * self.located

    @property
    def actions(self) -> Discrete:
        """Up, right, down, left."""
        return Discrete(4)

    def draw(self, key: Tensor) -> Task:
        rooms = self.cells**2
        ends, between = _pairs(self.cells, key.device)
        weights = random.uniform(random.fold(key, 0), (len(ends),))
        open_ = _tree(weights, ends, rooms) | (random.uniform(random.fold(key, 1), (len(ends),)) < self.opened)
        flat = torch.ones(self.size**2, device=key.device)
        flat = flat.index_fill(0, _squares(torch.arange(rooms, device=key.device), self.cells), 0.0)
        walls = flat.index_add(0, between, -open_.to(flat.dtype))
        chosen = random.permutation(random.fold(key, 2), rooms)[:2]
        start, goal = torch.stack([2 * (chosen // self.cells) + 1, 2 * (chosen % self.cells) + 1], -1).unbind(0)
        return {"walls": walls.reshape(self.size, self.size), "start": start, "goal": goal}

    def start(self, task: Task, n: int, key: Tensor) -> Place:
        place = task["start"].expand(n, 2)
        return Place(place, self._near(task, place))

    def observe(self, task: Task, state: Place) -> Tensor:
        walls, goal = task["walls"], task["goal"]
        if self.view == "near":
            around = state.place[:, None] + _around(walls.device)  # [n, 9, 2]
            squares = walls.flatten()[around[..., 0] * self.size + around[..., 1]]
            parts = [squares, (around == goal).all(-1).to(walls.dtype)]
        else:
            known = state.seen[:, None].to(walls.dtype)
            parts = [walls.flatten().expand(len(state.place), -1), self._map(state.place, walls.dtype)]
            parts.append(known * self._map(goal, walls.dtype))
        if self.located:
            parts.append((state.place - self.cells).to(walls.dtype) / self.cells)
        return torch.cat(parts, -1)

    def step(self, task: Task, state: Place, action: Tensor, key: Tensor) -> tuple[Place, Tensor, Tensor]:
        walls = task["walls"]
        ahead = state.place + _moves(walls.device)[action]
        bumps = walls.flatten()[ahead[:, 0] * self.size + ahead[:, 1]]  # [n]
        place = torch.where(bumps[:, None] > 0, state.place, ahead)
        done = (place == task["goal"]).all(-1)
        reward = done.to(walls.dtype) - self.step_cost - self.bump_cost * bumps
        return Place(place, state.seen | self._near(task, place)), reward, done

    def oracle(self, task: Task, observation: Tensor) -> Tensor:
        """[n] int64 the first step of a shortest way to the goal, for one who knows the map.

        Raises:
            InputError: Observations do not say where the agent is.
        """
        if not self.located:
            raise InputError("who does not see where it is knows no way: take Mazes(located=True)")
        place = (observation[:, -2:] * self.cells).round().long() + self.cells
        ahead = place[:, None] + _moves(place.device)  # [n, 4, 2]
        return self._distances(task)[ahead[..., 0] * self.size + ahead[..., 1]].argmin(-1)

    def _distances(self, task: Task) -> Tensor:
        """[size^2] steps to the goal; walls are farther than any way."""
        side, walls = self.size, task["walls"]
        far = float(side**2)
        free, steps = walls == 0, far * (1 - self._map(task["goal"], walls.dtype)).reshape(side, side)
        for _ in range(2 * self.cells**2):  # no way in a maze of so many squares is longer
            edged = F.pad(steps, (1, 1, 1, 1), value=far)
            around = torch.stack([edged[1 + a : 1 + a + side, 1 + b : 1 + b + side] for a, b in MOVES]).amin(0)
            steps = torch.where(free, torch.minimum(steps, around + 1), far)
        return steps.flatten()

    def _near(self, task: Task, place: Tensor) -> Tensor:
        return ((place - task["goal"]).abs() <= 1).all(-1)

    def _map(self, place: Tensor, dtype: torch.dtype) -> Tensor:
        """[..., size^2] 1 where a place [..., 2] is."""
        squares = torch.arange(self.size**2, device=place.device)
        return (squares == (place[..., :1] * self.size + place[..., 1:])).to(dtype)


def _tree(weights: Tensor, ends: Tensor, rooms: int) -> Tensor:
    """[pairs] bool, which pairs of neighbours the lightest spanning tree joins.

    Args:
        weights: [pairs] from 0 to 1.
        ends: [pairs, 2] their rooms.
        rooms: How many there are.
    """
    inside = F.one_hot(torch.zeros((), dtype=torch.int64, device=weights.device), rooms).bool()
    joined = torch.zeros_like(weights, dtype=torch.bool)
    pairs, places = torch.arange(len(ends), device=weights.device), torch.arange(rooms, device=weights.device)
    for _ in range(rooms - 1):
        first, second = inside[ends[:, 0]], inside[ends[:, 1]]
        best = torch.where(first ^ second, weights, _FARTHER).argmin()
        joined = joined | (pairs == best)
        inside = inside | (places[:, None] == ends[best]).any(-1)
    return joined


@functools.lru_cache
def _neighbours(cells: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Pairs of rooms beside one another, and the square between the two of each."""
    side, pairs, between = 2 * cells + 1, [], []
    for row in range(cells):
        for column in range(cells):
            room, square = row * cells + column, (2 * row + 1) * side + 2 * column + 1
            if column + 1 < cells:
                pairs.append((room, room + 1))
                between.append(square + 1)
            if row + 1 < cells:
                pairs.append((room, room + cells))
                between.append(square + side)
    return pairs, between


def _pairs(cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    pairs, between = _neighbours(cells)
    return torch.tensor(pairs, device=device), torch.tensor(between, device=device)


def _squares(room: Tensor, cells: int) -> Tensor:
    return (2 * (room // cells) + 1) * (2 * cells + 1) + 2 * (room % cells) + 1


def _moves(device: torch.device) -> Tensor:
    return torch.tensor(MOVES, device=device)


def _around(device: torch.device) -> Tensor:
    """[9, 2] the squares around a place, and the place itself, row by row."""
    return torch.tensor([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)], device=device)
