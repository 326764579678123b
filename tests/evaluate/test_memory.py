from dataclasses import dataclass

import torch

from innerloop.core import tree
from innerloop.core.learner import EpisodicClassifier
from innerloop.core.types import Episode
from innerloop.evaluate.memory import peak_memory
from tests.evaluate import tiny


@dataclass(frozen=True, kw_only=True)
class Known(EpisodicClassifier):
    """Takes 4,000 bytes in `adapt`, of which 800 are kept, and 2,400 more in `predict`, in two pieces."""

    def init(self, seed):
        return {"w": torch.zeros(1000)}

    def adapt(self, params, support):
        big = params["w"] + 1
        return big[:200].clone()

    def predict(self, params, adapted, x):
        total = params["w"].view(10, 100).sum() + adapted.sum()  # 4 bytes each
        half = torch.ones(300)
        half += 1
        rest = half * 2
        return (rest.sum() + total).view(1, 1)


def test_the_peak_is_what_is_alive_at_once():
    episode = Episode(*(tree.slice(part, 0) for part in tiny.sampler().episodes(0, 1)))
    learner = Known()
    assert peak_memory(learner, learner.init(0), episode) == 4000 + 800
    learner = tiny.protonet()
    params = learner.init(0)
    assert peak_memory(learner, params, episode) == peak_memory(learner, params, episode)


def test_it_does_not_grow_with_inner_steps_without_a_graph():
    episode, params = tree.slice(tiny.sampler().episodes(0, 1), 0), tiny.maml().init(0)
    few, many = (peak_memory(tiny.maml(steps=steps), params, episode) for steps in (4, 12))
    assert few == many
