import math
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import ABSENT, classification
from innerloop.core.types import Batch
from innerloop.learners.metric.matching import MatchingNet
from innerloop.nn.context import BiLSTM, LSTMCell
from tests.compared import close
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise, encoder


class TestMatchingNet(TransductiveConformance):
    learner = MatchingNet(encoder=Module(encoder))


class TestMatchingNetPaper(TransductiveConformance):
    learner = MatchingNet(encoder=Module(encoder), temperature=None)


class TestMatchingNetFCE(TransductiveConformance):
    learner = MatchingNet(
        encoder=Module(encoder),
        fce_steps=2,
        support_context=BiLSTM(features=FEATURES),
        query_context=LSTMCell(inputs=2 * FEATURES, units=FEATURES),
    )

    def test_only_the_order_within_a_class_matters(self, params, episodes):
        """Its examples an LSTM reads one after another."""
        support, query = tree.slice(episodes, 0)
        expected = self._predict(params, support, query.x)
        assert (support.y == torch.arange(3).repeat(4)).all()
        within = torch.arange(12).view(4, 3).flip(0).flatten()  # the last example of each class first
        between = torch.arange(12).view(4, 3).T.flatten()  # one class after another
        for order, same in ((within, False), (between, True)):
            shuffled = support._replace(x=support.x[order], y=support.y[order])
            assert close(self._predict(params, shuffled, query.x), expected) == same


@dataclass(frozen=True, kw_only=True)
class Lying(MatchingNet):
    """Declares the opposite of what it does."""

    @property
    def ordered(self) -> bool:
        return not super().ordered


@pytest.mark.parametrize("steps", [0, 2], ids=["plain", "fce"])
def test_the_suite_finds_who_declares_the_wrong_thing_of_order(steps):
    honest = replace(TestMatchingNetFCE.learner, fce_steps=steps)
    lying = Lying(**{f.name: getattr(honest, f.name) for f in fields(honest)})
    params, episodes = {k: v.double() for k, v in honest.init(0).items()}, NeedlesInNoise().episodes(0, 1)
    suite = TransductiveConformance()
    suite.learner = honest
    suite.test_support_order_matters_only_to_who_declares_it(params, episodes)
    suite.learner = lying
    with pytest.raises(AssertionError, match="declares ordered"):
        suite.test_support_order_matters_only_to_who_declares_it(params, episodes)


@pytest.fixture
def task():
    params = {k: v.double() for k, v in TestMatchingNet.learner.init(0).items()}
    return params, *tree.slice(NeedlesInNoise().episodes(0, 1), 0)


def features(learner, params, support, batch):
    return learner.encoder.apply(learner.adapt(params, support).encoder, batch.x)


@torch.no_grad()
@pytest.mark.parametrize("temperature", [10.0, None])
def test_the_probability_of_a_class_is_the_sum_of_the_attention_to_its_examples(task, temperature):
    params, support, query = task
    learner = MatchingNet(encoder=Module(encoder), temperature=temperature)
    f, g = (features(learner, params, support, batch).numpy() for batch in (support, query))
    cosines = np.array([[a @ b / np.sqrt(a @ a * (b @ b)) for b in f] for a in g])
    attention = np.exp((temperature or 1) * cosines)
    attention /= attention.sum(1, keepdims=True)
    p = np.stack([attention[:, support.y.numpy() == k].sum(1) for k in range(3)], 1)
    logits = learner.predict(params, learner.adapt(params, support), query.x)
    assert np.allclose(logits.exp().numpy(), p, atol=1e-7)  # log 10 comes from float32
    loss, _ = learner.loss(params, tree.slice(NeedlesInNoise().episodes(0, 1), 0))
    assert loss.item() == pytest.approx(-np.log(p[np.arange(len(g)), query.y.numpy()]).mean(), abs=1e-7)


