"""Distributions of actions, against those of torch.distributions."""

import math

import pytest
import torch
from torch import distributions as D

from innerloop.core import random
from innerloop.core.actions import Actions
from innerloop.core.environment import Box, Discrete
from innerloop.core.errors import InputError

BOX, ARMS = Box(3, -0.5, 2.0), Discrete(4)


def outputs(space, rows=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, Actions(space).outputs, generator=generator, dtype=torch.float64)


def normal(values):
    mean, log_std = values.chunk(2, -1)
    return D.Independent(D.Normal(mean, log_std.exp()), 1)


def keys(steps):
    return random.fold(torch.tensor(5), torch.arange(steps))


def test_probabilities_are_joint_and_those_of_torch():
    drawn = Actions(BOX).draw(outputs(BOX), Actions(BOX).noise(keys(1), 6, torch.float64)[0])
    assert torch.allclose(Actions(BOX).log_prob(outputs(BOX), drawn), normal(outputs(BOX)).log_prob(drawn), atol=1e-12)
    arms = Actions(ARMS).draw(outputs(ARMS), Actions(ARMS).noise(keys(1), 6, torch.float64)[0])
    expected = D.Categorical(logits=outputs(ARMS)).log_prob(arms)
    assert arms.dtype == torch.int64 and torch.allclose(
        Actions(ARMS).log_prob(outputs(ARMS), arms), expected, atol=1e-12
    )


def test_what_is_squashed_has_the_density_of_the_action_that_is_taken():
    actions = Actions(BOX, squash=True)
    drawn = actions.draw(outputs(BOX), actions.noise(keys(1), 6, torch.float64)[0])
    scale = D.AffineTransform((BOX.low + BOX.high) / 2, (BOX.high - BOX.low) / 2)
    squashed = D.TransformedDistribution(normal(outputs(BOX)), [D.TanhTransform(cache_size=1), scale])
    taken = actions.taken(drawn)
    assert bool(((taken > BOX.low) & (taken < BOX.high)).all())
    assert torch.allclose(actions.log_prob(outputs(BOX), drawn), squashed.log_prob(taken), atol=1e-8)
    far = torch.full((1, 3), 40.0, dtype=torch.float64)  # where tanh rounds to 1
    assert bool(actions.log_prob(torch.cat([far, 0 * far], -1), far).isfinite())


@pytest.mark.parametrize("space", [BOX, ARMS], ids=["box", "arms"])
def test_divergence_and_entropy_are_those_of_torch(space):
    p, q = outputs(space, seed=0), outputs(space, seed=1)
    first, second = ((normal(v) if space is BOX else D.Categorical(logits=v)) for v in (p, q))
    assert torch.allclose(Actions(space).divergence(p, q), D.kl_divergence(first, second), atol=1e-12)
    assert torch.allclose(Actions(space).entropy(p), first.entropy(), atol=1e-12)
    assert float(Actions(space).divergence(p, p).abs().max()) < 1e-14


def test_draws_have_the_distribution_and_the_noise_of_their_step_alone():
    values = outputs(ARMS, 1).expand(20_000, -1)
    noise = Actions(ARMS).noise(keys(2), 20_000, torch.float64)
    shares = torch.bincount(Actions(ARMS).draw(values, noise[0]), minlength=4) / 20_000
    assert torch.allclose(shares.double(), torch.softmax(values[0], -1), atol=0.015)
    assert torch.equal(Actions(ARMS).noise(keys(9), 20_000, torch.float64)[1], noise[1])
    drawn = Actions(BOX).draw(outputs(BOX, 1).expand(20_000, -1), Actions(BOX).noise(keys(1), 20_000, torch.float64)[0])
    mean, log_std = outputs(BOX, 1)[0].chunk(2)
    assert torch.allclose(drawn.mean(0), mean, atol=0.1) and torch.allclose(drawn.std(0), log_std.exp(), rtol=0.05)


def test_a_floor_holds_the_deviation_up():
    values = torch.tensor([[0.0, math.log(0.01)]], dtype=torch.float64)
    floor = Actions(Box(1, -1, 1), floor=0.3)
    at = floor.log_prob(values, torch.zeros(1, 1, dtype=torch.float64))
    assert float(at) == pytest.approx(-math.log(0.3) - 0.5 * math.log(2 * math.pi))


def test_what_is_certain_is_drawn():
    arms, box = torch.tensor([3, 0]), torch.tensor([[0.1, 0.2, -3.0]])
    noise = Actions(ARMS).noise(keys(1), 2)[0]
    assert torch.equal(Actions(ARMS).draw(Actions(ARMS).certain(arms), noise), arms)
    assert torch.allclose(Actions(BOX).draw(Actions(BOX).certain(box), Actions(BOX).noise(keys(1), 1)[0]), box)
    assert torch.equal(Actions(BOX).likeliest(Actions(BOX).certain(box)), box)
    assert torch.equal(Actions(ARMS).likeliest(Actions(ARMS).certain(arms)), arms)


def test_a_space_that_no_policy_can_have_is_refused():
    with pytest.raises(InputError, match="at least one action"):
        Actions(Discrete(0))
    with pytest.raises(InputError, match="bounds"):
        Actions(Box(2, 0.0, math.inf), squash=True)
    with pytest.raises(InputError, match="squash"):
        Actions(ARMS, squash=True)
    with pytest.raises(InputError, match="floor must be"):
        Actions(BOX, floor=-1.0)
