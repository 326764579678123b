import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import random
from innerloop.core.errors import FailedError, InputError
from innerloop.core.interval import Interval
from innerloop.core.types import Batch
from innerloop.evaluate import kept, seal
from innerloop.evaluate.generated import Generation
from innerloop.evaluate.generation import Judge, distances, generation, looks
from innerloop.evaluate.ink import inked
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import EpisodeSampler, Pool
from tests.generative import Shaded, save, strokes

JUDGE = Judge(NearestCentroid(), {}, "nearest centroid")


class Pasting(Shaded):
    """One example again and again."""

    def generate(self, params, adapted, key, count):
        return adapted.x[adapted.member.argmax(0)][:, None].expand(-1, count, *adapted.x.shape[1:])


class Copying(Shaded):
    """All examples in turn."""

    def generate(self, params, adapted, key, count):
        order = adapted.member.T.argsort(dim=1, descending=True, stable=True)[:, : int(adapted.member.sum(0)[0])]
        return adapted.x[order[:, torch.arange(count) % order.shape[1]]]


class Blurred(Shaded):
    """The mean of the class, and little noise."""

    def generate(self, params, adapted, key, count):
        mean = torch.einsum("nk,n...->k...", adapted.member / adapted.member.sum(0), adapted.x)
        return mean[:, None] + 0.01 * random.uniform(key, (mean.shape[0], count, *mean.shape[1:]))


class Other(Shaded):
    """What the next class looks like."""

    def generate(self, params, adapted, key, count):
        return super().generate(params, adapted, key, count).roll(1, 0)


class Bounded(Shaded):
    """Each number of an example takes one bit under its own class."""

    def evidence(self, params, adapted, x):
        assert adapted.member.shape == (5, 1), "the class alone"
        return torch.full((len(x), 1), -x[0].numel() * math.log(2))


@pytest.fixture(scope="module")
def sampler():
    """Strokes of three kinds at three places, each drawn several times with some pixels missing."""
    ink = torch.stack([torch.stack([torch.tensor(strokes(kind, i % 3)) for i in range(20)]) for kind in range(3)])
    kept = random.uniform(random.mix(0, 0), ink.shape) > 0.1
    pool = Pool(data=(ink & kept).float()[:, :, None], counts=torch.full((3,), 20), names=("stands", "lies", "crosses"))
    return EpisodeSampler(pool=pool, ways=3, shots=5, queries=6, seed=1)


def judged(learner, sampler, count: int = 8, **options: Any) -> Generation:
    return generation(learner, learner.init(0), JUDGE, sampler, tasks=8, count=count, **options)


def test_real_pasted_copied_blurred_and_wrong_examples_are_told_apart(sampler):
    found = {cls.__name__: judged(cls(), sampler) for cls in (Shaded, Pasting, Copying, Blurred, Other)}
    pasted, copied, blurred, wrong = (found[name] for name in ("Pasting", "Copying", "Blurred", "Other"))
    assert pasted.recognised == pasted.pasted and pasted.pasted.mean > 0.9
    assert pasted.diversity.mean == 0 and pasted.novelty.mean == 0
    assert copied.diversity.mean > 0.7 and copied.novelty.mean == 0, "many copies differ, and are copies"
    assert wrong.recognised.mean < 0.2
    soft = judged(Blurred(), sampler, ink="soft")
    assert soft.diversity.mean < 0.05 and soft.novelty.mean > 0.5, "a blur is none of them, and always the same"
    assert soft.recognised.mean > soft.real.mean, "a judge of pixels prefers a blur to real examples"
    assert blurred.ink == "crisp" and soft.ink == "soft" and blurred.diversity != soft.diversity
    again = judged(Shaded(), sampler)
    assert again == found["Shaded"] and judged(Shaded(), sampler, seed=1) != again
    assert 0.5 < again.diversity.mean < 1.2 and again.bits is None
    assert all(one.real == again.real for one in found.values() if one.ink == "crisp")


def test_what_the_learner_bounds_is_told_in_bits(sampler):
    found = judged(Bounded(), sampler)
    assert found.bits is not None and found.bits.mean == pytest.approx(1)
    assert "bits per number" in str(found) and "ink crisp" in str(found)
    assert replace(found, bits=None, learner="Shaded") == judged(Shaded(), sampler)


def test_what_is_kept_is_read_again_and_an_edit_is_noticed(sampler, tmp_path):
    run = save(tmp_path, Shaded())
    found = replace(judged(Shaded(), sampler), parameters=seal.parameters_of(run), step=0)
    again = kept.generations(run)
    assert again == []
    file = found.save(run)
    (one,) = kept.generations(run)
    assert one.result == found and one.warning is None and "--ink crisp" in found.command(run)
    alone = replace(found, recognised=Interval(1.0, float("nan")))
    assert str(Generation.load(alone.save(tmp_path / "other"))) == str(alone)
    file.write_text(file.read_text().replace('"ways": 3', '"ways": 2'))
    (one,) = kept.generations(run)
    assert one.result is None and "was edited" in str(one.warning)


def test_distances_and_the_nearest_given_example_by_hand():
    support = Batch(torch.tensor([[0.0, 0], [4, 0], [0, 3]]), torch.tensor([0, 1, 0]), classes=torch.ones(2).bool())
    x = torch.tensor([[[0.0, 0], [0, 3], [0, 4]], [[4, 1], [0, 1], [4, 0]]])
    said = looks(JUDGE, support, x)
    assert torch.equal(said.copied, torch.tensor([[0, 2, 2], [1, 1, 1]]))
    assert torch.allclose(said.nearest, torch.tensor([1 / 3, (1 + 17**0.5) / 3], dtype=torch.float64))
    assert torch.allclose(said.spread, torch.tensor([(3 + 4 + 1) / 3, (4 + 1 + 17**0.5) / 3], dtype=torch.float64))
    assert said.recognised == 5 / 6
    assert torch.equal(distances(x[:, :1]), torch.zeros(2))


def test_the_rules_of_ink():
    x = torch.tensor([[0.0, 0.4], [0.45, 1.3]])[None]
    assert torch.equal(inked(x, "cut"), torch.tensor([[[0.0, 0], [0, 1]]])) and inked(x, "soft") is x
    assert torch.equal(inked(x, "crisp"), torch.tensor([[[0.0, 0], [1, 1]]])), "1.85 of 4 pixels' ink, so 2 pixels"
    drawn = torch.tensor(strokes(2, 0)).float()[None]
    assert torch.equal(inked(torch.stack([drawn, 0 * drawn]), "crisp"), torch.stack([drawn, 0 * drawn]))
    # Strokes that are grey throughout stay as wide as they are, where a cut leaves nothing.
    grey = torch.nn.functional.avg_pool2d(drawn, 3, 1, 1)
    assert inked(grey, "crisp").sum() == grey.sum().round() and inked(0.45 * drawn, "cut").sum() == 0


def test_what_cannot_be_judged_is_refused(sampler):
    with pytest.raises(InputError, match="cannot generate"):
        generation(NearestCentroid(), {"a": torch.zeros(1)}, JUDGE, sampler)
    with pytest.raises(InputError, match="2 or more examples"):
        judged(Shaded(), sampler, count=1)
    with pytest.raises(InputError, match="ink is crisp, cut, soft"):
        judged(Shaded(), sampler, ink="thin")
    with pytest.raises(FailedError, match="not finite"):
        judged(Shaded(temperature=1e38), sampler)
