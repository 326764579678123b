from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class InPlace(Known):
    """Views, and what is written in place, take nothing more."""

    def adapt(self, params, support):
        big = params["w"] + 1  # 4,000 bytes
        big.mul_(2).view(10, 100)[3:].add_(1)
        return big.view(10, 100)

    def predict(self, params, adapted, x):
        return adapted[:, :5].T


@dataclass(frozen=True, kw_only=True)
class Nested(Known):
    """Keeps a dict of two tensors, one of them in half precision."""

    def adapt(self, params, support) -> Any:
        return {"a": params["w"] + 1, "b": (params["w"].half(), None)}  # 4,000 and 2,000 bytes

    def predict(self, params, adapted, x):
        return adapted["a"][:5] + 0  # 20 bytes


def test_views_and_writing_in_place_take_nothing_and_every_part_counts():
    episode = tree.slice(tiny.sampler().episodes(0, 1), 0)
    params = Known().init(0)
    assert peak_memory(InPlace(), params, episode) == 4000
    assert peak_memory(Nested(), params, episode) == 4000 + 2000 + 20


def test_more_parameters_and_pictures_that_are_there_already_are_not_counted():
    """Only what is made of them: a learner that answers with a part of the query has taken nothing."""

    class Echo(Known):
        uses_unlabelled = True  # nobody looks for such rows, which takes a few bytes

        def adapt(self, params, support):
            return support.x

        def predict(self, params, adapted, x):
            return x.flatten(1)[:, :5]

    episode = tree.slice(tiny.sampler(queries=9).episodes(0, 1), 0)
    assert peak_memory(Echo(), Known().init(0), episode) == 0


def test_grad_mode_is_left_as_it_was():
    episode = tree.slice(tiny.sampler().episodes(0, 1), 0)
    params = {k: v.requires_grad_() for k, v in tiny.protonet().init(0).items()}
    before = peak_memory(tiny.protonet(), params, episode)
    assert torch.is_grad_enabled() and before > 0 and all(v.grad is None for v in params.values())
