"""What every learner of a stream must satisfy, beside `Conformance`."""

from functools import partial
from typing import Any

import pytest
import torch

from innerloop.core import tree
from innerloop.core.types import Batch
from innerloop.engine import TrainConfig
from innerloop.engine.plan import Plan
from tests.compared import close, padding
from tests.conformance import Conformance
from tests.problems import NeedlesInNoise

RECORDED = Plan("replay", 3)


class OnlineConformance(Conformance):
    """The suite of a learner that folds a support row by row, and what holds for its batches.

    A recording of such a fold takes a minute where a step has a memory: those are made in the slow suite.
    """

    learner: Any
    train = TrainConfig(steps=40, meta_batch_size=4, meta_lr=3e-2, plan="vmap")
    brief = partial(NeedlesInNoise, shots=2)
    """Six rows: more than the memories of these tests hold."""

    @pytest.mark.parametrize("plan", [Plan("vmap", 5), Plan("vmap", 2), Plan("threads", threads=2)], ids=str)
    def test_every_plan_gives_the_loops_gradient(self, params, compared, plan):
        super().test_every_plan_gives_the_loops_gradient(params, compared, plan)

    @pytest.mark.slow
    def test_a_recording_gives_the_loops_gradient(self, params, compared):
        super().test_every_plan_gives_the_loops_gradient(params, compared, RECORDED)

    @pytest.mark.slow
    @pytest.mark.exact
    def test_unlabelled_rows_are_seen_by_those_alone_who_use_them(self, params, episodes):
        super().test_unlabelled_rows_are_seen_by_those_alone_who_use_them(params, episodes)

    def test_padding_and_unlabelled_rows_of_a_batch_change_nothing(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        state = self._observed(params, support)
        none = support._replace(mask=torch.zeros(len(support.y), dtype=torch.bool))
        loose = padding(support)._replace(mask=None, y=torch.cat([support.y, torch.full((3,), -1)]))
        with torch.no_grad():
            expected = self.learner.predict(params, state, query.x)
            for batch in (padding(support), loose):
                assert close(self.learner.predict(params, self._observed(params, batch), query.x), expected)
            same = self.learner.observe(params, state, none)
        assert all(torch.equal(a, b) for a, b in zip(tree.flatten(same), tree.flatten(state), strict=True))

    def test_it_may_be_asked_before_it_saw_anything_and_after_one_row(self, params, episodes):
        support, query = tree.slice(episodes, 0)
        one = tree.slice(Batch(support.x, support.y), slice(1, 2))
        with torch.no_grad():
            state = self.learner.begin(params, support)
            none = self.learner.predict(params, state, query.x)
            logits = self.learner.predict(params, self.learner.observe(params, state, one), query.x)
        assert none.shape == (len(query.y), 3) and none.isfinite().all() and logits.isfinite().all()
        assert (logits.argmax(1) == one.y).all()

    def _observed(self, params, batch):
        """The state after a batch, as it came at once, twice: what is kept of the first reaches the second."""
        with torch.no_grad():
            state = self.learner.observe(params, self.learner.begin(params, batch), batch)
            return self.learner.observe(params, state, batch)
