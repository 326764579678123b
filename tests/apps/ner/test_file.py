"""The file of a tagger: it comes back as it was, says what it is of, and damage of any kind is one message."""

import copy
import json

import pytest
import safetensors.torch
import torch

from innerloop.apps.ner import file
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.core.errors import InputError
from innerloop.encoders.base import Pin
from innerloop.encoders.whitening import Whitening
from innerloop.fewshot.classifier import FewShotClassifier
from tests.apps.ner.tiny import ANSWER, ASKED, FEATURES, SENTENCES, TAGS, Endings, endings

__all__ = ["endings"]
pytestmark = pytest.mark.usefixtures("endings")


@pytest.fixture
def saved(tmp_path):
    """A file of three versions, with all that a file may hold."""
    whitening = Whitening(mean=torch.full((FEATURES,), 0.01), map=torch.eye(FEATURES))
    tagger = FewShotTagger(tagging="bio", whiten=whitening, names=True)
    tagger.fit([" ".join(words) for words in SENTENCES], TAGS).add([["Zebra"]], [["B-animal"]]).drop("animal")
    return tagger, tagger.save(tmp_path / "t.fewshot")


def content(path):
    opened = safetensors.safe_open(path, framework="pt")
    return safetensors.torch.load_file(path), json.loads(opened.metadata()["innerloop"])


def rewrite(path, tensors, about):
    safetensors.torch.save_file(tensors, path, {"innerloop": json.dumps(about)})
    return path


def test_it_comes_back_with_all_its_versions(saved):
    tagger, path = saved
    again = FewShotTagger.load(path)
    asked = [ASKED, *SENTENCES, []]
    assert again.predict([ASKED]) == tagger.predict([ASKED]) == [ANSWER]
    assert [one.to_json() for one in again.answers(asked)] == [one.to_json() for one in tagger.answers(asked)]
    assert again.show() == tagger.show() and again.sentences_ == tagger.sentences_
    for one in (again, tagger):
        one.undo().add([SENTENCES[0]], [["O"] * 7])
    assert again.types_ == tagger.types_ == ["animal", "org", "person", "place"]
    assert again.answers(asked) == tagger.answers(asked)
    again.save(path)
    assert FewShotTagger.load(path).types_ == again.types_
    with pytest.raises(InputError, match="was changed by another since it was read"):
        tagger.save(path)


def test_files_of_the_two_kinds_say_how_they_are_asked(saved, tmp_path):
    _, path = saved
    with pytest.raises(InputError, match=r"is a tagger: ask it with `innerloop ner predict`, not a classifier"):
        FewShotClassifier.load(path)
    other = FewShotClassifier().fit(torch.eye(4), list("aabb")).save(tmp_path / "c.fewshot")
    with pytest.raises(InputError, match=r"is a classifier: ask it with `innerloop predict`, not a tagger"):
        FewShotTagger.load(other)
    tensors, about = content(path)
    for change, says in (({"kind": "oracle"}, "of kind 'oracle'"), ({"version": 9}, "is of version 9")):
        with pytest.raises(InputError, match=says):
            FewShotTagger.load(rewrite(path, tensors, about | change))
    with pytest.raises(InputError, match=r"there is no file .*innerloop ner adapt"):
        FewShotTagger.load(tmp_path / "none.fewshot")


def test_the_encoder_must_be_the_one_it_was_taught_with(saved, monkeypatch):
    _, path = saved
    tensors, about = content(path)
    monkeypatch.setattr(Endings, "features", 5)
    with pytest.raises(InputError, match="makes 5 now: adapt again"):
        file.read(path)
    monkeypatch.undo()
    with pytest.raises(InputError, match="'minilm:3', which there is none of"):
        file.read(path, encoder=lambda name: None)
    about["source"]["pin"] = {"content": "0", "revision": None}
    one = Endings()
    one.pin = Pin(content="1")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="taught with other weights than 'minilm:3' has now"):
        file.read(rewrite(path, tensors, about), encoder=lambda name: one)


DAMAGES = {
    "rows are few": lambda t, a: t.update(rows=t["rows"][1:].contiguous()),
    "rows are NaN": lambda t, a: t["rows"].fill_(torch.nan),
    "rows are wide": lambda t, a: t.update(rows=torch.cat([t["rows"]] * 2, 1)),
    "rows are float32": lambda t, a: t.update(rows=t["rows"].float()),
    "no rows": lambda t, a: t.pop("rows"),
    "a name's row is short": lambda t, a: t.update({"names.0": t["names.0"][:1].clone()}),
    "no whitening": lambda t, a: t.pop("whitening.map"),
    "no sentences": lambda t, a: a.update(sentences=[]),
    "a word is a number": lambda t, a: a["sentences"][0]["words"].__setitem__(0, 7),
    "a word out of its text": lambda t, a: a["sentences"][0]["offsets"].__setitem__(0, [900, 901]),
    "an example in no sentence": lambda t, a: a["examples"].__setitem__(0, [99, 0, 1]),
    "an entity out of its sentence": lambda t, a: a["examples"].__setitem__(-1, [0, 0, 99]),
    "an example of text": lambda t, a: a["examples"].__setitem__(0, ["0", 0, 1]),
    "no history": lambda t, a: a.update(history=[]),
    "a type that is none": lambda t, a: a["history"][0]["added"].__setitem__(1, [["x"], 3, 1]),
    "entities without their sentence": lambda t, a: a["history"][0].update(added=a["history"][0]["added"][1:]),
    "a tau of text": lambda t, a: a["decoding"].update(tau="much"),
    "a count that is none": lambda t, a: a["decoding"]["transitions"].update(same=-3),
    "another head": lambda t, a: a["source"].update(head="hydra"),
    "foreign code": lambda t, a: a.update(learner={"class": "os:system", "fields": {}}),
    "a learner that is none": lambda t, a: a.update(learner={"class": "innerloop.nn.as_is:AsIs", "fields": {}}),
    "no source": lambda t, a: a.pop("source"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_one_message_that_names_the_file(saved, damage):
    _, path = saved
    tensors, about = copy.deepcopy(content(path))
    damage(tensors, about)
    with pytest.raises(InputError, match=r"t\.fewshot"):
        FewShotTagger.load(rewrite(path, tensors, about))
