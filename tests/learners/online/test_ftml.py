from dataclasses import replace

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Params
from innerloop.engine import TrainConfig
from innerloop.learners.online.ftml import FTML, Leader
from innerloop.nn.mlp import MLP
from innerloop.tasks.rounds import SinusoidRounds
from tests.conformance import Conformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestFTML(Conformance):
    learner = FTML(model=Module(rowwise), inner_lr=0.5, inner_steps=2, slots=2, slot_rows=6)
    train = TrainConfig(steps=150, meta_batch_size=8, meta_lr=1e-2, plan="vmap")


WAVES = FTML(model=MLP(hidden=(16,)), objective=regression, inner_lr=0.05, slots=3, slot_rows=4, tasks_per_step=1)


def waves(learner: FTML, rounds: int, batch_size: int = 2, seed: int = 0) -> tuple[Params, Leader, list[Batch]]:
    """After some rounds of two rows, each ended but the last; and these rows."""
    stream = SinusoidRounds(points=2, batch_size=batch_size, seed=seed)
    batches = tree.map(
        lambda v: v.double() if v.is_floating_point() else v, stream.batches(0, rounds * 2 // batch_size)
    )
    each = [tree.slice(batches, i) for i in range(len(batches.y))]
    params = {k: v.double() for k, v in learner.init(0).items()}
    state = learner.begin(params, each[0])
    for i, batch in enumerate(each):
        state = learner.observe(params, state, batch)
        if i + 1 in stream.ends and i + 1 < len(each):
            state = learner.boundary(params, state)
    return params, state, each


def test_adaptation_is_descent_on_all_rows_of_the_round():
    learner = replace(TestFTML.learner, slot_rows=12)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    network = rowwise().double()
    network.load_state_dict(params)
    descent = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(2):
        descent.zero_grad()
        F.cross_entropy(network(inputs(support)), support.y).backward()
        descent.step()
    with torch.no_grad():
        found = learner.predict(params, learner.adapt(params, support), query.x)
        assert torch.allclose(found, network(inputs(query)))


@torch.no_grad()
def test_a_meta_step_is_adams_on_what_adaptation_from_one_half_leaves_of_the_other():
    learner = replace(WAVES, meta_steps=1)
    params, state, (batch,) = waves(learner, 1)
    after = learner.boundary(params, state).weights
    network = learner.model.build().double()
    x, y = inputs(batch), batch.y

    def stepped(seen: int, asked: int) -> Params:
        weights = {k: v.clone().requires_grad_() for k, v in params.items()}
        with torch.enable_grad():
            inner = F.mse_loss(functional_call(network, weights, (x[[seen]],)), y[[seen]])
            slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
            fast = {k: v - 0.05 * g for (k, v), g in zip(weights.items(), slopes, strict=True)}
            F.mse_loss(functional_call(network, fast, (x[[asked]],)), y[[asked]]).backward()
        torch.optim.Adam(weights.values(), learner.adam_lr).step()
        return weights

    either = [stepped(0, 1), stepped(1, 0)]
    assert any(all(torch.allclose(after[k], w[k]) for k in after) for w in either)
    assert not all(torch.allclose(either[0][k], either[1][k]) for k in after)


@torch.no_grad()
def test_joint_steps_are_adams_on_everything():
    learner = replace(WAVES, meta_steps=3, joint=True)
    params, state, (batch,) = waves(learner, 1)
    weights = {k: v.clone().requires_grad_() for k, v in params.items()}
    adam = torch.optim.Adam(weights.values(), learner.adam_lr)
    for _ in range(3):
        adam.zero_grad()
        with torch.enable_grad():
            F.mse_loss(functional_call(learner.model.build().double(), weights, (inputs(batch),)), batch.y).backward()
        adam.step()
    after = learner.boundary(params, state)
    assert all(torch.allclose(after.weights[k], weights[k]) for k in weights) and after.steps == 3


@torch.no_grad()
def test_memory_is_bounded_and_keeps_whole_tasks():
    learner = replace(WAVES, meta_steps=0)
    _, state, batches = waves(learner, 9, batch_size=1)
    assert state.x.shape == (3, 4, 1) and int(state.rounds) == 8 and state.filled.tolist() == [2, 2, 2]
    rows = torch.cat([inputs(b) for b in batches]).view(9, 2)
    kept = [int((rows == slot[:2, 0]).all(1).nonzero()) for slot in state.x]
    assert len(set(kept)) == 3 and kept[int(state.slot)] == 8, "three tasks, the current one among them"
    again = waves(learner, 9, batch_size=2)[1]
    assert torch.equal(again.x, state.x) or int(again.key) != int(state.key)
    long = tree.slice(SinusoidRounds(points=6, batch_size=1).batches(0, 6), slice(None))
    params = learner.init(0)
    state = learner.begin(params, tree.slice(long, 0))
    for i in range(6):
        state = learner.observe(params, state, tree.slice(long, i))
    assert torch.equal(state.x[0, :, 0], inputs(long)[[4, 5, 2, 3], 0, 0]), "the oldest row makes room"
    with pytest.raises(InputError, match="a batch of 10 rows needs a slot of as many: set slot_rows, which is 4"):
        learner.observe(params, state, tree.slice(SinusoidRounds().batches(0, 1), 0))


@pytest.mark.exact
def test_rounds_are_tasks_of_sinusoids_in_batches_of_any_size():
    whole, single = SinusoidRounds(), SinusoidRounds(batch_size=1)
    assert list(whole.ends)[:3] == [1, 2, 3] and list(single.ends)[:3] == [10, 20, 30] and len(single) == 600
    rows = single.batches(15, 20)
    assert torch.equal(inputs(whole.batches(1, 3)).reshape(-1)[5:25], inputs(rows).reshape(-1))
    assert torch.equal(rows.y, single.batches(0, 40).y[15:35])
    assert inputs(whole.held_out(3)).shape == (100, 1)
    with pytest.raises(InputError, match="batches of 3 do not divide"):
        SinusoidRounds(batch_size=3)


@pytest.mark.slow
def test_it_learns_to_learn_what_training_on_everything_does_not():
    """The paper's claim, on sinusoids of 10 points: less than half of the error in the last ten of 40 rounds."""
    stream = SinusoidRounds(rounds=40)
    batches = stream.batches(0, len(stream))

    @torch.no_grad()
    def error(joint: bool) -> float:
        learner = FTML(
            model=MLP(), objective=regression, inner_lr=0.03, inner_steps=2, meta_steps=40, adam_lr=8e-3, joint=joint
        )
        params, errors = learner.init(0), []
        state = learner.begin(params, tree.slice(batches, 0))
        for i in range(len(stream)):
            state = learner.observe(params, state, tree.slice(batches, i))
            held = stream.held_out(i)
            errors.append(float(regression(learner.predict(params, state, held.x), held.y)))
            state = learner.boundary(params, state)
        return sum(errors[-10:]) / 10

    assert error(joint=False) < 0.5 * error(joint=True)
