import math

import torch

from innerloop.evaluate.gates import gates
from innerloop.tasks import mixture


class ByHeight:
    """Two experts: one for supports that lie high, one for the others; parameters say how sure it is."""

    def gate(self, params, support):
        high = torch.sigmoid(params["sure"] * support.y.mean())
        return torch.stack([high, 1 - high])


class ByFamily:
    """Knows the family, as no learner does."""

    def __init__(self, sampler):
        family = sampler.draw(0, 100).tolist()
        self.family = iter(family)

    def gate(self, params, support):
        return torch.eye(4)[next(self.family)]


def test_families_that_have_an_expert_each_have_no_entropy_within():
    sampler, params = mixture(seed=3), {"sure": torch.tensor(1.0)}
    found = gates(ByFamily(sampler), params, sampler, 100)
    counts = torch.bincount(sampler.draw(0, 100), minlength=4) / 100
    assert torch.equal(found.shares, torch.eye(4)) and found.within == found.of_task == 0
    assert math.isclose(found.across, float(-(counts * counts.log()).sum()), rel_tol=1e-6)
    assert found.families == ("sinusoid", "line", "quadratic", "cubic")
    assert 1.2 < found.shuffled < found.across, "families dealt out anew say nothing, but for their chance"


def test_a_gate_that_is_even_in_every_family_says_nothing_of_it():
    sampler = mixture(seed=3)
    found = gates(ByHeight(), {"sure": torch.tensor(0.0)}, sampler, 40)
    assert torch.allclose(found.shares, torch.full((4, 2), 0.5))
    assert all(math.isclose(e, math.log(2), rel_tol=1e-6) for e in (found.of_task, found.within, found.across))
    assert "0.69 within a family, 0.69 across all" in str(found)
