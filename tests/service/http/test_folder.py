"""Which pictures of a folder or zip are read: asked by the page, answered as Python and the command line do it."""

import io
import zipfile

import pytest

from innerloop.service.limits import Limits
from innerloop.tasks import zips
from tests.service.http.test_zipped import FILES, packed
from tests.service.served import PHOTOS, WORDS, serving

READ = [
    {"index": 0, "name": "cat/1.png", "label": "cat"},
    {"index": 1, "name": "cat/deep/2.bmp", "label": "cat"},
    {"index": 2, "name": "dog/3.png", "label": "dog"},
    {"index": 3, "name": "dog/4.gif", "label": "dog"},
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store"), limits=Limits(examples=5)) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS})
        client.post("/api/tasks", json={"name": "words", "source": WORDS})
        yield client


def ask(client, field, content, called="pics", task="t", **params):
    return client.post(f"/api/tasks/{task}/folder", files={field: (called, content)}, params=params)


def named(*names: str) -> bytes:
    return "\n".join(names).encode()


def test_a_folder_is_read_by_its_names(client):
    inside = [name.removeprefix("pics/") for name in FILES]
    answer = ask(client, "names", named(*inside))
    assert answer.json() == {"files": READ, "notices": ["pics: left out 1 file: dog/notes.txt (not a picture)"]}


def test_a_zip_is_read_by_its_directory_alone(client):
    content = packed()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        directory = content[archive.start_dir :]
    for sent in (content, directory):
        answer = ask(client, "zip", sent, "p.zip")
        assert answer.json() == {"files": READ, "notices": ["p.zip: left out 1 file: dog/notes.txt (not a picture)"]}


def test_formats_that_are_not_sent_are_left_out(client):
    answer = ask(client, "names", named("a/1.png", "b/2.jp2", "b/3.jpg")).json()
    assert [one["name"] for one in answer["files"]] == ["a/1.png", "b/3.jpg"]
    assert answer["notices"] == ["pics: left out 1 file: b/2.jp2 (send JPEG, PNG, WebP, GIF, BMP or TIFF)"]


def test_without_classes_all_pictures_are_read(client):
    answer = ask(client, "names", named("a.png", "b/c.jpg", "b/d.txt"), classes=False).json()
    assert [(one["name"], one["label"]) for one in answer["files"]] == [("a.png", None), ("b/c.jpg", None)]
    answer = ask(client, "names", named("a.png", "b.jpg")).json()
    assert [one["label"] for one in answer["files"]] == [None, None], "nor where there are no folders"
    answer = ask(client, "names", named("a.png", "b/c.jpg")).json()
    assert [one["label"] for one in answer["files"]] == ["b"]
    assert answer["notices"] == ["pics: left out 1 file: a.png (beside the folders of classes)"]


@pytest.mark.parametrize(
    ("field", "content", "status", "says"),
    [
        ("zip", b"no zip", 422, "pics is no zip that can be read"),
        ("zip", packed({"../1.png": b"x"}), 422, "leads out of it"),
        ("zip", packed({}), 422, "pics holds no picture"),
        ("names", b"", 422, "pics holds no picture"),
        ("names", b"\xff", 400, "not UTF-8"),
        ("names", named("a.txt"), 422, "pics holds no picture: left out 1 file: a.txt (not a picture)"),
        ("names", named("a/1.png", "b/x.txt"), 422, "class 'b' of pics has no picture in it"),
        ("names", named("a/b/1.png", "a/c/2.png"), 422, "pics holds one folder, 'a'"),
        ("names", named(*(f"a/{i}.png" for i in range(6))), 413, "pics holds 6 pictures"),
        ("names", named(f"{'x' * 101}/1.png"), 422, "has 101 characters"),
        ("files", b"", 422, "send one file"),
    ],
)
def test_what_cannot_be_read_is_one_message(client, field, content, status, says):
    answer = ask(client, field, content)
    assert answer.status_code == status and says in answer.json()["error"], answer.text


def test_too_many_names_and_another_kind_of_task_are_refused(client, monkeypatch):
    monkeypatch.setattr(zips, "COUNT", 3)
    assert ask(client, "names", b"\n" * 3).status_code == 413
    assert "taught texts" in ask(client, "names", b"a.png", task="words").json()["error"]
    assert client.post("/api/tasks/t/folder", json={}).status_code == 415
