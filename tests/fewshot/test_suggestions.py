"""Which examples to label next."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.core.rules import RULES
from innerloop.evaluate.acquisition import doubt
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.suggestions import most_telling, suggest
from tests.core.test_predictive import Committee
from tests.fewshot.test_evaluation import drawn


def test_no_two_that_are_alike_and_none_that_is_known():
    x, y = drawn([0, 1], 5)
    classifier = FewShotClassifier().fit(x, y)
    between = (x[:1] + x[-1:]) / 2
    other = np.full((1, 8), 3.0, np.float32)
    pool = np.concatenate([x[:3], between, between, between, other])
    chosen = suggest(classifier, pool, 2)
    assert {one.index for one in chosen} == {3, 6}
    assert chosen[0].probability >= chosen[0].second_probability
    assert suggest(classifier, pool, 100) == chosen  # the others were taught already, or are the same as one of them
    places = most_telling(classifier.task, classifier.rows(pool), torch.tensor(classifier.predict_proba(pool)), 100)
    assert (places.known, places.again) == (3, 2) and "3 examples were taught already" in places.notices[0]
    assert "2 examples were given more than once" in places.notices[1]
    assert suggest(classifier, x, 3) == []


@pytest.mark.parametrize(("x", "n", "says"), [(np.zeros((2, 8)), 0, "1 or more"), (np.zeros((0, 8)), 1, "no example")])
def test_what_cannot_be_asked_is_refused(x, n, says):
    with pytest.raises(InputError, match=says):
        suggest(FewShotClassifier().fit(*drawn([0, 1], 3)), x, n)


def test_members_that_disagree_are_asked_about_and_a_single_one_is_refused():
    learner = Committee()
    classifier = FewShotClassifier.of(learner, learner.init(0)).fit(*drawn([0, 1, 2], 2))
    pool, _ = drawn([0, 1, 2], 10, seed=3)
    task, p = classifier.task, torch.tensor(classifier.predict_proba(pool))
    logits = learner.predictive(task.source.params, task.adapted, torch.tensor(pool)).outputs
    each = logits.double().softmax(-1)
    expected = torch.special.entr(each.mean(0)).sum(-1) - torch.special.entr(each).sum(-1).mean(0)
    assert torch.allclose(doubt("mutual_information", p, each), expected) and expected.min() >= 0
    assert doubt("mutual_information", p, each[:1].expand(3, -1, -1)).abs().max() < 1e-12
    by = {rule: [one.index for one in suggest(classifier, pool, 3, rule)] for rule in RULES}
    assert by["mutual_information"] != by["margin"] and len(by["entropy"]) == 3
    alone = Committee(members=1)
    for one in (FewShotClassifier(), FewShotClassifier.of(alone, alone.init(0))):
        with pytest.raises(InputError, match="has one: ask by margin or entropy, or take a learner of several members"):
            suggest(one.fit(*drawn([0, 1], 3)), pool, 3, "mutual_information")
    with pytest.raises(
        InputError, match="by margin, entropy, mutual_information, and got 'entrpoy'; did you mean 'entropy'"
    ):
        suggest(classifier, pool, 3, "entrpoy")  # pyright: ignore[reportArgumentType]


def test_uncertainty_is_none_where_one_class_is_sure_and_most_where_all_are_alike():
    p = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    assert doubt("margin", p).tolist() == pytest.approx([0, 1, 0.9, 1])
    assert doubt("entropy", p).tolist() == pytest.approx([0, math.log(2), 1.0889, math.log(3)], abs=1e-4)


def test_the_command(tmp_path, capsys):
    file = str(FewShotClassifier().fit(*drawn([0, 1], 3)).save(tmp_path / "t.fewshot"))
    x, _ = drawn([0, 1, 2], 4, seed=5)
    np.savez(tmp_path / "x.npz", x=x)
    assert main(["suggest", file, str(tmp_path / "x.npz"), "--n", "3", "--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["row"] for one in entries] == [s.index for s in suggest(FewShotClassifier.load(file), x, 3)]
    assert main(["suggest", file, str(tmp_path / "x.npz"), "--n", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["suggest", file, str(tmp_path / "nothing.npz")]) == 2
    assert main(["suggest", file, str(tmp_path / "x.npz"), "--n", "0"]) == 2
    assert main(["suggest", file, str(tmp_path / "x.npz"), "--by", "mutual_information"]) == 2
    assert "learner of several members" in capsys.readouterr().err
    assert main(["suggest", file, str(tmp_path / "x.npz"), "--by", "entropy", "--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = suggest(FewShotClassifier.load(file), x, by="entropy")
    assert [one["row"] for one in entries] == [one.index for one in expected]


def test_a_folder_that_is_empty_holds_one_picture_twice_or_pictures_of_the_support(tmp_path, capsys):
    g = np.random.default_rng(0)
    for folder, name in (("support/circle", "circle"), ("support/cross", "cross"), ("pool", "square")):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(2):
            strokes = g.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(strokes).save(tmp_path / folder / f"{name}{i}.png")
    assert main(["adapt", "kanji-protonet", str(tmp_path / "support"), "--out", str(tmp_path / "t.fewshot")]) == 0
    capsys.readouterr()
    shutil.copy(tmp_path / "pool" / "square0.png", tmp_path / "pool" / "again.png")
    shutil.copy(tmp_path / "support" / "cross" / "cross0.png", tmp_path / "pool" / "known.png")
    assert main(["suggest", str(tmp_path / "t.fewshot"), str(tmp_path / "pool"), "--json"]) == 0
    said = capsys.readouterr()
    names = {Path(json.loads(line)["path"]).name for line in said.out.splitlines()}
    assert names == {"again.png", "square1.png"}
    assert "1 example was taught already" in said.err and "1 example was given more than once" in said.err
    assert main(["suggest", str(tmp_path / "t.fewshot"), str(tmp_path / "support" / "cross")]) == 2
    assert "2 examples were taught already" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["suggest", str(tmp_path / "t.fewshot"), str(tmp_path / "empty")]) == 2
