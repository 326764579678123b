"""Zips of pictures over HTTP: taught and asked as a folder is in Python, bounded as a request is."""

import io
import warnings
import zipfile

import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.examples import labelled, unlabelled
from innerloop.service.limits import Limits
from tests.service.served import PHOTOS, picture, serving

FILES = {
    "pics/cat/1.png": picture("red"),
    "pics/cat/deep/2.bmp": picture("darkred", kind="BMP"),
    "pics/dog/3.png": picture("blue"),
    "pics/dog/4.gif": picture("navy", kind="GIF"),
    "pics/dog/notes.txt": b"milk",
    "__MACOSX/pics/cat/._1.png": b"x",
    "pics/.DS_Store": b"x",
}


def packed(files=FILES, kind=zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def broken(content: bytes) -> bytes:
    """With another byte in the last picture."""
    at = content.rindex(FILES["pics/dog/4.gif"][10:20])
    return content[:at] + b"?" + content[at + 1 :]


@pytest.fixture
def client(tmp_path):
    with serving(tmp_path) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS})
        yield client


def teach(client, content, name="p.zip", **data):
    return client.post("/api/tasks/t/examples", files={"files": (name, content)}, data=data)


def ask(client, content, **params):
    return client.post("/api/tasks/t/predict", files={"files": ("p.zip", content)}, params=params)


def counts(answer) -> dict[str, int]:
    return {one["label"]: one["examples"] for one in answer.json()["classes"]}


def test_a_zip_is_taught_and_answered_as_in_python(client, tmp_path):
    taught = teach(client, packed())
    assert taught.status_code == 201, taught.text
    assert counts(taught) == {"cat": 2, "dog": 2} and taught.json()["version"] == 1
    assert taught.json()["notices"] == ["p.zip: left out 1 file: dog/notes.txt (not a picture)"]
    (tmp_path / "p.zip").write_bytes(packed())
    task = FewShotClassifier(PHOTOS, allow=("tests",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task.fit(*labelled(tmp_path / "p.zip", "pictures"))
        (asked,) = unlabelled(tmp_path / "p.zip", "pictures")
    answers = ask(client, packed()).json()
    assert [one["file"] for one in answers["predictions"]] == [f"p.zip/{name}" for name in (
        "cat/1.png", "cat/deep/2.bmp", "dog/3.png", "dog/4.gif"
    )]  # fmt: skip
    assert answers["notices"] == taught.json()["notices"]
    for one, p in zip(answers["predictions"], task.predict_proba(asked).tolist(), strict=True):
        assert one["probabilities"] == pytest.approx(dict(zip(("cat", "dog"), p, strict=True)), abs=1e-6)


def test_a_label_is_that_of_all_its_pictures(client):
    assert counts(teach(client, packed({"a.png": picture("red"), "x/b.png": picture("blue")}), label="warm")) == {
        "warm": 2
    }


def test_of_a_damaged_zip_the_rest_is_read(client):
    content = broken(packed(kind=zipfile.ZIP_STORED))
    taught = teach(client, content)
    assert counts(taught) == {"cat": 2, "dog": 1}
    assert "dog/4.gif (damaged: BadZipFile: Bad CRC-32" in taught.json()["notices"][0]
    assert len(ask(client, content).json()["predictions"]) == 3


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"no zip", 422, "p.zip is no zip that can be read"),
        (packed({"a/1.png": b"x", "../b/2.png": b"x"}), 422, "p.zip holds '../b/2.png', which leads out of it"),
        (packed({"1.png": picture()}), 422, "p.zip has no sub-folders"),
        (packed({"a/b/1.png": picture(), "a/c/d/2.png": picture(), "e/f/g/3.txt": b"x"}), 422, "class 'e' of p.zip"),
        (packed({f"a/{i}.png": b"x" for i in range(9)}), 413, "p.zip holds 9 pictures, and 8 is most"),
        (packed({"a/1.png": bytes(4_000_001)}), 413, "p.zip unpacks to 4,000,001 bytes, and 4 MB is most"),
        (packed({"a/1.png": b"no picture", "b/2.png": picture()}), 422, "p.zip/a/1.png"),
        (packed({f"{'x' * 101}/1.png": picture()}), 422, "the folder of p.zip/x"),
    ],
)
def test_a_bad_zip_is_refused_whole(tmp_path, content, status, says):
    with serving(tmp_path, limits=Limits(batch=8, body_mb=1)) as client:
        client.post("/api/tasks", json={"name": "t", "source": PHOTOS})
        answer = teach(client, content)
        assert answer.status_code == status and says in answer.json()["error"], answer.text
        assert client.get("/api/tasks/t").json()["version"] == 0


def test_files_beside_a_zip_need_labels(client):
    both = [("files", ("p.zip", packed())), ("files", ("1.png", picture()))]
    answer = client.post("/api/tasks/t/examples", files=both)
    assert answer.status_code == 422 and "2 files and 0 labels" in answer.json()["error"]
