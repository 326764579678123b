"""`innerloop ner`: what its verbs print and write, and what they refuse."""

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
