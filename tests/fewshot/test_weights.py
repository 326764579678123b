"""`sample_weight`: how many examples each counts as."""

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.rows import Rows
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from tests.fewshot.test_heads import rows, words

X, Y = rows(ways=3, shots=4, loud=1.0)
ASKED = Rows(rows(ways=3, shots=10, loud=1.0, seed=4)[0])
COUNTS = [1, 2, 3, 1] * 3


def fitted(head, x, y, weights=None):
    return FewShotClassifier(words(), head=head).fit(Rows(x), y, sample_weight=weights)


@pytest.mark.parametrize("head", ["centroid", "ridge", "linear"])
def test_a_weight_is_a_number_of_examples(head):
    places = torch.arange(len(X)).repeat_interleave(torch.tensor(COUNTS))
    weighed = fitted(head, X, Y, COUNTS)
    repeated = fitted(head, X[places], [Y[i] for i in places.tolist()])
    same = weighed.task.source.learner  # the penalty is chosen by examples held out, of which copies are others
    adapted = same.adapt({}, repeated.task.support.batch(3))
    expected = same.predict({}, adapted, ASKED.x)
    assert torch.allclose(weighed.task.logits(ASKED.x), expected.double(), atol=1e-3 * float(expected.abs().max()))
    plain = fitted(head, X, Y)
    assert not torch.equal(weighed.task.logits(ASKED.x), plain.task.logits(ASKED.x))
    ones = fitted(head, X, Y, np.ones(len(X)))
    assert torch.equal(ones.task.logits(ASKED.x), plain.task.logits(ASKED.x)) and ones.task.weights is None
    assert sum(weighed.examples_.values()) == len(X), "it was shown each once"


def test_a_weight_of_nothing_leaves_an_example_out():
    weights = [0 if i % 4 == 3 else 1 for i in range(len(X))]
    kept = torch.tensor(weights) > 0
    left = fitted("ridge", X[kept], [label for label, one in zip(Y, weights, strict=True) if one])
    assert torch.equal(fitted("ridge", X, Y, weights).task.logits(ASKED.x), left.task.logits(ASKED.x))


def test_weights_are_kept_through_changes_and_files(tmp_path):
    def raw(n, weights=None):
        return FewShotClassifier().fit(Rows(X[:n]), Y[:n], sample_weight=weights)

    task = raw(8, COUNTS[:8])
    task.partial_fit(Rows(X[8:]), Y[8:], sample_weight=COUNTS[8:])
    at_once = raw(12, COUNTS)
    assert torch.equal(task.task.logits(ASKED.x), at_once.task.logits(ASKED.x))
    task.drop_class("class 2").undo()
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    for one in (task, again):
        assert torch.equal(one.task.logits(ASKED.x), at_once.task.logits(ASKED.x))
        later = one.add_class("class 0", Rows(X[:2] + 1))
        assert later.task.weights is not None and later.task.weights.tolist() == [*COUNTS, 1, 1]
    plain = raw(8).partial_fit(Rows(X[8:]), Y[8:], sample_weight=COUNTS[8:])
    assert plain.task.weights is not None and plain.task.weights.tolist() == [1] * 8 + COUNTS[8:]


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0], r"shape \[1\] and there are 12 examples"),
        ([-1.0] + [1] * 11, "-1 of example 0 is no weight"),
        ([1.0, float("nan")] + [1] * 10, "nan of example 1"),
        ([0] * 12, "every sample_weight is zero"),
        (["much"] * 12, "one number for each example"),
        (2.0, r"shape \[\]"),
    ],
)
def test_what_is_no_weight_is_said(weights, says):
    known = fitted("centroid", X, Y)
    before = known.task
    with pytest.raises(InputError, match=says):
        known.fit(Rows(X), Y, sample_weight=weights)
    assert known.task is before


def test_a_learner_that_does_not_weigh_says_so():
    learner = ProtoNet(encoder=MLP(inputs=X.shape[1], hidden=(8,), outputs=4))
    with pytest.raises(InputError, match="ProtoNet counts every example as one"):
        FewShotClassifier.of(learner, learner.init(0)).fit(Rows(X), Y, sample_weight=COUNTS)
