"""`innerloop test --active`: labels bought one by one, and the report that shows them."""

import json
import shutil

import pytest

from innerloop.cli.main import main

TASKS = ["--queries", "5", "--episodes", "4", "--active", "3"]


@pytest.fixture
def own(run, tmp_path):
    """The run in a folder of its own, in which results are kept."""
    return shutil.copytree(run, tmp_path / "p")


def test_it_is_printed_kept_and_drawn(own, capsys):
    assert main(["test", str(own), *TASKS, "--missing", "1"]) == 0
    said = capsys.readouterr().out
    assert "entropy, against random" in said and "none in 1 of 3 classes" in said and str(own / "active-") in said
    page = (own / "report.html").read_text()
    assert "Labels bought one by one" in page and "after 3 labels, against random: margin" in page
    assert not list(own.glob("test-*.json"))
    assert main(["test", str(own), *TASKS, "--by", "entropy", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["rules"]) == ["random", "entropy"] and len(content["rules"]["entropy"]["curve"]) == 4
    assert content["labels"] == 3 and content["missing"] == 0 and content["episodes"] == 4
    assert len(list(own.glob("active-*.json"))) == 2


def test_what_cannot_be_is_refused(refused, own):
    words = ["test", own, *TASKS]
    refused(*words, "--by", "mutual_information", says="learner of several members")
    refused(*words, "--candidates", "900", says="buy labels of, not 900")
    refused(*words, "--missing", "2", says="cannot begin without a label")
    refused("test", own, "--missing", "1", says="say how many with --active")
