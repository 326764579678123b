"""A generator of tasks before learners: what is made, who is trained by what, and that any learner goes with it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.core import config, random, tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import membership
from innerloop.core.types import Episode
from innerloop.engine import meta_gradient
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.bayesian.bmaml import BMAML
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.learners.generative.task_generator import TaskGenerator
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from tests.compared import close, distance
from tests.conformance import Conformance
from tests.learners.generative.clouds import Clouds, Unmixed
from tests.learners.generative.test_viml import statistician
from tests.problems import NeedlesInNoise, classifier, encoder, inputs

PROTONET = ProtoNet(encoder=Module(encoder))
BEHIND = {
    "protonet": PROTONET,
    "maml": MAML(model=Module(classifier), inner_lr=0.1, inner_steps=2),
    "r2d2": R2D2(encoder=Module(encoder)),
    "bmaml": BMAML(model=Module(classifier), particles=2, inner_steps=1),
}


class TestTaskGenerator(Conformance):
    learner = TaskGenerator(learner=PROTONET, generator=Clouds(), share=0.5)
    train = replace(Conformance.train, steps=75, plan="vmap")


def generator(behind: str = "protonet", **options: Any) -> TaskGenerator:
    return TaskGenerator(learner=BEHIND[behind], generator=Clouds(), **options)


def psi(gradient: dict[str, torch.Tensor]) -> torch.Tensor:
    return gradient["generator.log_deviation"]


@pytest.fixture
def episodes() -> Episode:
    return NeedlesInNoise().episodes(0, 4)


def doubled(learner: TaskGenerator) -> dict[str, torch.Tensor]:
    return {k: v.double() for k, v in learner.init(0).items()}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("made_by", [Clouds(), statistician(warp=True)], ids=["clouds", "viml"])
def test_all_plans_agree_and_both_are_trained(behind, made_by, episodes):
    learner = replace(generator(behind, share=0.5, likelihood=0.0), generator=made_by)
    params = doubled(learner)
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    by_the_meta_loss_alone = {k: g for k, g in expected.items() if k.startswith("generator.")}
    assert any(g.abs().max() > 0 for g in by_the_meta_loss_alone.values())
    assert all(g.abs().max() > 0 for k, g in expected.items() if k.endswith("0.0.weight"))
    for plan in ("vmap", "threads"):
        assert distance(meta_gradient(learner, params, episodes, plan)[0], expected) < 1e-12
    assert config.decode(config.encode(learner), allow=("tests",)) == learner


@pytest.mark.parametrize("behind", BEHIND)
def test_classes_between_two_in_front_of_a_layer_go_with_all_plans(behind, episodes):
    learner = generator(behind, share=0.5, between="layers", likelihood=0.0)
    params = doubled(learner)
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    for plan in ("vmap", "threads"):
        assert distance(meta_gradient(learner, params, episodes, plan)[0], expected) < 1e-12
    assert psi(expected).abs().min() > 0


def test_in_front_of_the_first_layer_examples_are_mixed_as_they_are(episodes):
    """Every example of a new class lies between one of its own class and one of the other, by one weight a class."""
    learner = generator(share=1.0, extra=0, between="layers")
    for i in range(4):
        episode = tree.slice(episodes, i)
        for own, pairs in zip(
            episode, learner.enriched({"log_deviation": torch.zeros(8).double()}, episode), strict=True
        ):
            assert isinstance(pairs.x, dict) and torch.equal(pairs.x["x"], own.x)
            assert len(pairs.x["at"].unique()) == 1
            for label in range(3):
                rows = pairs.x["other"][own.y == label]
                classes = {int(own.y[(inputs(own) == row).all(1)]) for row in rows}
                assert len(classes) == 1 and classes != {label} and len(rows.unique(dim=0)) == len(rows)
                assert len(pairs.x["weight"][own.y == label].unique()) == 1


@pytest.mark.parametrize("between", ["codes", "layers"])
@pytest.mark.parametrize("behind", BEHIND)
def test_through_made_queries_nothing_reaches_the_generator(behind, between, episodes):
    learner = generator(behind, share=1.0, likelihood=0.0, between=between)
    gradient = meta_gradient(learner, doubled(learner), episodes, "loop")[0]
    assert torch.equal(psi(gradient), torch.zeros(8, dtype=torch.float64))
    real = generator(behind, share=0.0, likelihood=0.0)
    assert psi(meta_gradient(real, doubled(real), episodes, "loop")[0]).abs().min() > 0


def test_its_own_loss_reaches_the_generator_from_every_task_as_drawn(episodes):
    learner = generator(share=1.0, likelihood=0.5)
    params = doubled(learner)
    own = tree.part(params, "generator")
    expected, metrics = meta_gradient(learner.generator, own, episodes, "loop")
    found, about = meta_gradient(learner, params, episodes, "loop")
    assert torch.allclose(psi(found), 0.5 * expected["log_deviation"])
    assert torch.allclose(about["generator_loss"], metrics["loss"])
    assert torch.allclose(about["generator_width"], metrics["width"])


def test_new_classes_lie_between_two_of_the_task_in_support_and_query(episodes):
    """With noise of no width every made example is a point on the way from its class to one other, the same for all."""
    learner = generator(share=1.0, extra=2)
    for i in range(4):
        episode = tree.slice(episodes, i)
        still = {"log_deviation": torch.full((8,), -1e9, dtype=torch.float64)}
        support, query = learner.enriched(still, episode)
        assert support.y.tolist() == [*episode.support.y.tolist(), 0, 0, 1, 1, 2, 2]
        assert torch.equal(query.y, episode.query.y)
        means = learner.generator.adapt(still, episode.support).means
        others = set()
        for label in range(3):
            points = torch.cat([inputs(part)[part.y == label] for part in (support, query)])
            assert close(points, points[:1].expand_as(points))
            ways = [(j, (points[0] - means[label]), means[j] - means[label]) for j in range(3) if j != label]
            on = [
                (j, float(gap @ way / (way @ way)))
                for j, gap, way in ways
                if close(gap, (gap @ way / (way @ way)) * way)
            ]
            assert len(on) == 1 and 0 < on[0][1] < 1
            others.add((on[0][0] - label) % 3)
        assert len(others) == 1, "one step from class to class, so that no two new classes have the same two parents"


def test_as_many_tasks_as_the_share_are_new_and_others_keep_their_examples():
    episodes = NeedlesInNoise().episodes(0, 200)
    learner = generator(share=0.3, extra=1)
    own = {"log_deviation": torch.zeros(8, dtype=torch.float64)}
    kept = 0
    for i in range(200):
        episode = tree.slice(episodes, i)
        support, query = learner.enriched(own, episode)
        same = torch.equal(inputs(support)[: len(episode.support.y)], inputs(episode.support))
        assert same is torch.equal(inputs(query), inputs(episode.query))
        kept += same
    assert 0.6 < kept / 200 < 0.8


def test_made_examples_of_a_class_without_examples_do_not_count(episodes):
    support = tree.slice(episodes, 0).support
    support = support._replace(mask=support.y != 2, classes=torch.tensor([True, True, False]))
    found = generator(extra=2).enriched({"log_deviation": torch.zeros(8).double()}, Episode(support, support)).support
    counts = membership(found.y, 3, found.mask).sum(0)
    assert counts.tolist() == [6, 6, 0]


def test_at_test_the_learner_adapts_to_support_and_extra_examples(episodes):
    learner, (support, query) = generator(share=0.0, extra=2), tree.slice(episodes, 0)
    params = doubled(learner)
    behind = {k: v for k, v in params.items() if not k.startswith("generator.")}
    more = learner.enriched(tree.part(params, "generator"), Episode(support, query)).support
    expected = PROTONET.predict(behind, PROTONET.adapt(behind, more), query.x)
    assert close(learner.predict(params, learner.adapt(params, support), query.x), expected)
    none = replace(learner, extra=0)
    assert close(
        none.predict(params, none.adapt(params, support), query.x),
        PROTONET.predict(behind, PROTONET.adapt(behind, support), query.x),
    )
    assert learner.stochastic and not none.stochastic


def test_who_cannot_generate_or_mix_is_refused():
    with pytest.raises(InputError, match="ProtoNet does not make examples"):
        TaskGenerator(learner=PROTONET, generator=PROTONET)
    with pytest.raises(InputError, match="Unmixed makes no classes between two others"):
        TaskGenerator(learner=PROTONET, generator=Unmixed())
    assert TaskGenerator(learner=PROTONET, generator=Unmixed(), share=0).extra == 2
    assert TaskGenerator(learner=PROTONET, generator=Unmixed(), between="layers").share == 0.3
    with pytest.raises(InputError, match="NearestCentroid has no network to mix classes in"):
        TaskGenerator(learner=NearestCentroid(), generator=Clouds(), between="layers")
    with pytest.raises(InputError, match="share must be a number from 0 to 1"):
        generator(share=1.2)
    with pytest.raises(InputError, match="called generator already"):
        TaskGenerator(learner=generator(), generator=Clouds()).init(0)


@pytest.mark.parametrize("warp", [False, True])
def test_what_lies_between_two_classes_of_viml_begins_with_one_and_ends_with_the_other(episodes, warp):
    learner, other = statistician(warp), torch.tensor([1, 2, 0])
    params = {k: v.double() for k, v in learner.init(0).items()}
    support = tree.slice(episodes, 0).support
    codes, turned = (learner.adapt(params, s) for s in (support, support._replace(y=other.argsort()[support.y])))

    def made(weight: float) -> torch.Tensor:
        mixed = learner.mix(params, codes, other, torch.full((3,), weight, dtype=torch.float64))
        return learner.generate(params, mixed, random.mix(0, 0), 4)

    assert torch.equal(made(1.0), learner.generate(params, codes, random.mix(0, 0), 4))
    assert close(made(0.0), learner.generate(params, turned, random.mix(0, 0), 4))
    assert not close(made(0.5), made(1.0)) and not close(made(0.5), made(0.0))
