from dataclasses import replace

import pytest
import torch

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.engine import TrainConfig, meta_gradient
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.reptile import Reptile
from innerloop.runs.measure import MetaTestOptions, _changed
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, classifier, half_squares, inputs, quadratics, solved, vector

OUTER = TrainConfig(steps=150, meta_batch_size=8, meta_lr=1.0, optimizer="sgd", schedule="linear", plan="vmap")


class TestReptile(TransductiveConformance):
    learner = Reptile(model=Module(classifier), inner_lr=0.1, inner_steps=6, test_steps=6)
    train = OUTER
    gain = 0.08  # the worst of three seeds on two makes of processor gained 0.112 ± 0.024


class TestReptileMinibatches(Conformance):
    learner = Reptile(
        model=Module(classifier), inner_lr=0.2, inner_steps=6, test_steps=6, inner_batch=5, inner_optimizer="sgd"
    )
    train = OUTER
    gain = 0.1


def test_quadratics_have_the_closed_form_direction():
    """`t - t_K = (I - (I - rate A)^K)(t - c)` (Nichol et al. 2018), whatever the query holds."""
    theta = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    learner = Reptile(model=Module(vector), objective=half_squares, inner_lr=0.2, inner_steps=3, inner_optimizer="sgd")
    episodes = quadratics(3)
    expected = torch.zeros(4, dtype=torch.float64)
    for i in range(3):
        a, c = solved(tree.slice(episodes, i).support)
        m = torch.linalg.matrix_power(torch.eye(4, dtype=torch.float64) - 0.2 * a, 3)
        expected += (theta - c - m @ (theta - c)) / 3
    for episodes_ in (episodes, episodes._replace(query=tree.map(torch.zeros_like, episodes.query))):
        found, _ = meta_gradient(learner, {"weight": theta[None]}, episodes_, "loop")
        assert (found["weight"][0] - expected).norm() / expected.norm() < 1e-10


def test_one_step_is_joint_training():
    """With k = 1 the direction is the rate times the mean gradient over tasks."""
    learner = Reptile(model=Module(vector), objective=half_squares, inner_lr=0.2, inner_steps=1, inner_optimizer="sgd")
    theta = torch.ones(1, 4, dtype=torch.float64)
    episodes = quadratics(3)
    found, _ = meta_gradient(learner, {"weight": theta}, episodes, "loop")
    slopes = [a @ (theta[0] - c) for a, c in (solved(tree.slice(episodes, i).support) for i in range(3))]
    assert torch.allclose(found["weight"][0], 0.2 * torch.stack(slopes).mean(0), atol=1e-12)


def test_inner_adam_is_torchs_with_beta1_zero():
    learner = Reptile(model=Module(classifier), inner_lr=0.01, test_steps=4, transductive=True)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    adam = torch.optim.Adam(leaves.values(), lr=0.01, betas=(0.0, 0.999))
    for _ in range(4):
        adam.zero_grad()
        learner.objective(learner.model.apply(leaves, support.x), support.y, None).backward()
        adam.step()
    adapted = learner.adapt(params, support)
    # A bias before a norm has gradient 1e-17, which Adam turns into full steps: compare what it predicts.
    x = inputs(NeedlesInNoise().episodes(9, 1).query)[0]
    with torch.no_grad():
        assert torch.allclose(learner.model.apply(adapted, x), learner.model.apply(leaves, x), atol=1e-9)


@pytest.mark.exact
def test_minibatches_come_from_the_key_alone():
    learner = replace(TestReptileMinibatches.learner, transductive=True)
    params = learner.init(0)
    support = tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0).support
    first, again = learner.adapt(params, support), learner.adapt(params, support)
    other = learner.adapt(params, support._replace(key=torch.tensor(7)))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)
    whole = replace(learner, inner_batch=None).adapt(params, Batch(support.x, support.y))
    assert all(v.isfinite().all() for v in whole.values()), "without minibatches no key is needed"


def authors_minibatches(key: torch.Tensor, rows: list[int], size: int, count: int) -> list[list[int]]:
    """`_mini_batches` of supervised_reptile/reptile.py, with its shuffles drawn from the key."""
    batches, batch, epoch = [], [], 0
    while len(batches) < count:
        shuffled = [rows[i] for i in random.permutation(random.fold(key, epoch), len(rows)).tolist()]
        for row in shuffled:
            batch.append(row)
            if len(batch) == size:
                batches.append(batch)
                batch = []
        epoch += 1
    return batches[:count]


@pytest.mark.parametrize("size", [1, 3, 5, 7, 11])
def test_minibatches_are_those_of_the_authors_code(size):
    """Epoch after epoch without replacement; 5 and 7 of 12 rows go over their ends."""
    learner = Reptile(model=Module(classifier), inner_batch=size)
    x, key = torch.arange(12.0)[:, None], torch.tensor(11)
    support = Batch(x, torch.arange(12) % 3, classes=torch.ones(3, dtype=torch.bool), key=key)
    batches = [learner._minibatch(torch.tensor(i), support) for i in range(9)]
    assert [inputs(b).flatten().tolist() for b in batches] == authors_minibatches(key, list(range(12)), size, 9)
    assert all(torch.equal(b.y, inputs(b).flatten().long() % 3) for b in batches)
    drawn = torch.cat([inputs(learner._minibatch(torch.tensor(i), support)) for i in range(12)])
    assert torch.equal(drawn.flatten().long().bincount(), torch.full((12,), size)), "all equally often in whole epochs"


@pytest.mark.parametrize("size", [2, 5, 8, 9])
def test_padding_is_never_drawn(size):
    learner = Reptile(model=Module(classifier), inner_batch=size)
    mask = torch.tensor([True, False, True, True, False, True, True, False, False, True, True, True])
    x, key = torch.arange(12.0)[:, None], torch.tensor(5)
    support = Batch(x, torch.arange(12) % 3, mask, torch.ones(3, dtype=torch.bool), key)
    real = mask.nonzero().flatten().tolist()
    for i, expected in enumerate(authors_minibatches(key, real, min(size, len(real)), 7)):
        batch = learner._minibatch(torch.tensor(i), support)
        assert batch.mask is not None and inputs(batch)[batch.mask].flatten().tolist() == expected
        assert set(inputs(batch).flatten().tolist()) <= set(real), "not even where it would not count"


def test_testing_takes_50_steps_and_training_its_own(monkeypatch):
    learner = Reptile(model=Module(classifier), inner_steps=2)
    assert learner.steps_at_test == 50 and replace(learner, test_steps=None).steps_at_test == 2
    taken = []
    advance = Reptile.advance
    monkeypatch.setattr(Reptile, "advance", lambda self, *args: taken.append(1) or advance(self, *args))
    params, episode = learner.init(0), tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0)
    learner.adapt(params, episode.support)
    assert len(taken) == 50
    learner.loss(params, episode)
    assert len(taken) == 52
    result = meta_test(learner, params, NeedlesInNoise(dtype=torch.float32), 2, quiet=True)
    assert result.protocol.adaptation_steps == 50 and result.curve is not None
    assert result.curve[-1].step == 50 and result.curve[-1].mean == result.mean
    for wrong in ({"test_steps": -1}, {"inner_batch": 0}, {"test_steps": True}):
        with pytest.raises(InputError, match="whole number"):
            replace(learner, **wrong)


def test_the_steps_that_a_test_asks_for_are_those_of_the_test():
    learner = Reptile(model=Module(classifier), inner_steps=2)
    assert _changed(learner, MetaTestOptions(steps=20)) == replace(learner, test_steps=20)
    assert _changed(learner, MetaTestOptions()) == learner
