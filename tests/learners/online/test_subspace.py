import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.linalg import with_ones
from innerloop.core.model import Module
from innerloop.core.types import Params
from innerloop.engine import TrainConfig
from innerloop.learners.online.subspace import Subspace
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.tasks.rotating import RotatingSubspace
from tests.conformance import ValuesConformance
from tests.problems import FEATURES, INPUTS, RaggedPlanes, inputs

STREAM = RotatingSubspace(rounds=320)
FIRST = 20
"""Tasks that the first basis is found from."""


LINEAR = Subspace(encoder=Module(nn.Flatten), head=Linear(inputs=STREAM.inputs, outputs=1))


def encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, FEATURES), nn.Tanh())


class TestSubspace(ValuesConformance):
    learner = Subspace(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=3), rank=4, basis_steps=1)
    train = TrainConfig(steps=150, meta_batch_size=8, meta_lr=1e-2, plan="vmap")
    brief = partial(RaggedPlanes, fewest=None, shots=2, queries=3)


def begun(stream: RotatingSubspace) -> Params:
    """At the origin, in the space that the least weights of the first tasks have most of: a batch PCA."""
    batch = stream.batches(0, FIRST)
    found = torch.linalg.lstsq(inputs(batch), batch.y, driver="gelsd").solution[..., 0]  # [tasks, inputs]
    principal = torch.linalg.svd(found.double(), full_matrices=False).Vh[: stream.rank]
    origin = {"head.weight": torch.zeros(1, stream.inputs), "head.bias": torch.zeros(1)}
    return {k: v.double() for k, v in origin.items()} | {"basis": with_bias(principal.T)}


def with_bias(basis: Tensor) -> Tensor:
    """Of planes through the origin."""
    return torch.nn.functional.pad(basis, (0, 0, 0, 1))


def angle(basis: Tensor, other: Tensor) -> float:
    """The largest principal angle, in degrees."""
    return math.degrees(math.acos(min(1.0, float(torch.linalg.svdvals(basis.T @ other)[-1]))))


@torch.no_grad()
def angles(learner: Subspace, stream: RotatingSubspace) -> Tensor:
    """To the space of every task, once it was seen."""
    params, batches, found = begun(stream), tree.map(lambda v: v.double(), stream.batches(0, len(stream))), []
    state = learner.begin(params, tree.slice(batches, 0))
    for task in range(FIRST, len(stream)):
        state = learner.observe(params, learner.boundary(params, state), tree.slice(batches, task))
        found.append(angle(state.basis, with_bias(stream.basis(task))))
    return torch.tensor(found)


def test_a_space_that_turns_is_tracked():
    found = angles(LINEAR, STREAM)
    frozen = angle(begun(STREAM)["basis"], with_bias(STREAM.basis(len(STREAM) - 1)))
    assert found[-1] < 10 < 40 < frozen
    assert found[150:].max() < 15


def test_smoothness_calms_what_noise_does():
    noisy = replace(STREAM, noise=0.5, rounds=170)
    smooth, rough = (angles(replace(LINEAR, smoothness=s), noisy)[50:] for s in (1.0, 0.0))
    assert smooth.var() < 0.8 * rough.var() and smooth.mean() < rough.mean()


def test_coordinates_are_those_of_ridge_regression_in_whatever_parts_rows_come():
    learner = replace(LINEAR, basis_steps=0)
    params, task = begun(STREAM), tree.map(lambda v: v.double(), tree.slice(STREAM.batches(40, 1), 0))
    x, basis = with_ones(inputs(task)), params["basis"]
    seen = x @ basis
    ridge = torch.linalg.solve(seen.T @ seen + learner.decay * torch.eye(3), seen.T @ task.y)[:, 0]
    state = learner.begin(params, task)
    for rows in (slice(0, 1), slice(1, 9), slice(9, 25)):
        state = learner.observe(params, state, tree.slice(task._replace(key=None), rows))
    assert torch.allclose(state.coordinates, ridge) and torch.allclose(state.basis, basis)
    assert torch.allclose(learner.adapt(params, task).coordinates, ridge), "and row by row"
    assert torch.allclose(learner.predict(params, state, task.x), seen @ ridge[:, None])
    forgotten = learner.boundary(params, state)
    assert not forgotten.coordinates.any() and torch.equal(forgotten.basis, state.basis)


def test_the_basis_descends_error_and_change_of_the_projector():
    """Two steps, with the projectors written out, by autograd and Gram and Schmidt."""
    learner = replace(LINEAR, basis_steps=2, smoothness=0.7)
    params, task = begun(STREAM), tree.map(lambda v: v.double(), tree.slice(STREAM.batches(200, 1), 0))
    x, before = with_ones(inputs(task)), params["basis"]
    state = learner.observe(params, learner.begin(params, task), task)
    z, basis = state.coordinates, before
    for _ in range(2):
        moving = basis.clone().requires_grad_()
        change = (moving @ moving.T - before @ before.T).square().sum()
        ((x @ moving @ z[:, None] - task.y).square().mean() + 0.7 * change).backward()
        assert moving.grad is not None
        across = moving.grad - basis @ basis.T @ moving.grad
        basis = gram_schmidt(basis - learner.basis_lr / (1 + z.square().sum()) * across)
    assert torch.allclose(state.basis, basis) and angle(before, basis) > 1


def gram_schmidt(columns: Tensor) -> Tensor:
    done: list[Tensor] = []
    for column in columns.T:
        rest = column - sum((one * (one @ column) for one in done), torch.zeros_like(column))
        done.append(rest / rest.norm())
    return torch.stack(done, 1)


def test_what_it_cannot_learn_is_refused():
    with pytest.raises(InputError, match="batch norms"):
        Subspace(encoder=Conv4(outputs=None), head=Linear()).init(0)
    with pytest.raises(InputError, match="head's 3 weights has at most as many dimensions, got 4"):
        Subspace(encoder=Module(encoder), head=Linear(inputs=2, outputs=1), rank=4).init(0)
    with pytest.raises(InputError, match="needs room: rank at most 25"):
        RotatingSubspace(rank=26)
    with pytest.raises(InputError, match="320 batches: 319 to 320 are not all there"):
        STREAM.batches(319, 2)


@pytest.mark.exact
def test_the_stream_is_a_function_of_seed_and_index():
    whole, part = STREAM.batches(5, 4), STREAM.batches(7, 2)
    assert torch.equal(inputs(whole)[2:], inputs(part)) and torch.equal(whole.y[2:], part.y)
    assert angle(STREAM.basis(7), STREAM.basis(8)) == pytest.approx(0.5, rel=1e-3)
    held = STREAM.held_out(7)
    weight = torch.linalg.lstsq(inputs(held), held.y).solution
    assert torch.allclose(inputs(part)[0] @ weight, part.y[0], atol=1e-4)
    assert not torch.equal(replace(STREAM, seed=1).batches(5, 1).y, whole.y[:1])
