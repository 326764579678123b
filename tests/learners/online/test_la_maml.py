import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from innerloop.core import reservoir, tree
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.engine import TrainConfig
from innerloop.learners.online.la_maml import LaMAML
from tests.online import OnlineConformance
from tests.problems import NeedlesInNoise, inputs, rowwise


class TestLaMAML(OnlineConformance):
    learner = LaMAML(model=Module(rowwise), memory=3)
    train = TrainConfig(steps=20, meta_batch_size=4, meta_lr=5e-2, plan="vmap")


def _batches(shots: int, size: int) -> tuple[Batch, list[Batch]]:
    support = tree.slice(NeedlesInNoise(shots=shots).episodes(0, 1), 0).support
    rows = support._replace(classes=None, key=None)
    return support, [tree.slice(rows, slice(i, i + size)) for i in range(0, 3 * shots, size)]


@pytest.mark.parametrize("sync", [False, True])
def test_a_stream_is_the_papers_algorithm_by_autograd(sync):
    """Rates are leaves, the loss after every row is summed, and `backward` finds what `meta_gradient` writes out."""
    learner = LaMAML(
        model=Module(rowwise), memory=5, glances=2, sync=sync, weight_lr=0.2, inner_clip=0.8, inner_lr=0.005
    )
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, batches = _batches(6, 3)
    network = rowwise().double()
    weights = [params[f"model.{k}"].clone() for k, _ in network.named_parameters()]
    rates, names = [torch.full_like(w, 0.005) for w in weights], [k for k, _ in network.named_parameters()]
    state, moved = learner.begin(params, support), 0

    def loss(values, x, y):
        return F.cross_entropy(functional_call(network, dict(zip(names, values, strict=True)), x), y)

    def clipped(slopes):
        length = torch.cat([g.flatten() for g in slopes]).norm()
        return [g * min(1, 0.8 / length) for g in slopes]

    for batch in batches:
        for glance in range(2):
            drawn = reservoir.draw(state.memory, batch, number=glance)
            x = torch.cat([inputs(batch), inputs(drawn)[drawn.mask]])
            y = torch.cat([batch.y, drawn.y[drawn.mask]])
            leaves, alphas = ([v.clone().requires_grad_() for v in values] for values in (weights, rates))
            fast, total = leaves, torch.zeros(())
            for i in range(len(batch.y)):
                slopes = torch.autograd.grad(loss(fast, inputs(batch)[i : i + 1], batch.y[i : i + 1]), fast)
                slopes = [g.detach().clamp(-0.8, 0.8) for g in slopes]
                fast = [w - a.relu() * g for w, a, g in zip(fast, alphas, slopes, strict=True)]
                total = total + loss(fast, x, y) / len(batch.y)
            slopes = clipped(torch.autograd.grad(total, leaves, retain_graph=True))
            rates = [
                (a - 0.3 * g).detach() for a, g in zip(alphas, clipped(torch.autograd.grad(total, alphas)), strict=True)
            ]
            speeds = [torch.tensor(0.2)] * len(rates) if sync else [a.relu() for a in rates]
            weights = [(w - s * g).detach() for w, s, g in zip(leaves, speeds, slopes, strict=True)]
            moved += sum(int((a < 0).any()) for a in rates)
        with torch.no_grad():
            state = learner.observe(params, state, batch)
    for k, w, a in zip(names, weights, rates, strict=True):
        assert torch.allclose(state.weights[k], w, atol=1e-9) and torch.allclose(state.rates[k], a, atol=1e-9)
    assert moved > 0, "no rate became negative, where it must count as 0"


@torch.no_grad()
def test_huge_slopes_are_clipped_and_an_earlier_state_stays_as_it_was():
    learner = LaMAML(model=Module(rowwise))
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, batches = _batches(6, 6)
    first = learner.observe(params, learner.begin(params, support), batches[0])
    before = [leaf.clone() for leaf in tree.flatten(first)]
    state = learner.observe(params, first, batches[1]._replace(x=1e6 * inputs(batches[1])))
    for new, old in ((state.rates, first.rates), (state.weights, first.weights)):
        step = torch.cat([(new[k] - old[k]).flatten() for k in old])
        assert 0 < step.norm() < 2 * max(0.3, *(float(r.max()) for r in state.rates.values())) + 1e-6
    assert all(torch.equal(a, b) for a, b in zip(tree.flatten(first), before, strict=True))
    assert first.memory.seen == 6 and state.memory.seen == 12
