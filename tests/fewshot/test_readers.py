"""Whatever a file does, its reader gives one message with its name: mutated files, odd names, folders that are shut."""

import io
import json
import os
import random
import unicodedata
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.engine import checkpoint
from innerloop.fewshot import examples
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.tasks import cache, images
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.texts.splits import read_table

SEED = 20240614
_WORDS = (
    b"",
    b"\x00",
    b"\xff" * 4,
    b"\x80",
    b"NaN",
    b"1e999",
    b"-1",
    b"[" * 60,
    b'"',
    b"\n",
    b"\x00\x00\xff\xff",
    b"9" * 30,
)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or moved."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 2, 4, 16, 200)))
        kind = draw.randrange(5)
        if kind == 0:
            data[at:end] = draw.randbytes(end - at)
        elif kind == 1:
            data[at:end] = draw.choice(_WORDS)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        elif data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def _picture(kind: str, **more) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).save(out, kind, **more)
    return out.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    return exif.tobytes()


def _npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.arange(24.0).reshape(6, 4), y=np.array(list("aabbcc")))
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.png", "a/2.png", "b/3.bmp"):
            archive.writestr(name, _picture("BMP" if name.endswith("bmp") else "PNG"))
    return out.getvalue()


def _excel() -> bytes:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: pip install 'innerloop[tables]'")
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in (("text", "label"), ("hello there", 1), ("so, so", 2)):
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def _parquet() -> bytes:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'innerloop[tables]'")
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(arrow.table({"text": ["hello there", "so, so"], "label": ["a", "b"]}), out)
    return out.getvalue()


def _task(folder: Path) -> bytes:
    x = np.eye(3).repeat(2, 0)
    return FewShotClassifier(reject=0.2).fit(x, list("aabbcc")).save(folder / "task.fewshot").read_bytes()


def _config() -> bytes:
    return Path("tests/releases/0.1.0/runs/maml/config.json").read_bytes()


def _read_picture(path: Path) -> None:
    images.read_image(path, 10, 3)
    images.read_image(path, 10, 1)


def _read_task(path: Path) -> None:
    p = FewShotClassifier.load(path).predict_proba(np.eye(3))
    assert np.isfinite(p).all()


def _read_config(path: Path) -> None:
    checkpoint.read_config(path.parent)


def _read_cache(path: Path) -> None:
    arrays = cache.cached(None, path.stem, lambda: {"x": np.zeros(1), "y": np.zeros(1)}, ("x", "y"))
    assert {*arrays} >= {"x", "y"}


READERS = {
    "png": (lambda _: _picture("PNG"), "p.png", _read_picture),
    "jpeg": (lambda _: _picture("JPEG", exif=_exif()), "p.jpg", _read_picture),
    "webp": (lambda _: _picture("WEBP"), "p.webp", _read_picture),
    "gif": (lambda _: _picture("GIF"), "p.gif", _read_picture),
    "tiff": (lambda _: _picture("TIFF", compression="tiff_lzw"), "p.tif", _read_picture),
    "bmp": (lambda _: _picture("BMP"), "p.bmp", _read_picture),
    "zip": (lambda _: _zip(), "p.zip", lambda path: images.image_folder(path, size=8)),
    "npz": (lambda _: _npz(), "a.npz", npz),
    "examples npz": (lambda _: _npz(), "a.npz", lambda path: examples.labelled(path, "features")),
    "csv": (lambda _: b'text,label\nhello,a\n"so, so",b\n' * 3, "t.csv", lambda path: examples.labelled(path, "texts")),
    "utf-16": (
        lambda _: "text,label\nhello,a\nbye,b\n".encode("utf-16"),
        "t.csv",
        lambda path: examples.labelled(path, "texts"),
    ),
    "json": (
        lambda _: b'[{"text": "hello there", "label": "a"}, {"text": "so, so", "label": "b"}]',
        "t.json",
        lambda path: examples.labelled(path, "texts"),
    ),
    "gb18030": (
        lambda _: "文本,标签\n我的卡在哪里,卡\n卡还没有来,卡\n请退款给我,退款\n退款在哪里,退款\n".encode("gb18030"),
        "t.tsv",
        lambda path: examples.labelled(path, "texts"),
    ),
    "excel": (lambda _: _excel(), "t.xlsx", lambda path: examples.labelled(path, "texts")),
    "parquet": (lambda _: _parquet(), "t.parquet", lambda path: examples.labelled(path, "texts")),
    "table that is sent": (
        lambda _: b"text;label\nhello there;a\nso long;b\n",
        "t.csv",
        lambda path: [*examples.of_table(path.read_bytes(), path.name, "texts", say=lambda _: None)],
    ),
    "jsonl": (
        lambda _: b'{"features": [1, 2.5], "label": "a"}\n{"features": [3, 4], "label": "b"}\n',
        "t.jsonl",
        lambda path: examples.labelled(path, "features"),
    ),
    "training table": (lambda _: b"text,label\n" + b"x,a\ny,a\nz,b\nw,b\n", "t.csv", read_table),
    "fewshot": (_task, "t.fewshot", _read_task),
    "config": (lambda _: _config(), "config.json", _read_config),
    "cache": (lambda _: _npz(), "kept.npz", _read_cache),
}


