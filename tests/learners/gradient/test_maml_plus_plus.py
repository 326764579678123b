from dataclasses import dataclass, replace

import pytest
import torch

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.core.types import Episode
from innerloop.engine import TrainConfig, meta_gradient, meta_train
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.maml_plus_plus import MAMLPlusPlus
from tests.compared import close, distance
from tests.conformance import Conformance, TransductiveConformance
from tests.problems import NeedlesInNoise, classifier

FIVE = MAMLPlusPlus(model=Module(classifier), inner_lr=0.2, multi_step_share=0.5)


class TestMAMLPlusPlus(TransductiveConformance):
    learner = MAMLPlusPlus(model=Module(classifier), inner_lr=0.3, inner_steps=3, loss_weights=(0.2, 0.3, 0.5))


class TestMAMLPlusPlusAnnealed(Conformance):
    learner = MAMLPlusPlus(model=Module(classifier), inner_lr=0.3, inner_steps=2, first_order_share=0.3)
    # Every change of the learner would be recorded anew.
    train = TrainConfig(steps=150, meta_batch_size=8, meta_lr=1e-2, plan="vmap", schedule="cosine")


def test_in_the_limit_it_is_maml():
    """One loss, equal rates, norms adapted: MAML; the hyper-gradients of the rates add up to that of MAML's one."""
    learner = MAMLPlusPlus(model=Module(classifier), inner_lr=0.25, inner_steps=3, step_norms=False).annealed(1.0)
    maml = MAML(model=Module(classifier), inner_lr=0.25, inner_steps=3)
    params, episodes = {k: v.double() for k, v in learner.init(0).items()}, NeedlesInNoise().episodes(0, 4)
    weights = tree.part(params, "model")
    found, metrics = meta_gradient(learner, params, episodes, "loop")
    expected, maml_metrics = meta_gradient(maml, weights, episodes, "loop")
    assert close(metrics["loss"], maml_metrics["loss"], 1e-12)
    assert distance(tree.part(found, "model"), expected) < 1e-12
    up, down = (
        meta_gradient(replace(maml, inner_lr=0.25 + h), weights, episodes, "loop")[1]["loss"] for h in (1e-6, -1e-6)
    )
    total = sum(v.sum() for v in tree.part(found, "inner_lr").values())
    assert total == pytest.approx(float((up - down) / 2e-6), rel=1e-6)


def test_the_multi_step_loss_is_the_weighted_sum_of_mamls():
    weights = (0.2, 0.3, 0.5)
    learner = MAMLPlusPlus(
        model=Module(classifier), inner_lr=0.3, inner_steps=3, step_norms=False, loss_weights=weights
    )
    params, episodes = learner.init(0), NeedlesInNoise(dtype=torch.float32).episodes(0, 2)
    _, metrics = meta_gradient(learner, params, episodes, "loop")
    expected = 0.0
    for steps, weight in enumerate(weights, 1):
        maml = MAML(model=Module(classifier), inner_lr=0.3, inner_steps=steps)
        expected += weight * meta_gradient(maml, tree.part(params, "model"), episodes, "loop")[1]["loss"]
    assert metrics["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_the_losses_are_annealed_to_the_last():
    seen = [FIVE.annealed(done / 100) for done in range(50)]
    assert seen[0].loss_weights == pytest.approx((0.2,) * 5)
    for learner in seen:
        assert sum(learner.loss_weights) == pytest.approx(1)
        assert min(learner.loss_weights) >= 0.03 / 5 - 1e-12
    last = [learner.loss_weights[-1] for learner in seen]
    assert last == sorted(last) and last[-1] == pytest.approx(0.92)
    assert FIVE.annealed(0.5) == FIVE.annealed(1.0) == FIVE
    assert len(set(seen)) == 10, "every one is recorded anew"
    learner = replace(FIVE, first_order_share=0.3)
    assert [learner.annealed(done).first_order for done in (0.0, 0.29, 0.3, 1.0)] == [True, True, False, False]


@pytest.mark.parametrize("plan", ["loop", "replay"])
@pytest.mark.exact
def test_annealing_reaches_training_and_a_resumed_run_equals_an_unbroken_one(tmp_path, plan, monkeypatch):
    monkeypatch.setattr("innerloop.engine.episode_buffer._STEPS", 1)  # episodes are drawn when their step comes
    learner = replace(FIVE, inner_steps=2, first_order_share=0.3)
    config = TrainConfig(steps=6, meta_batch_size=2, meta_lr=1e-2, plan=plan, checkpoint_every=2)
    sampler = NeedlesInNoise(dtype=torch.float32)
    unbroken = meta_train(learner, sampler, config)
    with pytest.raises(KeyError, match="crash"):
        meta_train(learner, Broken(dtype=torch.float32, last=3), config, tmp_path)
    resumed = meta_train(learner, sampler, config, tmp_path)
    assert all(torch.equal(resumed[k], unbroken[k]) for k in unbroken)
    plain = meta_train(replace(learner, multi_step_share=0.0, first_order_share=0.0), sampler, config)
    assert any(not torch.equal(plain[k], unbroken[k]) for k in plain)


@dataclass(frozen=True)
class Broken(NeedlesInNoise):
    """Raises at one step, as a crash would."""

    last: int = 0

    def episodes(self, first: int, count: int) -> Episode:
        if first >= 2 * self.last:
            raise KeyError("crash")
        return super().episodes(first, count)


def test_every_rate_learns_and_only_those_of_real_steps_exist():
    learner = replace(FIVE, inner_steps=3).annealed(1.0)
    params = {k: v.double() for k, v in learner.init(0).items()}
    gradient, _ = meta_gradient(learner, params, NeedlesInNoise().episodes(0, 4), "loop")
    for k, v in tree.part(gradient, "inner_lr").items():
        assert v.shape == (3,) and bool((v != 0).all()), k


def test_every_step_has_its_own_norm_which_is_not_adapted():
    learner = replace(FIVE, inner_steps=2)
    params, support = learner.init(0), tree.slice(NeedlesInNoise(dtype=torch.float32).episodes(0, 1), 0).support
    assert set(tree.part(params, "norm")) == {"0.1.weight", "0.1.bias"}
    params["norm.0.1.bias"] = torch.stack([torch.full((6,), 1.0), torch.full((6,), 2.0)])
    before, first, second = learner.trajectory(params, support)
    assert [state.weights["0.1.bias"][0].item() for state in (before, first, second)] == [1.0, 1.0, 2.0]
