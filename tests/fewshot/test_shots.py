"""A taught task by the number of its examples: what is taught, and what is asked."""

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.evaluation import Evaluation
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import evaluate
from innerloop.fewshot.shots import by_shots

CENTRES = 1.2 * np.random.default_rng(0).normal(size=(4, 8))


def drawn(count, seed):
    y = np.repeat(range(4), count)
    return (CENTRES[y] + np.random.default_rng(seed).normal(size=(len(y), 8))).astype(np.float32), np.array(
        list("abcd")
    )[y]


@pytest.fixture(scope="module")
def classifier():
    return FewShotClassifier(reject=0.2).fit(*drawn(8, 1))


def test_all_its_examples_are_the_task_itself(classifier):
    x, y = drawn(20, 2)
    found = by_shots(classifier, (8, 1), x, y)
    whole = FewShotClassifier().fit(*drawn(8, 1))
    usual: Evaluation = evaluate(whole, x, y)
    assert found.shots == (1, 8) and found.scores.shape == (2, 80, 1)
    assert found.points[1].mean == pytest.approx(usual.accuracy.value), "every draw teaches all of them"
    assert found.gains[0].difference.mean > 0.05, "one example of each is worse"
    assert torch.equal(by_shots(classifier, (1, 8), x, y).scores, found.scores), "the same every time"


def test_of_its_own_each_is_asked_while_it_is_held_out(classifier, monkeypatch):
    asked, taught = [], []
    usual = FewShotClassifier.answers

    def answers(self, rows):
        own = self.task.rows[torch.tensor(self.task.taught[0])]
        taught.append(len(own))
        asked.append(len(rows.x))
        assert not (own[:, None] == rows.x[None]).all(-1).any(), "it is asked what it was taught"
        return usual(self, rows)

    monkeypatch.setattr(FewShotClassifier, "answers", answers)
    found = by_shots(classifier, (1, 6))
    assert found.scores.shape == (2, 32, 1) and sum(asked) == 5 * 2 * 32 and set(taught) == {4, 24}
    assert float(found.scores.max()) <= 1 + 1e-9


def test_strangers_are_left_out_and_too_few_are_said(classifier):
    x, y = drawn(3, 4)
    strange = np.where(y == "d", "e", y)
    assert by_shots(classifier, (1,), x, strange).scores.shape == (1, 9, 1)
    with pytest.raises(InputError, match="9 shots take as many examples of each class, and 'a' has 8"):
        by_shots(classifier, (9,), x, y)
    with pytest.raises(InputError, match=r"7 shots .* of which 6 are left"):
        by_shots(classifier, (7,))
    with pytest.raises(InputError, match="'a' alone"):
        by_shots(classifier, (1,), x[:3], y[:3])