def _fuzz(name: str, count: int, folder: Path, monkeypatch) -> None:
    make, file, read = READERS[name]
    content, path, draw = make(folder), folder / file, random.Random(f"{SEED} {name}")
    monkeypatch.setenv("INNERLOOP_CACHE", str(folder))
    for number in range(count):
        path.write_bytes(mutated(content, draw))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except InputError as error:
            message = str(error)
            assert path.name in message or str(folder) in message, (number, message)
            assert len(message) < 1_000, (number, message)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_message(name, tmp_path, monkeypatch):
    _fuzz(name, 100, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_one_message_each(name, tmp_path, monkeypatch):
    _fuzz(name, 2_000, tmp_path, monkeypatch)


def _folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (9, 9), 40 * i).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("shut", ["a", "."])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch, shut):
    root = _folders(tmp_path / "pics", "a", "b")

    def refusing(read):
        def refused(path="."):
            if Path(path) == root / shut:
                raise PermissionError(13, "Permission denied", str(path))
            return read(path)

        return refused

    for name in ("listdir", "scandir"):  # what pathlib reads folders by depends on the version of Python
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    for read in (images.image_folder, lambda path: examples.labelled(path, "pictures")):
        with pytest.raises(InputError, match=r"cannot read the folder .*pics.*Permission denied"):
            read(root)


def test_what_is_left_out_is_counted_and_said_in_one_line(tmp_path):
    root = _folders(tmp_path / "pics", "a", "b")
    for name in ("a/x.txt", "a/deeper/y.pdf", "b/none", "b/z.eps", "beside.png", "b/last.doc"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    for read in (images.image_folder, lambda path: examples.labelled(path, "pictures")):
        with pytest.warns(UserWarning, match="left out") as warned:
            read(root)
        (message,) = (str(one.message) for one in warned)
        assert message.startswith("left out 6 files: ") and message.endswith("and 1 more")
        assert "deeper/y.pdf (not a picture)" in message and "z.eps (not a picture)" in message


def test_names_that_look_the_same_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    root = _folders(tmp_path / "pics", composed, decomposed, "b")
    pool = images.image_folder(root)
    assert len(pool) == 2 and sorted(pool.counts.tolist()) == [2, 4]
    assert len(set(examples.labelled(root, "pictures")[1])) == 2
    task = FewShotClassifier().fit(np.eye(3), [composed, decomposed, "b"])
    assert task.examples_ == {"b": 1, composed: 2}
    assert task.add_class(decomposed, np.eye(3)[:1]).examples_ == {"b": 1, composed: 3}
    assert FewShotClassifier().fit(np.eye(2), [decomposed, "b"]).classes_.tolist() == ["b", decomposed]


def test_a_class_named_in_latin_1_can_be_written(tmp_path):
    root = _folders(tmp_path / "pics", "a")
    _folders(root, os.fsdecode("café".encode("latin-1")))
    assert images.image_folder(root).class_hash and images.image_folder(root).names == ("a", "café")
    assert {*examples.labelled(root, "pictures")[1]} == {"a", "café"}


@pytest.mark.parametrize("name", ["~cat.png", "~nobody-here/cat.png", "x" * 300, "a\0b", "\udce9.png"])
def test_odd_names_of_pictures_are_one_message(name):
    with pytest.raises(InputError):
        images.read_image(name, 9)
    with pytest.raises(InputError):
        images.image_files(name, size=9)
    with pytest.raises(InputError):
        list(examples.unlabelled(name, "texts"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint32, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_be_last_in_npz(tmp_path, dtype, channels):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8, channels))
    np.savez(tmp_path / "a.npz", x=x.astype(dtype), y=list("aabbcc"))
    pool = npz(tmp_path / "a.npz")
    assert pool.shape == (channels, 8, 8)
    assert np.array_equal(pool.data[0, 1], x[1].transpose(2, 0, 1))
    assert (str(pool.data.dtype) == "torch.uint8") == (dtype != np.float32)


def test_labels_in_bytes_are_their_words(tmp_path):
    np.savez(
        tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.array([b"cat", b"cat", "café".encode(), "café".encode("latin-1")])
    )
    assert npz(tmp_path / "a.npz").names == ("café", "cat")
    assert examples.labelled(tmp_path / "a.npz", "features")[1] == ["cat", "cat", "café", "café"]


def test_a_picture_with_transparency_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8, 8, 4), np.uint8), y=[0, 0, 1, 1])
    with pytest.raises(InputError, match=r"a\.npz.*transparency"):
        npz(tmp_path / "a.npz")


