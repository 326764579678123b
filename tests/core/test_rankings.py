import pytest
import torch

from innerloop.core import rankings
from innerloop.core.objectives import sampled_softmax
from innerloop.core.scores import SCORES
from innerloop.core.types import Batch


def test_scores_of_masked_candidates_are_those_of_the_others_alone_and_vmap():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randint(0, 4, (6, 20, 1), generator=generator).float()  # with ties
    y = (torch.rand(6, 20, 1, generator=generator) < 0.3).float()
    mask = torch.rand(6, 20, generator=generator) < 0.7
    for name, plain in (("ndcg", rankings.ndcg), ("recall", lambda s, w, k: rankings.recall(s, w > 0, k))):
        score = SCORES[name]
        loop = [score.of(o, Batch(o, v, m)) for o, v, m in zip(outputs, y, mask, strict=True)]
        own = [plain(o[m, 0], v[m, 0], 10) for o, v, m in zip(outputs, y, mask, strict=True)]
        vmapped = torch.vmap(lambda o, v, m, score=score: score.of(o, Batch(o, v, m)))(outputs, y, mask)
        assert torch.allclose(torch.stack(loop)[:, 0].double(), torch.stack(own).double(), atol=1e-6)
        assert torch.allclose(vmapped, torch.stack(loop))


def test_a_corrected_sample_estimates_the_softmax_over_everything():
    """The mean gradient over many draws, against that over all items; without the correction it is another one."""
    generator = torch.Generator().manual_seed(1)
    items, count, draws = 40, 100, 2_000
    logits = torch.randn(items, generator=generator, dtype=torch.float64)
    often = torch.softmax(torch.randn(items, generator=generator, dtype=torch.float64), 0)
    often[0] = 0  # what was taken is not drawn
    often = often / often.sum()
    whole = logits.softmax(0) - torch.eye(items, dtype=torch.float64)[0]
    drawn = torch.multinomial(often.expand(draws, items), count, True, generator=generator)

    def gradient(corrected):
        of = torch.cat([torch.zeros(draws, 1, dtype=torch.long), drawn], 1)
        log_q = torch.cat([torch.zeros(draws, 1), (count * often[drawn]).log() if corrected else 0.0 * drawn], 1)
        leaf = logits.clone().requires_grad_()
        y = torch.zeros(count + 1, 1, dtype=torch.float64).index_fill(0, torch.tensor([0]), 1.0)
        loss = torch.vmap(lambda o: sampled_softmax(o[:, None], y))(leaf[of] - log_q).mean()
        return torch.autograd.grad(loss, leaf)[0]

    right, wrong = ((gradient(c) - whole).norm() / whole.norm() for c in (True, False))
    assert right < 0.05 and wrong > 0.3


def test_the_objective_is_the_mean_over_what_was_taken():
    outputs, y = torch.tensor([[2.0], [0.5], [-1.0], [9.0]]), torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    mask = torch.tensor([True, True, True, False])
    each = [torch.log(1 + torch.exp(torch.tensor(-1.0 - v))) for v in (2.0, 0.5)]
    assert sampled_softmax(outputs, y, mask) == pytest.approx(float(sum(each)) / 2, abs=1e-6)
    assert sampled_softmax(outputs, torch.zeros(4, 1), mask) == 0
