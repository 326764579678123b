"""A budget keeps a uniform sample of each class, and the same one on every road."""

import math

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.fewshot.budget import KEPT, sample
from innerloop.fewshot.classifier import FewShotClassifier

BUDGET = 3


def rows(first, count, label=0):
    """Examples that say which they are."""
    return np.stack([np.full(2, n + 1000 * label, np.float32) for n in range(first, first + count)])


def kept(classifier):
    task = classifier.task
    return {
        label: [int(task.rows[row, 0]) % 1000 for row in places] for label, places in task.history.members().items()
    }


def test_each_example_stays_with_the_same_probability():
    counts = np.zeros(12)
    classes = 3_000
    for label in range(classes):
        stays = sample(f"c{label}", BUDGET, [], 0, range(12))
        assert len(stays) == BUDGET and stays == sorted(stays)
        counts[stays] += 1
    expected = classes * BUDGET / 12
    # Chi-squared of 11 degrees of freedom (of sampling without replacement): 31 is exceeded once in a thousand.
    assert ((counts - expected) ** 2 / (expected * (1 - BUDGET / 12))).sum() * 11 / 12 < 31


def test_it_does_not_matter_how_many_come_at_once():
    at_once = sample("a", BUDGET, [], 0, range(40))
    stays = []
    for n in range(40):
        stays = sample("a", BUDGET, stays, n, [n])
    assert stays == at_once != sample("b", BUDGET, [], 0, range(40))


def test_a_task_that_is_taught_for_months_stays_as_large_as_it_was(tmp_path):
    classifier = FewShotClassifier(budget=BUDGET).fit(np.concatenate([rows(0, 5), rows(0, 5, 1)]), [0] * 5 + [1] * 5)
    sizes = []
    for n in range(5, 60):
        classifier.partial_fit(rows(n, 1, n % 2), [n % 2])
        sizes.append(len(classifier.task.rows))
    assert max(sizes) <= 2 * BUDGET + KEPT and sum(map(len, kept(classifier).values())) == 2 * BUDGET
    assert classifier.examples_ == {"0": 32, "1": 33}
    assert classifier.show()["budget"] == {
        "examples": 3,
        "kept": 6,
        "taught": 65,
        "reason": "at most 3 examples of a class stay, 6 of the 65 that were taught",
    }
    # The same examples all at once leave the same ones.
    zero, one = [*range(5), *range(6, 60, 2)], [*range(5), *range(5, 60, 2)]
    x = np.concatenate([np.stack([rows(n, 1)[0] for n in zero]), np.stack([rows(n, 1, 1)[0] for n in one])])
    at_once = FewShotClassifier(budget=BUDGET).fit(x, [0] * len(zero) + [1] * len(one))
    assert kept(at_once) == kept(classifier)
    file = classifier.save(tmp_path / "t.fewshot")
    again = FewShotClassifier.load(file)
    assert again.budget == BUDGET and kept(again) == kept(classifier) and again.examples_ == classifier.examples_
    assert kept(again.partial_fit(rows(60, 1), [0])) == kept(classifier.partial_fit(rows(60, 1), [0]))


def test_undo_brings_back_what_the_last_versions_had_and_refuses_earlier_ones_by_name():
    classifier = FewShotClassifier(budget=BUDGET).fit(
        np.concatenate([rows(0, 4), rows(0, 4, 1)]), ["a"] * 4 + ["b"] * 4
    )
    states = [kept(classifier)]
    for n in range(4, 36, 4):
        classifier.add(rows(n, 4), ["a"] * 4)
        states.append(kept(classifier))
    assert len({str(state) for state in states[-KEPT:]}) > 1  # examples came and went among the versions that stay
    for back in range(1, KEPT + 1):
        classifier.undo()
        assert kept(classifier) == states[-1 - back] and classifier.examples_["a"] == 36 - 4 * back
    classifier.redo()
    assert kept(classifier) == states[-KEPT]
    with pytest.raises(InputError, match="version 2 cannot come back: the budget of this task has let examples of it"):
        classifier.undo(to=2)
    # What comes next takes the numbers of what was undone.
    assert kept(classifier.add(rows(20, 4), ["a"] * 4)) == states[-KEPT + 1]
    assert classifier.history[0].let_go and classifier.history[0].action == "fit"
    classifier.add_class("c", rows(0, 1, 2)).drop("b").undo()
    assert kept(classifier)["b"] == states[-1]["b"]


@pytest.mark.parametrize("budget", [0, -1, 2.5, True, math.nan, "3"])
def test_a_budget_is_a_number_of_examples(budget):
    with pytest.raises(InputError, match="a budget is how many examples of each class stay, 1 or more"):
        FewShotClassifier(budget=budget).fit(rows(0, 2), [0, 1])
    with pytest.raises(InputError, match="leave out the budget"):
        FewShotClassifier(budget=2, tune_encoder=1).fit(rows(0, 2), [0, 1])
