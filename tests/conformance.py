"""What every learner must satisfy. Inherit, and set `learner`: `class TestANIL(Conformance): learner = ...`.

No branch on a name: what is special about a learner is declared by its class attributes.
"""

import copy
import inspect
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from innerloop.core import config, random, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Generative, Learner
from innerloop.core.predictive import check_predictive, mean_logits, mean_outputs
from innerloop.core.scores import of_sampler
from innerloop.core.types import Batch, Episode, Params, joined
from innerloop.engine import TrainConfig, checkpoint, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.engine.step import validation_scores
from tests.compared import answer, check_gradient, close, distance, listed, padding, reference, with_unlabelled
from tests.problems import NeedlesInNoise, RaggedPlanes, real_rows
from tests.regression_conformance import Regression

REFERENCES = Path(__file__).parent / "references"
ABOUT_CLASSES = [
    "test_padding_changes_nothing",  # of values, `Regression` asks the same
    "test_unlabelled_rows_are_seen_by_those_alone_who_use_them",
    "test_a_class_without_examples_stays_finite",
    "test_it_learns_what_needs_learning",
]


class Conformance(Regression):
    """Inherited by the test of every learner."""

    learner: Learner
    training: Any = NeedlesInNoise(dtype=torch.float32)
    """What `meta_train` gets in the toy problem."""
    train = TrainConfig(steps=150, meta_batch_size=8, meta_lr=1e-2, plan="replay")
    gain = 0.15
    """Accuracy that meta-training must add on unseen tasks; 0 for a learner that has nothing to train."""

    tasks: Any = NeedlesInNoise
    """What its tasks are, with a `dtype`."""
    brief: Any = None
    """Tasks of fewer rows, where plans are compared: a learner that takes rows one by one is recorded row by row."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        learner = getattr(cls, "learner", None)  # none yet: a suite that others inherit
        unasked: list[str] = []  # what a learner does not answer, it is not asked
        if learner is not None and "values" not in learner.targets:
            unasked = [name for name in vars(Regression) if name.startswith("test_")]
        if learner is not None and "classes" not in learner.targets:
            unasked = ABOUT_CLASSES
        for name in unasked:
            setattr(cls, name, None)

    @pytest.fixture
    def params(self) -> Params:
        return {k: v.double() for k, v in self.learner.init(0).items()}

    @pytest.fixture
    def episodes(self) -> Episode:
        return self.tasks().episodes(0, 5)

    @pytest.fixture
    def compared(self) -> Episode:
        return (self.brief or self.tasks)().episodes(0, 5)

    @pytest.mark.exact
    def test_init_is_a_function_of_its_seed(self):
        a, b, c = self.learner.init(3), self.learner.init(3), self.learner.init(4)
        assert all(torch.equal(a[k], b[k]) for k in a)
        assert not a or any(not torch.equal(a[k], c[k]) for k in a)
        assert all(v.grad_fn is None and not v.requires_grad for v in a.values())

    @pytest.mark.exact
    def test_nothing_is_mutated_and_no_global_randomness_drawn(self, params, episodes):
        before, state = copy.deepcopy((params, episodes)), torch.get_rng_state()
        meta_gradient(self.learner, params, episodes, "loop")
        validation_scores(self.learner, params, episodes, of_sampler(self.training))
        assert torch.equal(state, torch.get_rng_state())
        for (path, new), old in zip(tree.items((params, episodes)), tree.flatten(before), strict=True):
            assert torch.equal(new, old), path

    @pytest.mark.parametrize(
        "plan",
        [
            Plan("vmap", 5),
            Plan("vmap", 2),
            Plan("vmap", 1),
            Plan("threads", threads=2),
            Plan("threads", 2, threads=2, layout="mixed"),
            Plan("loop", layout="mixed"),
            Plan("loop", layout="channels_last"),
            Plan("loop", recompute=True),
            Plan("replay", 3),
        ],
        ids=str,
    )
    def test_every_plan_gives_the_loops_gradient(self, params, compared, plan):
        expected, metrics = meta_gradient(self.learner, params, compared, "loop")
        found, found_metrics = meta_gradient(self.learner, params, compared, plan)
        assert distance(found, expected) < 1e-8
        assert metrics.keys() == found_metrics.keys()
        assert all(torch.allclose(metrics[k], found_metrics[k]) for k in metrics)

    def test_meta_gradient_is_the_derivative_of_the_loss(self, params, episodes):
        check_gradient(self.learner, params, episodes)

    def test_support_order_matters_only_to_who_declares_it(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        order = torch.randperm(len(support.y), generator=torch.Generator().manual_seed(0))
        shuffled = support._replace(x=support.x[order], y=support.y[order])
        same = close(self._predict(params, shuffled, query.x), self._predict(params, support, query.x))
        assert same is not self.learner.ordered, f"declares ordered = {self.learner.ordered}"

    def test_the_key_matters_only_to_who_declares_it(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        other = support._replace(key=support.key + 1)
        same = torch.equal(self._predict(params, other, query.x), self._predict(params, support, query.x))
        assert same is not self.learner.stochastic, f"declares stochastic = {self.learner.stochastic}"

    def test_a_row_that_weighs_two_is_there_twice_to_those_alone_who_weigh(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        if self.learner.ordered:
            return
        weight = 1.0 + torch.arange(len(support.y), dtype=support.x.dtype) % 3
        places = torch.arange(len(support.y)).repeat_interleave(weight.long())
        repeated = support._replace(x=support.x[places], y=support.y[places])
        weighted = self._predict(params, support._replace(weight=weight), query.x)
        assert close(weighted, self._predict(params, repeated if self.learner.weighs else support, query.x))

    def test_what_comes_later_may_come_in_parts_to_who_is_incremental(self, params, episodes):
        """That `update` is `adapt` of both, but for batch norms, is for the learner's own test."""
        support, query = tree.slice(episodes, 0)
        parts = (slice(0, 5), slice(5, 8), slice(8, None))
        first, more, last = (support._replace(x=support.x[s], y=support.y[s]) for s in parts)
        with torch.no_grad():
            adapted = self.learner.adapt(params, first)
            if not self.learner.incremental:
                with pytest.raises(TypeError, match="adapt again on all examples"):
                    self.learner.update(params, adapted, more)
                return
            known = self.learner.update(params, self.learner.update(params, adapted, more), last)
            at_once = self.learner.update(params, adapted, joined(more, last))
            answers = [self.learner.predict(params, state, query.x) for state in (adapted, known, at_once)]
        assert close(answers[1], answers[2]) and not close(answers[0], answers[1])

    def test_a_prediction_does_not_depend_on_the_other_queries(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        whole = self._predict(params, support, query.x)
        alone = torch.cat([self._predict(params, support, row[None]) for row in query.x])
        assert close(whole, alone)
        assert not whole.requires_grad

    def test_padding_changes_nothing(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        padded = padding(support), padding(query)
        assert close(self._predict(params, padded[0], query.x), self._predict(params, support, query.x))
        loss = self.learner.loss(params, Episode(support, query))[0]
        assert close(self.learner.loss(params, Episode(*padded))[0], loss)

    @pytest.mark.exact
    def test_unlabelled_rows_are_seen_by_those_alone_who_use_them(self, params, episodes):
        support, query = tree.map(torch.clone, tree.slice(episodes, 0))
        known = self._predict(params, support, query.x)
        for places in (range(12, 20), (0, 3, 4, 9)):  # after the labelled ones, as samplers have them, and anywhere
            more = with_unlabelled(support, places)
            same = torch.equal(self._predict(params, more, query.x), known)
            assert same is not self.learner.uses_unlabelled, f"declares uses_unlabelled = {not same}"
        if self.learner.uses_unlabelled:
            return
        more = with_unlabelled(support, range(12, 20))
        loss = self.learner.loss(params, Episode(support, query))[0]
        assert torch.equal(self.learner.loss(params, Episode(more, query))[0], loss)
        stacks = [tree.stack([Episode(part, query)] * 2) for part in (support, more)]
        for plan in (Plan("loop"), Plan("vmap", 2), Plan("replay", 2)):
            gradient, expected = (meta_gradient(self.learner, params, stack, plan)[0] for stack in stacks)
            assert all(torch.equal(gradient[k], expected[k]) for k in expected), plan

    def test_a_class_without_examples_stays_finite(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        present = support.y != 2
        support = support._replace(mask=present, classes=torch.tensor([True, True, False]))
        gradient, metrics = meta_gradient(
            self.learner,
            params,
            tree.stack([Episode(support, query._replace(mask=query.y != 2, classes=support.classes))]),
        )
        assert metrics["loss"].isfinite()
        assert all(bool(g.isfinite().all()) for g in gradient.values())

    def test_values_are_refused_by_who_learns_classes_alone(self, params):
        support = real_rows(tree.slice(RaggedPlanes().episodes(0, 1), 0).support)
        if "values" not in self.learner.targets:
            with pytest.raises(InputError, match="needs `classes`"):
                self.learner.adapt(params, support)

    def test_a_prediction_is_the_mean_of_the_predictive(self, params, episodes):
        learner, (support, query) = self.learner, tree.slice(episodes, 0)
        with torch.no_grad():
            adapted = learner.adapt(params, support)
            if not learner.probabilistic:
                with pytest.raises(TypeError, match="no predictive"):
                    learner.predictive(params, adapted, query.x)
                return
            predictive = learner.predictive(params, adapted, query.x)
            check_predictive(predictive, len(query.y), type(learner).__name__)
            found, mean = self._predict(params, support, query.x), mean_outputs(predictive.outputs)
            if "classes" in learner.targets:
                found, mean = found.softmax(-1), mean_logits(predictive.outputs).softmax(-1)
            assert close(found, mean)
            again = learner.predictive(params, learner.adapt(params, support), query.x)
            assert all(torch.equal(a, b) for a, b in zip(tree.flatten(again), tree.flatten(predictive), strict=True))

    def test_what_is_generated_is_a_function_of_its_key(self, params, episodes):
        learner, support = self.learner, tree.slice(episodes, 0).support
        if not isinstance(learner, Generative):
            return
        with torch.no_grad():
            adapted = learner.adapt(params, support)
            first, again, other = (learner.generate(params, adapted, random.mix(0, i), 4) for i in (1, 1, 2))
        assert first.shape == (3, 4, *support.x.shape[1:]) and first.dtype == support.x.dtype
        assert first.isfinite().all() and torch.equal(first, again)
        assert not close(first, other, 1e-6), "it must differ between keys"
        assert not close(first[:, 0], first[:, 1], 1e-6), "and between the examples of a class"

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_dtype_is_kept(self, dtype):
        params = {k: v.to(dtype) for k, v in self.learner.init(0).items()}
        episode = tree.slice(self.tasks(dtype=dtype).episodes(0, 1), 0)
        assert self._predict(params, episode.support, episode.query.x).dtype == dtype
        assert self.learner.loss(params, episode)[0].dtype == dtype

    @pytest.mark.exact
    def test_config_pickle_and_checkpoint_round_trip(self, params, episodes, tmp_path):
        support, query = tree.slice(episodes, 0)
        expected = self._predict(params, support, query.x)
        again = config.decode(json.loads(json.dumps(config.encode(self.learner))), allow=("tests",))
        assert again == self.learner
        checkpoint.write_config(tmp_path, self.learner, {}, {})
        checkpoint.save_params(tmp_path, self.learner, params)
        loaded, loaded_params = checkpoint.load(tmp_path, allow=("tests",))
        pickled = pickle.loads(pickle.dumps(self.learner))
        for learner, weights in ((again, params), (loaded, loaded_params), (pickled, params)):
            with torch.no_grad():
                assert torch.equal(learner.predict(weights, learner.adapt(weights, support), query.x), expected)

    @pytest.mark.exact
    def test_threads_do_not_disturb_each_other(self, params, episodes):
        def answer(i: int) -> Tensor:
            support, query = tree.slice(episodes, i % 5)
            return self._predict(params, support, query.x)

        expected = [answer(i) for i in range(5)]
        with ThreadPoolExecutor(4) as pool:
            assert all(torch.equal(found, expected[i % 5]) for i, found in enumerate(pool.map(answer, range(40))))

    def test_it_learns_what_needs_learning(self):
        unseen = NeedlesInNoise(seed=1, queries=10, dtype=torch.float32).episodes(0, 100)
        score = of_sampler(self.training)
        before = validation_scores(self.learner, self.learner.init(0), unseen, score).mean()
        trained = meta_train(self.learner, self.training, self.train)
        after = validation_scores(self.learner, trained, unseen, score).mean()
        assert after >= before + self.gain
        assert after > 1 / 3 + 0.05

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.exact
    def test_golden_reference(self, params, episodes, dtype):
        """The file has the parameters, and says how near each dtype must come to the largest number of each part.

        Torch draws initial parameters that differ in their last bit between processors.
        """
        path = REFERENCES / f"{type(self).__name__.removeprefix('Test').lower()}.json"
        if os.environ.get("INNERLOOP_WRITE_REFERENCES"):
            path.write_text(reference(params, self._golden(params, episodes)))
        if not path.exists():
            pytest.fail(
                f"there is no golden reference {path.name} yet: write it by INNERLOOP_WRITE_REFERENCES=1 pytest "
                f"{Path(inspect.getfile(type(self))).relative_to(REFERENCES.parents[1])}, and look at it before you "
                "commit it",
                pytrace=False,
            )
        expected = json.loads(path.read_text())
        drawn = {k: torch.tensor(v, dtype=dtype) for k, v in expected["params"].items()}
        assert drawn.keys() == params.keys() and all(close(drawn[k], params[k].to(dtype), 1e-6) for k in drawn)
        episodes = tree.map(lambda v: v.to(dtype) if v.is_floating_point() else v, episodes)
        values, tolerance = self._golden(drawn, episodes), expected["tolerance"][str(dtype).removeprefix("torch.")]
        assert values["gradient"].keys() == expected["gradient"].keys()
        for part in values:
            new, old = (torch.tensor(listed(numbers[part]), dtype=torch.float64) for numbers in (values, expected))
            assert new.shape == old.shape
            assert (new - old).abs().max() <= tolerance * old.abs().max(), part

    def _golden(self, params: Params, episodes: Episode) -> dict[str, Any]:
        gradient, metrics = meta_gradient(self.learner, params, episodes, "loop")
        support, query = tree.slice(episodes, 0)
        return {
            "loss": metrics["loss"].item(),
            "gradient": {k: v.norm().item() for k, v in gradient.items()},
            "predictions": self._predict(params, support, query.x).tolist(),
        }

    def _predict(self, params: Params, support: Batch, x: Any) -> Tensor:
        return answer(self.learner, params, support, x)


class ValuesConformance(Conformance):
    """For a learner of values alone: tasks without padding, and nothing that is about classes."""

    tasks = partial(RaggedPlanes, fewest=None)
    training = RaggedPlanes(dtype=torch.float32)

    def test_classes_are_refused_by_who_learns_values_alone(self, params):
        with pytest.raises(InputError, match="learns values: y must be"):
            self.learner.adapt(params, tree.slice(NeedlesInNoise().episodes(0, 1), 0).support)


class TransductiveConformance(Conformance):
    """For a learner whose inductive form already passed: with `transductive=True`, queries may see each other."""

    def test_a_prediction_does_not_depend_on_the_other_queries(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        learner = replace(self.learner, transductive=True)
        with torch.no_grad():
            adapted = learner.adapt(params, support)
            whole = learner.predict(params, adapted, query.x)
            half = learner.predict(params, adapted, query.x[: len(query.y) // 2])
        assert not close(whole[: len(half)], half), "transductive, yet nothing depends on the query batch"
        super().test_a_prediction_does_not_depend_on_the_other_queries(params, episodes)