def rewritten(file: Path, change, tensors=None) -> Path:
    with safetensors.safe_open(file, framework="pt") as opened:
        about = json.loads(opened.metadata()["innerloop"])
    change(about)
    held = safetensors.torch.load_file(file) | (tensors or {})
    file.write_bytes(safetensors.torch.save(held, {"innerloop": json.dumps(about)}))
    return file


def _factory(name):
    def change(about):
        network = {"class": "innerloop.core.model:Module", "fields": {"factory": {"callable": name}}}
        about["learner"] = {"class": "innerloop.learners.metric.protonet:ProtoNet", "fields": {"encoder": network}}

    return change


def _nested(about):
    for _ in range(300):
        about["learner"] = {"tuple": [about["learner"]]}


def _steps(about):
    network = {"class": "innerloop.nn.mlp:MLP", "fields": {"inputs": 3, "outputs": 3}}
    fields = {"model": network, "inner_steps": 10**12}
    about["learner"] = {"class": "innerloop.learners.gradient.maml:MAML", "fields": fields}


def _wide(about):
    network = {"class": "innerloop.nn.mlp:MLP", "fields": {"inputs": 3, "outputs": 10**9}}
    about["learner"] = {"class": "innerloop.learners.metric.protonet:ProtoNet", "fields": {"encoder": network}}


@pytest.mark.parametrize(
    "change",
    [
        *(
            _factory(f"innerloop.{name}")
            for name in ("cli.main:main", "runs.quickstart:quickstart", "tasks.cache:folder")
        ),
        _factory("innerloop.core.errors:InputError"),
        _nested,
        _steps,
        _wide,
        lambda about: about["calibration"].update(temperature=float("nan")),
        lambda about: about["source"].update(preprocessing={"size": 10**9, "channels": 1, "ink": "auto"}),
        lambda about: about["source"].update(columns=["a"]),
    ],
)
def test_a_file_asks_for_nothing_absurd_and_runs_nothing(tmp_path, change, monkeypatch):
    ran = []
    monkeypatch.setattr("innerloop.cli.main.main", lambda *_: ran.append(1))
    file = FewShotClassifier().fit(np.eye(3), list("abc")).save(tmp_path / "t.fewshot")
    with pytest.raises(InputError, match=r"t\.fewshot"):
        FewShotClassifier.load(rewritten(file, change))
    assert not ran


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_a_file_learned_is_finite(tmp_path, value):
    file = FewShotClassifier().fit(np.eye(3), list("abc")).save(tmp_path / "t.fewshot")
    means = safetensors.torch.load_file(file)["adapted.centroids.means"]
    means[1, 1] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        FewShotClassifier.load(rewritten(file, lambda _: None, {"adapted.centroids.means": means}))
