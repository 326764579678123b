"""Which examples to label next."""

import json

import numpy as np
import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.suggestions import suggest
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
    assert [one.index for one in suggest(classifier, pool, 100)][:2] == [one.index for one in chosen]
    assert sorted(one.index for one in suggest(classifier, pool, 100)) == list(range(7))


@pytest.mark.parametrize(("x", "n", "says"), [(np.zeros((2, 8)), 0, "1 or more"), (np.zeros((0, 8)), 1, "no example")])
def test_what_cannot_be_asked_is_refused(x, n, says):
    with pytest.raises(InputError, match=says):
        suggest(FewShotClassifier().fit(*drawn([0, 1], 3)), x, n)


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
