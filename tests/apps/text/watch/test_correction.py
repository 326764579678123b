import numpy as np
import pytest

from innerloop.apps.text.watch import correction
from innerloop.apps.text.watch.board import Board
from innerloop.apps.text.watch.correction import Confusion, adjusted, both, ends
from innerloop.apps.text.watch.tasks import Subject, check_pairs
from innerloop.core.errors import InputError
from innerloop.fewshot.calibrate import NONE
from innerloop.fewshot.classifier import FewShotClassifier
from tests.apps.text.watch.streams import MOODS, TOPICS, Known, settings

RATES = np.array([[0.8, 0.2], [0.1, 0.9]])


def test_inside_the_simplex_it_is_the_inverse_of_the_confusion():
    seen = np.array([300, 700])
    assert adjusted(seen, RATES) == pytest.approx(np.linalg.solve(RATES.T, seen / 1000), abs=1e-4)


def test_outside_it_the_nearest_shares_that_there_are():
    assert adjusted([1, 99], RATES) == pytest.approx([0, 1], abs=1e-3), "the inverse would say -0.13"


def test_pairs_are_corrected_by_both():
    joint = np.array([[0.3, 0.1], [0.2, 0.4]])
    other = np.array([[0.9, 0.1], [0.3, 0.7]])
    seen = both(RATES, other).T @ joint.ravel()
    assert adjusted(1e6 * seen, both(RATES, other)) == pytest.approx(joint.ravel(), abs=1e-3)


def test_intervals_hold_the_true_share_as_often_as_they_say():
    rng, held = np.random.default_rng(0), []
    shares = np.array([0.2, 0.8])
    for _ in range(60):
        known = Confusion(np.stack([rng.multinomial(40, row) for row in RATES]).astype(float))
        low, high = ends(rng.multinomial(200, shares @ RATES).tolist(), known)  # pyright: ignore[reportGeneralTypeIssues]
        held.append(low[0] <= shares[0] <= high[0])
    assert 0.88 <= np.mean(held) <= 1


def test_a_task_knows_its_confusion_from_examples_that_it_held_out():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    x = (rng.normal(size=(40, 4)) + y[:, None]).astype(np.float32)
    found = correction.measured(FewShotClassifier().fit(x, ["x", "y"] * 0 + ["xy"[i] for i in y]))
    assert found is not None and found.counts.sum(1).tolist() == [20, 20] and 0 < found.counts[0, 1] < 10
    assert found.rates.sum(1) == pytest.approx(1)
    assert correction.measured(FewShotClassifier().fit(x[[0, -1]], ["x", "y"])) is None


def test_none_of_these_is_a_class_of_its_own_where_it_may_be_answered():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 15)
    x = (rng.normal(size=(45, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    found = correction.measured(FewShotClassifier(reject=0.2).fit(x, ["xyz"[i] for i in y]))
    assert found is not None and found.counts.shape == (4, 4)
    assert found.counts[3] / found.counts[3].sum() == pytest.approx([0.2 / 3] * 3 + [0.8])


def test_a_board_has_every_label_and_every_pair():
    board = Board(Known.subjects, settings())
    assert [str(one) for one in board.series] == [*TOPICS, *MOODS, *(f"{t} × {m}" for t in TOPICS for m in MOODS)]
    counts = [1, 2, 3, 4, 5, 6]
    assert board.counted(counts) == [3, 7, 11, 9, 12, *counts]
    shares = board.adjusted(counts)
    known = [share for share in shares if share is not None]
    assert len(known) == len(shares) and sum(known[:3]) == pytest.approx(1) and sum(known[5:]) == pytest.approx(1)
    assert [interval is None for interval in board.ends(counts)] == [False] * 5 + [True] * 6


def test_charts_look_for_what_a_true_surge_looks_like_through_the_errors():
    blunt = Subject(name="t", answers=("x", "y"), confusion=Confusion(np.array([[60.0, 40], [40, 60]])), digest="")
    sharp = Subject(name="t", answers=("x", "y"), confusion=Confusion(np.array([[9999.0, 1], [1, 9999]])), digest="")
    unknown = Subject(name="t", answers=("x", NONE), confusion=None, digest="")
    odds = []
    for subject in (blunt, sharp, unknown):
        board = Board([subject], settings(charts=("cusum",)))
        for i in range(5):
            board.close(i, [500, 500])
        one = board.charts[0][0].design
        odds.append(one.surge / (1 - one.surge) / (one.base / (1 - one.base)))
    assert 1.1 <= odds[0] < 1.3 and odds[1] == pytest.approx(2, abs=0.01) and odds[2] == pytest.approx(2)


def test_two_tasks_with_too_many_pairs_are_refused_before_a_table_of_them_is_made():
    many = [Subject(name=name, answers=tuple(map(str, range(45))), confusion=None, digest="") for name in "ab"]
    with pytest.raises(InputError, match="45 x 45 pairs"):
        check_pairs(many)
    check_pairs(many[:1])
    check_pairs([many[0], Subject(name="c", answers=("x", "y"), confusion=None, digest="")])
