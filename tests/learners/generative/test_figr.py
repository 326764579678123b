"""FIGR, whose oracles are a GAN trained by hand for one class, and the penalty of a linear critic."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from innerloop.core import random, tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Params
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate.generation import Judge, generation
from innerloop.fewshot import sources
from innerloop.learners.generative.figr import FIGR
from innerloop.nn.adversarial import PictureCritic, PicturePainter
from innerloop.nn.decoder import JoinedMLP
from innerloop.nn.mlp import MLP, Linear
from innerloop.runs import defaults
from innerloop.tasks import EpisodeSampler
from tests.conformance import Conformance
from tests.problems import INPUTS, NeedlesInNoise, encoder, inputs

LATENT = 2
SMALL = FIGR(
    latent=LATENT,
    inner_steps=1,
    test_steps=10,
    inner_lr=0.1,
    inner_batch=3,
    painter=JoinedMLP(LATENT, (6,), (INPUTS,)),
    critic=MLP(INPUTS, (6,), 1, "tanh"),
)


class TestFIGR(Conformance):
    learner = SMALL
    train = TrainConfig(steps=20, meta_batch_size=4, meta_lr=2e-2, plan="vmap")
    gain = 0.0  # what its critics say of classes is no more than above chance; it is trained to paint


def trained_by_hand(learner: FIGR, params: Params, support: Batch, j: int) -> tuple[nn.Module, nn.Module]:
    """The painter and critic of class j: torch's Adam, a module each, and the penalty example by example."""
    painter, critic = learner.painter.build().double(), learner.critic.build().double()
    painter.load_state_dict(tree.part(params, "painter"))
    critic.load_state_dict(tree.part(params, "critic"))
    key, rows, ways = support.key, inputs(support)[support.y == j], 3
    assert key is not None
    adam = [torch.optim.Adam(m.parameters(), learner.inner_lr, betas=(0.0, 0.999), eps=1e-8) for m in (painter, critic)]

    def noise(key: Tensor) -> Tensor:
        return random.normal(key, (ways, learner.inner_batch, LATENT), torch.float64)[j]

    for step in range(learner.steps_at_test):
        mine = random.fold(key, 2 * step)
        share = random.uniform(random.fold(mine, 1), (ways, learner.inner_batch), torch.float64)[j]
        real = torch.stack([rows[(step * learner.inner_batch + i) % len(rows)] for i in range(learner.inner_batch)])
        painted, steepness = painter(latent=noise(random.fold(mine, 0))).detach(), []
        for s, a, b in zip(share, real, painted, strict=True):
            at = (s * a + (1 - s) * b).requires_grad_()
            steepness.append(torch.autograd.grad(critic(at[None]).squeeze(), at, create_graph=True)[0].norm())
        adam[1].zero_grad()
        (critic(painted).mean() - critic(real).mean() + 10 * (torch.stack(steepness) - 1).square().mean()).backward()
        adam[1].step()
        adam[0].zero_grad()
        (-critic(painter(latent=noise(random.fold(key, 2 * step + 1)))).mean()).backward()
        adam[0].step()
    return painter, critic


def test_every_class_has_the_gan_that_is_trained_by_hand():
    params = {k: v.double() for k, v in SMALL.init(0).items()}
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    adapted = SMALL.adapt(params, support)
    key = random.mix(0, 0)
    drawn = SMALL.generate(params, adapted, key, 5)
    scores = SMALL.predict(params, adapted, inputs(support))
    for j in range(3):
        painter, critic = trained_by_hand(SMALL, params, support, j)
        with torch.no_grad():
            noise = random.normal(key, (3, 5, LATENT), torch.float64)[j]
            assert torch.allclose(drawn[j], painter(latent=noise), rtol=1e-7)
            said = critic(inputs(support))[:, 0]
            assert torch.allclose(scores[:, j], said - said[support.y == j].mean(), atol=1e-8)


