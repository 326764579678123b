"""Tasks and runs on the Hugging Face Hub, by its own client against a small Hub in this process."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.cli.main import main
from innerloop.core.errors import FailedError, InputError
from innerloop.engine import load
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.shared import digest, pull, push
from innerloop.fewshot.sources import SHIPPED

pytest.importorskip("huggingface_hub", reason="this needs innerloop[hub]")
from tests.apps.ner.tiny import ASKED, SENTENCES, TAGS, endings
from tests.fewshot.hub_server import Hub, Repository, hub

__all__ = ["endings"]

PICTURES = np.random.default_rng(0).integers(0, 255, (6, 28, 28), np.uint8)


@pytest.fixture(scope="module")
def server():
    with hub() as made:
        yield made


@pytest.fixture
def there(server, tmp_path, monkeypatch) -> Hub:
    """A Hub without repositories, a cache without files, and a user who is logged in."""
    from huggingface_hub import constants

    address, held = server
    held.__init__()
    for name, value in {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.chdir(tmp_path)
    return held


def files(held, repository="me/shapes", branch="main"):
    kept = held.repositories[repository]
    return kept.commits[kept.names[branch]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A file of two classes."""
    path = tmp_path_factory.mktemp("task") / "shapes.fewshot"
    FewShotClassifier.load("kanji-protonet").fit(PICTURES, ["plus", "a|b", "plus", "a|b", "plus", "a|b"]).save(path)
    return path


@pytest.fixture
def run(tmp_path):
    """A run folder with what training and testing leave."""
    folder = tmp_path / "run"
    shutil.copytree(SHIPPED / "kanji-protonet", folder)
    (folder / "card.md").unlink()
    for name in ("state.pt", "report.html"):
        (folder / name).write_bytes(b"x")
    return folder


def test_a_file_comes_back_and_answers_the_same(there, kept, tmp_path):
    pushed = push(kept, "me/shapes")
    assert there.repositories["me/shapes"].private, "examples are in it"
    assert sorted(files(there)) == [".gitattributes", "README.md", "shapes.fewshot"]
    pulled = pull("me/shapes", tmp_path / "mine.fewshot", revision=pushed.revision, sha256=pushed.sha256)
    assert pulled.revision == pushed.revision and pulled.sha256 == pushed.sha256
    asked = PICTURES[::-1]
    ours, theirs = (FewShotClassifier.load(path).predict_proba(asked) for path in (kept, pulled.path))
    assert np.array_equal(ours, theirs)
    assert pull("me/shapes").path == "shapes.fewshot" and (tmp_path / "shapes.fewshot").is_file()


def test_its_card_says_what_it_is(there, kept):
    import yaml

    pushed = push(kept, "me/shapes", message="the first")
    card = files(there)["README.md"].decode()
    about = yaml.safe_load(card.split("---")[1])
    assert about["library_name"] == "innerloop" and about["pipeline_tag"] == "image-classification"
    assert "`kanji-protonet` was taught 6 examples of 2 classes" in card
    assert r"| a\|b | 3 |" in card and pushed.sha256 in card and "innerloop pull me/shapes" in card


def test_a_tagger_comes_back_with_a_card_of_its_types(there, endings, tmp_path):
    tagger = FewShotTagger(tagging="bio").fit([" ".join(words) for words in SENTENCES], TAGS)
    push(tagger.save(tmp_path / "t.fewshot"), "me/tagger")
    card = files(there, "me/tagger")["README.md"].decode()
    assert "A few-shot tagger of words" in card and '"token-classification"' in card and "| person | 2 |" in card
    again = FewShotTagger.load(pull("me/tagger", tmp_path / "again.fewshot").path)
    assert again.predict([ASKED]) == tagger.predict([ASKED])


def test_a_run_comes_back_without_its_state(there, run, tmp_path):
    from tests.service.live import train

    train(tmp_path / "tested", steps=2)
    pushed = push(tmp_path / "tested", "me/tested", public=True)
    assert not there.repositories["me/tested"].private
    assert "state.pt" in pushed.left_out and "state.pt" not in files(there, "me/tested")
    card = files(there, "me/tested")["README.md"].decode()
    assert "meta-trained on `shapes` for 2 steps" in card and "±" in card and "tested on unseen tasks" in card
    pulled = pull("me/tested", revision="main")
    assert pulled.path == "tested" and (tmp_path / "tested").is_dir(), "the same is there already"
    again = pull("me/tested", tmp_path / "again")
    (learner, params), (ours, own) = load(again.path), load(tmp_path / "tested")
    assert learner == ours and all(np.array_equal(params[k], own[k]) for k in own)
    push(run, "me/tested", public=True)
    assert "metrics.jsonl" not in files(there, "me/tested"), "what is of the run before goes"
    with pytest.raises(InputError, match="tested is there and is something else: give another --out"):
        pull("me/tested")
    assert FewShotClassifier.load(pull("me/tested", tmp_path / "shipped").path).fit(PICTURES, list("ababab"))


