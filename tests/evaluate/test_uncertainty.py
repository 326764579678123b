"""How sure the answers of a meta-test are: the same numbers as `evaluate.predictive`, kept with the result."""

import json
import math

import pytest
import torch

from innerloop.core import tree
from innerloop.core.interval import Interval
from innerloop.core.objectives import regression
from innerloop.engine import checkpoint
from innerloop.evaluate import meta_test
from innerloop.evaluate.predictive import LEVELS, predictive_scores
from innerloop.evaluate.result import Result
from innerloop.evaluate.uncertainty import number
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.report.report import write_report
from innerloop.tasks import Sinusoid
from tests.core.test_predictive import Committee
from tests.evaluate import tiny
from tests.evaluate.test_predictive import BayesianLine, Lines
from tests.problems import NeedlesInNoise

TASKS = NeedlesInNoise(queries=10, dtype=torch.float32)


def close(ours: Interval, theirs: Interval) -> bool:
    return ours == pytest.approx(theirs, rel=1e-5, abs=1e-9)


def test_a_mixture_of_classes_is_scored_as_its_predictive_is():
    learner, params = Committee(), Committee().init(0)
    result = meta_test(learner, params, TASKS, 12, quiet=True, temperature=2.0)
    sure, expected = result.uncertainty, predictive_scores(learner, params, TASKS, episodes=12).intervals
    assert sure is not None and sure.members == 3 and set(sure.scores) == set(expected)
    assert all(close(sure.scores[name], value) for name, value in expected.items())
    assert result.reliability is not None and result.reliability.ece == sure.scores["ece"].mean
    assert result.reliability.calibrated == sure.calibrated["ece"].mean != sure.scores["ece"].mean
    assert sure.calibrated["entropy"].mean > sure.scores["entropy"].mean, "a temperature above 1 is less sure"
    assert "mutual_information" not in sure.calibrated and "members disagree by (nats) 0" in str(sure)
    for bins in (sure.bins, sure.calibrated_bins):
        assert sum(one.size for one in bins) == 12 * 30
    gap = sum(abs(one.confidence - one.accuracy) * one.size for one in sure.bins if one.size) / 360
    assert gap == pytest.approx(sure.scores["ece"].mean)


def test_members_are_asked_once():
    """The mean that is scored is of the members that say how sure it is: their networks run once for both."""
    asked = []

    class Counted(Committee):
        def predictive(self, params, adapted, x):
            asked.append(len(x))
            return super().predictive(params, adapted, x)

    learner, params = Counted(), Counted().init(0)
    result = meta_test(learner, params, TASKS, 5, quiet=True, threads=1)
    assert len(asked) == 5
    assert torch.equal(result.scores, meta_test(Alone(), params, TASKS, 5, quiet=True).scores)


class Alone(Committee):
    """The same answers, of which nobody knows that they are a mixture."""

    probabilistic = False


def test_one_answer_is_a_mixture_of_one():
    learner = tiny.protonet()
    params = learner.init(0)
    result = meta_test(learner, params, tiny.sampler(), 3, quiet=True, threads=2)
    episodes = tiny.sampler().episodes(0, 3)
    losses = []
    for i in range(3):
        support, query = tree.slice(episodes, i)
        outputs = learner.predict(params, learner.adapt(params, support), query.x).double()
        losses.append(torch.nn.functional.cross_entropy(outputs, query.y).item())
    assert result.uncertainty is not None and result.uncertainty.members == 1 and not result.uncertainty.calibrated
    assert result.uncertainty.scores["nll"].mean == pytest.approx(sum(losses) / 3)
    assert "members disagree" not in str(result.uncertainty)


def test_values_have_intervals_where_a_learner_says_how_sure_it_is():
    result = meta_test(BayesianLine(), {}, Lines(), 20, quiet=True)
    expected = predictive_scores(BayesianLine(), {}, Lines(), episodes=20).intervals
    sure = result.uncertainty
    assert sure is not None and result.reliability is None and set(sure.scores) == set(expected)
    assert all(close(sure.scores[name], value) for name, value in expected.items())
    assert [level for level, _, _ in sure.levels] == list(LEVELS) and "90% intervals hold" in str(sure)
    plain = MAML(model=MLP(hidden=(4,)), objective=regression)
    assert meta_test(plain, plain.init(0), Sinusoid(shots=3, queries=3), 2, quiet=True).uncertainty is None


@pytest.mark.parametrize("values", [False, True])
def test_it_is_kept_and_drawn(values, tmp_path):
    learner, tasks = (BayesianLine(), Lines()) if values else (Committee(), TASKS)
    params = learner.init(0)
    result = meta_test(learner, params, tasks, 4, quiet=True, temperature=None if values else 1.5)
    again = Result.load(result.save(tmp_path))
    assert again.uncertainty is not None and result.uncertainty is not None
    assert json.dumps(again.uncertainty.to_json()) == json.dumps(result.uncertainty.to_json())
    checkpoint.write_config(tmp_path, learner, {"steps": 0}, {})
    page = write_report(tmp_path, results=[again]).read_text()
    assert "How far it can be believed" in page
    words = ["targets inside", "90% intervals hold"] if values else ["Probabilities at the temperature", "Brier score"]
    assert all(word in page for word in words)


def test_numbers_in_words():
    assert number("ece", Interval(0.0123, 0.004)) == "1.2 ± 0.4%" and number("nll", Interval(0.5, math.nan)) == "0.50"
    assert number("width_90", Interval(12.34, 0.5)) == "12.34 ± 0.50"
