"""What the service refuses: one message, the right status, and nothing changed."""

import json

import pytest

from innerloop.service.limits import Limits
from tests.service.served import PHOTOS, WORDS, picture, refused, serving, teach

TASK = "/api/tasks/t"


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path / "store") as made:
        yield made


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A service with a task that nothing changes."""
    with serving(tmp_path_factory.mktemp("known") / "store") as made:
        teach(made)
        yield made


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/api/tasks", {"name": "../x", "source": WORDS}, 422, "name"),
        ("/api/tasks", {"name": "x" * 65, "source": WORDS}, 422, "name"),
        ("/api/tasks", {"name": "t", "source": WORDS}, 409, "already"),
        ("/api/tasks", {"name": "u", "source": "/etc/passwd"}, 422, "offers no source"),
        ("/api/tasks", {"name": "u", "source": "os:system"}, 422, "offers no source"),
        ("/api/tasks", {"name": "u", "source": WORDS, "reject": 2}, 422, "reject"),
        ("/api/tasks", {"name": "u", "source": WORDS, "reject": "a"}, 422, "reject"),
        ("/api/tasks", {"name": "u", "source": WORDS, "pickle": 1}, 422, "pickle"),
        ("/api/tasks", [1], 422, "valid dictionary"),
        ("/api/tasks/nix/predict", {"texts": ["a"]}, 404, "no task 'nix'"),
        (f"{TASK}/predict", {}, 422, "one of texts, features, images and sounds"),
        (f"{TASK}/predict", {"texts": ["a"], "images": ["a"]}, 422, "texts and images"),
        (f"{TASK}/predict", {"texts": []}, 422, "no example"),
        (f"{TASK}/predict", {"texts": ["a"] * 257}, 413, "257 examples"),
        (f"{TASK}/predict", {"texts": "a"}, 422, "texts"),
        (f"{TASK}/predict", {"texts": [1]}, 422, "texts.0"),
        (f"{TASK}/predict", {"texts": ["  "]}, 422, "texts[0] is empty"),
        (f"{TASK}/predict", {"texts": ["a" * 10_001]}, 422, "10,001 characters"),
        (f"{TASK}/predict", {"features": [[1.0] * 7]}, 422, "7 numbers"),
        (f"{TASK}/predict", {"features": [[1e39] * 8]}, 422, "features[0][0]"),
        (f"{TASK}/predict", {"features": [[True] * 8]}, 422, "features"),
        (f"{TASK}/predict", {"features": [[1.0] * 70_000]}, 422, "70,000 numbers"),
        (f"{TASK}/predict", {"images": ["aaaa"]}, 422, "takes texts, not pictures"),
        (f"{TASK}/predict", {"images": ["%%%"]}, 422, "not base64"),
        (f"{TASK}/examples", {"examples": [{"label": "", "text": "a"}]}, 422, "examples[0].label is empty"),
        (f"{TASK}/examples", {"examples": [{"label": "x" * 101, "text": "a"}]}, 422, "101 characters"),
        (f"{TASK}/examples", {"examples": [{"label": "a\u0000b", "text": "a"}]}, 422, "control"),
        (f"{TASK}/examples", {"examples": [{"label": "\ud800", "text": "a"}]}, 422, "half of a character"),
        (f"{TASK}/examples", {"examples": [{"label": "none of these", "text": "a"}]}, 422, "choose another"),
        (f"{TASK}/examples", {"examples": [{"label": "a"}]}, 422, "one of text, features, image and sound"),
        (f"{TASK}/examples", {"examples": [{"label": "a", "text": "b", "features": [1]}]}, 422, "text and features"),
        (f"{TASK}/examples", {"examples": [{"label": 1, "text": "b"}]}, 422, "examples.0.label"),
        (f"{TASK}/undo", {"to": -1}, 422, "to"),
        (f"{TASK}/undo", {"to": 99}, 404, "no version 99"),
        (f"{TASK}/undo", {"to": 1.5}, 422, "to"),
        (f"{TASK}/feedback", {"label": "a"}, 422, "either the prediction"),
        (f"{TASK}/feedback", {"label": "a", "prediction": "x", "text": "y"}, 422, "either the prediction"),
        (f"{TASK}/feedback", {"label": "a", "prediction": "gone"}, 410, "send the example itself"),
    ],
)
def test_what_is_refused(known, path, body, status, said):
    before = known.get(TASK).json()
    content = json.dumps(body)
    refused(known.post(path, content=content, headers={"Content-Type": "application/json"}), status, said)
    assert known.get(TASK).json() == before


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"", "application/json", 400, "not JSON"),
        (b"\xff\xfe", "application/json", 400, "not JSON"),
        (b"[" * 200_000, "application/json", 400, "nested too deeply"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "nested too deeply"),
        (b'{"features": [[NaN]]}', "application/json", 400, "NaN is not a number of JSON"),
        (b'{"features": [[1e999]]}', "application/json", 422, "NaN, infinite"),
        (b'{"features": [[' + b"9" * 5000 + b"]]}", "application/json", 400, "not JSON"),
        (b'{"features": [[' + b"9" * 400 + b"]]}", "application/json", 422, "features"),
        (b"texts=a", "application/x-www-form-urlencoded", 415, "multipart/form-data or application/json"),
        (b"\x80\x04K\x01.", "application/python-pickle", 415, "multipart"),
        (b"nothing", "multipart/form-data", 400, "boundary"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 422, "no example"),
    ],
)
def test_bodies_that_cannot_be_read(known, content, kind, status, said):
    answer = known.post(f"{TASK}/predict", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]


def test_uploads_that_cannot_be_read_leave_everything_as_it_was(client):
    client.post("/api/tasks", json={"name": "p", "source": PHOTOS})
    good = ("files", ("good.png", picture()))
    damaged = picture("red", (300, 300), "JPEG")[:900]
    for bad, label, status, said in (
        (("files", ("notes.png", b"a text")), "a", 422, ("notes.png is no picture",)),
        (("files", ("cut.jpg", damaged)), "a", 422, ("cut.jpg is damaged",)),
        (("files", ("huge.png", picture("red", (9000, 9000)))), "a", 413, ("huge.png has 9,000 x 9,000 pixels",)),
        (("files", ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")), "a", 422, ("x.svg is no picture",)),
        (("files", ("../../etc/passwd\x00", b"")), "a", 422, ("no picture",)),
        (("other", ("a.png", picture())), "a", 422, ("a field 'other'",)),
        (good, ["a", "b", "c"], 422, ("2 files and 3 labels",)),
        (good, "\x07", 422, ("control",)),
    ):
        answer = client.post("/api/tasks/p/examples", files=[good, bad], data={"label": label})
        refused(answer, status, *said)
        assert client.get("/api/tasks/p").json()["version"] == 0
    refused(
        client.post("/api/tasks/p/examples", data={"label": "a"}, files=[("files", (None, b"x"))]), 422, "not a file"
    )
    many = [("files", (f"{i}.png", picture())) for i in range(300)]
    assert client.post("/api/tasks/p/predict", files=many).status_code in (400, 413)


def test_ten_thousand_classes_are_refused(tmp_path):
    with serving(tmp_path / "store", limits=Limits(batch=20_000)) as client:
        teach(client)
        examples = [{"label": f"c{i}", "text": "a"} for i in range(10_000)]
        refused(client.post(f"{TASK}/examples", json={"examples": examples}), 422, "at most 1,000 classes")
        assert client.get(TASK).json()["version"] == 1