def test_content_that_changed_under_a_pinned_hash_is_refused(there, kept, tmp_path, monkeypatch):
    first = push(kept, "me/shapes")
    repository = there.repositories["me/shapes"]
    repository.names["v1"] = first.revision
    assert pull("me/shapes", "a.fewshot", revision="v1", sha256=first.sha256).revision == first.revision
    other = FewShotClassifier.load(kept).partial_fit(PICTURES[:1], ["third"])
    other.save(tmp_path / "shapes.fewshot")
    second = push(tmp_path / "shapes.fewshot", "me/shapes")
    repository.names["v1"] = second.revision
    with pytest.raises(InputError, match=r"at v1 has the sha256 .* its content changed since that was pinned"):
        pull("me/shapes", "b.fewshot", revision="v1", sha256=first.sha256)
    assert not (tmp_path / "b.fewshot").exists()
    assert pull("me/shapes", "b.fewshot", revision=first.revision, sha256=first.sha256)
    # A Hub whose history was written anew: another content under the very same commit.
    repository.commits[first.revision] = repository.commits[second.revision]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "fresh"))
    with pytest.raises(InputError, match="its content changed since that was pinned"):
        pull("me/shapes", "c.fewshot", revision=first.revision, sha256=first.sha256)


def test_what_is_public_or_of_another_program_takes_nothing(there, kept, tmp_path):
    for name, content in (("me/open", {"README.md": b"mine"}), ("me/bert", {"config.json": b"{}", "README.md": b""})):
        there.repositories[name] = Repository(False)
        there.repositories[name].commit(content, "main")
    before = {name: files(there, name) for name in there.repositories}
    assert main(["push", str(kept), "me/open"]) == 2
    with pytest.raises(InputError, match="'me/open' is there and is public, so that everybody could read"):
        push(kept, "me/open")
    with pytest.raises(InputError, match="'me/bert' holds another program's model"):
        push(kept, "me/bert", public=True)
    assert {name: files(there, name) for name in there.repositories} == before
    push(kept, "me/open", public=True)
    assert "shapes.fewshot" in files(there, "me/open")


def test_pickles_are_refused_by_name(there, tmp_path):
    there.repositories["me/old"] = Repository(False)
    there.repositories["me/old"].commit({"config.json": b"{}", "pytorch_model.bin": b"x"}, "main")
    with pytest.raises(InputError, match=r"has its weights in pytorch_model\.bin, which can run code"):
        pull("me/old")
    assert not any("pytorch_model.bin" in asked for asked in there.asked), "it is never fetched"
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"model.pt is pickled, which can run code"):
        push("model.pt", "me/shapes")


@pytest.mark.parametrize(
    "content, said",
    [
        ({"README.md": b""}, "holds neither a .fewshot file nor a run"),
        ({"a.fewshot": b"x", "b.fewshot": b"y"}, "holds a.fewshot, b.fewshot: one .fewshot file"),
        ({"a.fewshot": b"x"}, "is not an adapted task, or is damaged"),
        ({"config.json": b"{", "params.safetensors": b""}, "config.json is not JSON"),
    ],
)
def test_what_is_neither_task_nor_run_is_refused(there, content, said, tmp_path):
    there.repositories["me/odd"] = Repository(False)
    there.repositories["me/odd"].commit(content, "main")
    with pytest.raises(InputError, match=said):
        pull("me/odd", "out")
    assert not (tmp_path / "out").exists()


def test_wrong_names_and_places_are_refused(there, kept, run, tmp_path):
    for name in ("shapes", "a/b/c", "../x/y", "me/sha pes", ""):
        with pytest.raises(InputError, match="is no name of the Hugging Face Hub: give user/name"):
            pull(name)
    with pytest.raises(InputError, match="there is no 'me/none' on the Hub that you may see"):
        pull("me/none")
    push(kept, "me/shapes")
    with pytest.raises(InputError, match="'me/shapes' has no revision 'v9'"):
        pull("me/shapes", revision="v9")
    with pytest.raises(InputError, match="a hash has 64 digits"):
        pull("me/shapes", sha256="abc")
    (tmp_path / "shapes.fewshot").write_text("mine")
    with pytest.raises(InputError, match=r"shapes\.fewshot is there and is something else"):
        pull("me/shapes")
    assert (tmp_path / "shapes.fewshot").read_text() == "mine"
    (run / "params.safetensors").unlink()
    with pytest.raises(InputError, match="is not a run folder"):
        push(run, "me/shapes")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes.txt is no .fewshot file"):
        push("notes.txt", "me/shapes")
    with pytest.raises(InputError, match="does not exist"):
        push("nothing.fewshot", "me/shapes")


def test_a_hub_that_fails_or_lets_nobody_in_is_said(there, kept, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")
    with pytest.raises(InputError, match=r"the Hub does not let you \(401\): log in"):
        push(kept, "me/shapes")
    there.broken = True
    with pytest.raises(FailedError, match="the Hub"):
        push(kept, "me/shapes")


def test_without_a_network_the_cache_is_read(there, kept, tmp_path, monkeypatch):
    pushed = push(kept, "me/shapes")
    pull("me/shapes", "first.fewshot")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = list(there.asked)
    assert pull("me/shapes", "again.fewshot", sha256=pushed.sha256).revision == pushed.revision
    with pytest.raises(InputError, match="'me/other' is not in the cache of this machine"):
        pull("me/other")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, and pushing needs the Hub"):
        push(kept, "me/shapes")
    assert there.asked == before


def test_the_command_line_says_what_to_pin(server, there, kept, tmp_path, capsys):
    assert main(["push", str(kept), "me/shapes"]) == 0
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[:3] == ["innerloop", "pull", "me/shapes"] and main([*line[1:], "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == "shapes.fewshot" and said["sha256"] == digest({"shapes.fewshot": kept})
    # By the variables that the Hub's own client reads.
    env = os.environ | {"HF_ENDPOINT": server[0], "HF_HUB_CACHE": str(tmp_path / "other"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "innerloop.cli.main", "pull", "me/shapes", "--out", "off.fewshot"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "unset HF_HUB_OFFLINE" in done.stderr