def test_without_temperature_the_loss_has_a_floor():
    """A query that equals its own example and is opposite to all others is the best there is."""
    ways = 5
    learner = MatchingNet(encoder=Module(torch.nn.Identity), temperature=None)
    own = torch.tensor([[1.0]] + [[-1.0]] * (ways - 1))
    support = Batch(own, torch.arange(ways), classes=torch.ones(ways, dtype=torch.bool))
    logits = learner.predict({}, learner.adapt({}, support), torch.ones(1, 1))
    floor = -math.log(math.e / (math.e + (ways - 1) / math.e))
    assert floor == pytest.approx(0.432, abs=1e-3)
    assert classification(logits, torch.tensor([0])).item() == pytest.approx(floor, abs=1e-4)


@pytest.mark.parametrize("learner", [TestMatchingNet.learner, TestMatchingNetFCE.learner], ids=["plain", "fce"])
def test_unlabelled_rows_and_padding_get_no_attention(task, learner):
    _, support, query = task
    learner = replace(learner, encoder=Module(statistics_free))
    params = {k: v.double() for k, v in learner.init(0).items()}
    others = torch.randn(2, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    more = support._replace(
        x=torch.cat([support.x[:5], others, support.x[5:]]),
        y=torch.cat([support.y[:5], torch.tensor([-1, 1]), support.y[5:]]),
        mask=torch.arange(14) != 6,
    )
    expected = learner.predict(params, learner.adapt(params, support), query.x)
    assert close(learner.predict(params, learner.adapt(params, more), query.x), expected)


def statistics_free():
    return torch.nn.Linear(INPUTS, FEATURES)


@torch.no_grad()
def test_full_context_is_the_papers_recursion(task):
    learner = TestMatchingNetFCE.learner
    assert isinstance(learner, MatchingNet) and learner.support_context is not None
    params = {k: v.double() for k, v in learner.init(0).items()}
    _, support, query = task
    f, g = (features(learner, params, support, batch) for batch in (query, support))
    order = support.y.argsort(stable=True)
    g, y = g[order], support.y[order]
    part = tree.part(params, "support_context")
    g = g + learner.support_context.apply(part, {"x": g, "rows": torch.ones(12, dtype=torch.bool)})
    weights = tree.part(params, "query_context")
    for x, logits in zip(f, learner.predict(params, learner.adapt(params, support), query.x), strict=True):
        h, c = torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(learner.fce_steps):
            read = torch.softmax(g @ h, 0) @ g
            driven = weights["input.weight"] @ torch.cat([x, read]) + weights["input.bias"]
            i, forget, new, out = (driven + weights["hidden.weight"] @ h).chunk(4)
            c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
            h = out.sigmoid() * c.tanh() + x
        attention = torch.softmax(10 * torch.cosine_similarity(h[None], g), 0)
        assert close(logits.exp(), torch.stack([attention[y == k].sum() for k in range(3)]), 1e-7)


def test_an_absent_class_all_equal_examples_and_a_single_one():
    learner = MatchingNet(encoder=Module(torch.nn.Flatten))
    params = learner.init(0)
    for x, y in ((torch.zeros(4, 2), [0, 1, 1, 0]), (torch.ones(4, 2), [0, 1, 1, 0]), (torch.ones(1, 2), [1])):
        support = Batch(x, torch.tensor(y), classes=torch.ones(3, dtype=torch.bool))
        logits = learner.predict(params, learner.adapt(params, support), torch.randn(5, 2))
        assert logits.isfinite().all() and (logits[:, 2] == ABSENT).all()
        if len(y) == 4:
            assert torch.allclose(logits[:, :2].exp(), torch.full((5, 2), 0.5))


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="support_context"):
        MatchingNet(encoder=Module(encoder), fce_steps=2)
    with pytest.raises(InputError, match="temperature must be more than 0, or None, got -1"):
        MatchingNet(encoder=Module(encoder), temperature=-1.0)