def test_the_penalty_of_linear_critics_is_known():
    learner = replace(SMALL, critic=Linear(INPUTS, 1))
    weight = random.normal(random.mix(0, 1), (3, 1, INPUTS), torch.float64)
    critic = {"weight": weight, "bias": torch.zeros(3, 1, dtype=torch.float64)}
    real, painted = (random.normal(random.mix(1, i), (3, 4, INPUTS), torch.float64) for i in range(2))
    share = random.uniform(random.mix(2, 0), (3, 4), torch.float64)
    found = learner.penalised(critic, real, painted, share)
    assert torch.allclose(found, (weight[:, 0].norm(dim=1) - 1).square())
    moved = critic | {"weight": weight.clone().requires_grad_()}
    (slope,) = torch.autograd.grad(learner.penalised(moved, real, painted, share).sum(), moved["weight"])
    length = weight.norm(dim=2, keepdim=True)
    assert torch.allclose(slope, 2 * (length - 1) * weight / length), "it can be differentiated again"


def test_a_painter_learns_where_the_examples_of_its_class_lie():
    x = torch.tensor([[2.0, 0.0], [2.2, 0.1], [-2.0, 1.0], [-2.1, 1.2]])
    y = torch.tensor([0, 0, 1, 1])
    sizes: dict[str, Any] = {"test_steps": 150, "inner_lr": 0.02, "critic_steps": 3}
    learner = FIGR(**sizes, latent=2, painter=JoinedMLP(2, (8,), (2,)), critic=MLP(2, (16,), 1))
    params = learner.init(0)
    support = Batch(x, y, classes=torch.ones(2, dtype=torch.bool), key=random.mix(0, 0))
    with torch.no_grad():
        adapted = learner.adapt(params, support)
        drawn = learner.generate(params, adapted, random.mix(0, 1), 200)
        still = replace(learner, temperature=0.0).generate(params, adapted, random.mix(0, 1), 2)
    centres = torch.stack([x[:2].mean(0), x[2:].mean(0)])
    assert (torch.cdist(drawn, centres)[torch.arange(2), :, torch.arange(2)].mean(1) < 0.4).all(), "2 apart at first"
    assert torch.equal(still[:, 0], still[:, 1])


def test_pictures_of_any_size_are_painted_and_scored():
    for size in (16, 28, 30):
        painter, critic = PicturePainter(size=size, width=4), PictureCritic(size=size, width=4)
        drawn = painter.apply(painter.init(0), {"latent": torch.randn(3, 16)})
        assert drawn.shape == (3, 1, size, size) and drawn.min() >= 0 and drawn.max() <= 1
        assert critic.apply(critic.init(0), drawn).shape == (3, 1)


def test_what_it_cannot_take_is_refused():
    with pytest.raises(InputError, match="no batch norms, and its critic has"):
        replace(SMALL, critic=Module(encoder)).init(0)
    support = Batch({"a": torch.zeros(2, 1)}, torch.tensor([0, 1]), classes=torch.ones(2).bool(), key=random.mix(0, 0))
    with pytest.raises(InputError, match="one tensor, got a dict of a"):
        SMALL.adapt(SMALL.init(0), support)


@pytest.mark.slow
def test_what_it_draws_is_recognised_more_often_once_it_is_trained():
    usual = defaults("figr")
    splits = usual.task.load(Context())
    learner = usual.task.learner(FIGR, usual.fields, replace(usual.network, width=8), splits)
    train = EpisodeSampler(pool=splits.train, ways=5, shots=5, queries=1)
    rates = TrainConfig(steps=100, meta_batch_size=1, meta_lr=1.0, optimizer="sgd", schedule="linear", plan="loop")
    source = sources.source("kanji-protonet")
    judge = Judge(replace(source.learner, transductive=False), source.params)
    tasks = EpisodeSampler(pool=splits.validation, ways=5, shots=5, queries=5)

    def recognised(params):
        return generation(learner, params, judge, tasks, tasks=8, count=6).recognised.mean

    # 0.49 and 0.27 in six tasks, after 99 steps.
    assert recognised(meta_train(learner, train, rates)) > recognised(learner.init(0)) + 0.1
