"""What the first examples of a task decide holds for all others: ink, photographs, the unit of numbers."""

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.encoders.base import Kind
from innerloop.fewshot import examples
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.reading import Reading
from innerloop.fewshot.sources import Source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.images import ink_of, scan
from innerloop.tasks.pool import from_rows
from tests.problems import inputs

HOW = {"size": 28, "channels": 1, "ink": "auto"}


def encoded(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def drawing(seed: int, edge: int = 0, paper: int = 240, ink: int = 20, shape: tuple[int, int] = (40, 40)) -> bytes:
    """A few strokes, in the middle of the picture; `edge` pixels around it are as dark as ink."""
    g = np.random.default_rng(seed)
    values = np.full(shape, paper, np.uint8)
    for _ in range(4):
        a, b = g.integers(8, 24, 2)
        values[a : a + 2, b : b + 10] = ink
    return encoded(np.pad(values, edge, constant_values=min(paper, ink)))


def photograph(seed: int) -> bytes:
    """Patches of every colour."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return encoded(np.repeat(np.repeat(patches, 8, 0), 8, 1))


def classifier() -> FewShotClassifier:
    return FewShotClassifier.of(NearestCentroid(), {}, preprocessing=HOW)


def reading(task: FewShotClassifier) -> Reading:
    return task._fitted().source.reading


@pytest.mark.parametrize(
    ("picture", "ink"),
    [
        (drawing(0), "dark"),
        (drawing(0, edge=4), "dark"),
        (drawing(0, edge=4, shape=(36, 90)), "dark"),
        (drawing(0, paper=15, ink=230), "light"),
        (drawing(0, edge=6, paper=15, ink=230), "light"),
        (encoded(np.pad(np.full((30, 30), 30, np.uint8), 3, constant_values=250)), "dark"),  # a filled square
        (encoded(np.full((20, 20), 255, np.uint8)), "dark"),
        (encoded(np.zeros((1, 1), np.uint8)), "light"),
    ],
)
def test_the_paper_tells_the_ink_also_inside_of_a_dark_edge(picture, ink):
    assert ink_of([scan(picture, 28)]) == ink


def test_most_of_the_pictures_decide_and_one_of_another_kind_changes_nothing():
    odd = drawing(9, paper=15, ink=230)
    task = classifier().fit([*map(drawing, range(5)), odd], list("aabbcc"))
    assert reading(task) == Reading(ink="dark")
    rows = task._fitted().rows
    assert rows[0].float().mean() < 128 < rows[-1].float().mean()


def test_what_was_decided_is_kept_when_more_is_taught_and_in_the_file(tmp_path):
    task = classifier().fit([*map(drawing, range(4))], list("aabb"))
    light = [drawing(i, paper=15, ink=230) for i in range(8)]
    task.add_class("c", light)
    assert reading(task).ink == "dark"
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    assert reading(again) == reading(task)
    for company in ([], light, light * 3):
        assert np.array_equal(
            again.predict_proba([drawing(0, edge=4), *company])[0], task.predict_proba([drawing(0, edge=4)])[0]
        )


def test_arrays_decide_nothing_about_files_and_the_first_files_do():
    x = np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    task = classifier().fit(x, list("aabb"))
    assert reading(task) == Reading()
    alone = [task.rows([one]) for one in (drawing(0), drawing(1, paper=15, ink=230))]
    assert torch.equal(torch.cat(alone), task.rows([drawing(0), drawing(1, paper=15, ink=230)]))
    assert reading(task.add_class("c", [drawing(0)])).ink == "dark"


PICTURES = np.random.default_rng(0).integers(0, 256, (6, 1, 28, 28), dtype=np.uint8)
SAME = {
    "float32": PICTURES.astype(np.float32) / 255,
    "float64": PICTURES / 255,
    "float16": (PICTURES / 255).astype(np.float16),
    "tensor": torch.tensor(PICTURES),
    "list of tensors": list(torch.tensor(PICTURES) / 255),
}


@pytest.mark.parametrize("name", SAME)
def test_arrays_of_pictures_are_the_same_as_bytes_and_as_shares(name):
    task = classifier().fit(PICTURES, list("aabbcc"))
    expected = task.predict_proba(PICTURES)
    assert np.allclose(task.predict_proba(SAME[name]), expected, atol=1e-2 if name == "float16" else 1e-5)
    again = classifier().fit(SAME[name], list("aabbcc"))
    assert np.allclose(again.predict_proba(PICTURES), expected, atol=1e-2 if name == "float16" else 1e-5)


def test_pictures_of_truth_values_are_black_and_white():
    strokes = PICTURES > 128
    task = classifier().fit(strokes, list("aabbcc"))
    expected = task.predict_proba(strokes.astype(np.float32))
    assert np.array_equal(task.predict_proba(strokes), expected)
    assert np.array_equal(task.predict_proba(torch.tensor(strokes)), expected)
    assert np.allclose(task.predict_proba(np.uint8(255) * strokes), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (PICTURES.astype(np.float32), "these reach 255: divide by 255, or pass uint8"),
        (PICTURES.astype(np.float64) * (np.arange(6) == 5)[:, None, None, None], "these reach 255"),
        (PICTURES.astype(np.int64), "these reach 255"),
        (PICTURES.astype(np.uint16) * 257, "these reach 6.554e"),
        (PICTURES / 127.5 - 1, "these go down to -1: give them as they were before they were normalised"),
        ((PICTURES / 255 - 0.9206) / 0.2, "these go down to -4.603"),
        (PICTURES.astype(np.int8), "these go down to -128"),
    ],
)
def test_arrays_of_pictures_on_other_scales_are_refused(x, message):
    task = classifier().fit(PICTURES, list("aabbcc"))
    with pytest.raises(InputError, match=message):
        task.predict(x)
    with pytest.raises(InputError, match=message):
        classifier().fit(x, list("aabbcc"))


def test_a_photograph_among_drawings_is_refused_by_name(tmp_path, capsys):
    task = classifier().fit([*map(drawing, range(4))], list("aabb"))
    (tmp_path / "beach.png").write_bytes(photograph(0))
    with pytest.raises(InputError, match=r"beach\.png is a colour photograph, and this task was taught drawings"):
        task.predict([drawing(0), str(tmp_path / "beach.png")])
    with pytest.raises(InputError, match="picture 2 is a colour photograph"):
        classifier().fit([drawing(0), drawing(1), photograph(0), drawing(2)], list("aabb"))
    task.save(tmp_path / "t.fewshot")
    assert main(["predict", str(tmp_path / "t.fewshot"), str(tmp_path / "beach.png")]) == 2
    assert "is a colour photograph" in capsys.readouterr().err


def test_ink_of_any_colour_on_paper_of_any_colour_is_a_drawing():
    grey = np.asarray(Image.open(io.BytesIO(drawing(0)))).astype(int)[..., None]
    tinted = np.where(grey > 128, [250, 240, 190], [20, 40, 200]).astype(np.uint8)
    task = classifier().fit([*map(drawing, range(4))], list("aabb"))
    assert task.predict([encoded(tinted)])[0] == "a"


def test_a_task_that_was_taught_photographs_reads_all_pictures_as_they_are():
    task = classifier().fit([*map(photograph, range(4))], list("aabb"))
    assert reading(task) == Reading(ink="light", photographs=True)
    assert task.predict([photograph(0), drawing(0)])[0] == "a"


NUMBERS = np.array([[10, 0], [12, 1], [100, 0], [102, 1], [200, 0], [202, 1]])
TYPES = ("uint8", "int16", "int64", "uint16", "float32", "float64")


@pytest.mark.parametrize("taught", TYPES)
@pytest.mark.parametrize("asked", TYPES)
def test_numbers_are_the_same_numbers_in_every_type(taught, asked, tmp_path):
    task = FewShotClassifier().fit(NUMBERS.astype(taught), list("aabbcc"))
    assert reading(task).unit == 1
    again = FewShotClassifier.load(task.save(tmp_path / "t.fewshot"))
    expected = FewShotClassifier().fit(NUMBERS, list("aabbcc")).predict_proba(NUMBERS)
    for one in (task, again):
        assert np.array_equal(one.predict_proba(NUMBERS.astype(asked)), expected)


@pytest.mark.parametrize("wrong", [[[0.5, 1.0]], [[1.0, 0.0]], [[-1.0, 3.0]], [[256.0, 3.0]], [[3.5, 200.0]]])
def test_numbers_that_are_no_bytes_are_refused_where_an_earlier_release_was_taught_bytes(wrong):
    taught = Reading(unit=255)
    assert torch.equal(taught.numbers(torch.tensor(NUMBERS)), torch.tensor(NUMBERS, dtype=torch.uint8))
    with pytest.raises(InputError, match=r"numbers from 0 to 255 \(uint8\), and example 1 holds others"):
        taught.numbers(torch.tensor([[10.0, 0.0], *wrong]))


DOORS = {
    "array": lambda x, _: x,
    "list": lambda x, _: x.tolist(),
    "tensor": lambda x, _: torch.as_tensor(x.astype(np.int64) if x.dtype == np.uint16 else x),
    "table": lambda x, _: pytest.importorskip("pandas").DataFrame({"a": x[:, 0], "b": x[:, 1]}),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_are_the_same_through_every_door(door, dtype, tmp_path):
    expected = FewShotClassifier().fit(NUMBERS, list("aabbcc")).predict_proba(NUMBERS)
    x = DOORS[door](NUMBERS.astype(dtype), tmp_path)
    assert np.array_equal(FewShotClassifier().fit(x, list("aabbcc")).predict_proba(x), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_files_hold_the_same_numbers_in_every_type(dtype, tmp_path):
    np.savez(tmp_path / "x.npz", x=NUMBERS.astype(dtype), y=list("aabbcc"))
    rows, labels = examples.labelled(tmp_path / "x.npz", "features")
    lines = [json.dumps({"features": row, "label": label}) for row, label in zip(NUMBERS.tolist(), labels, strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    others, _ = examples.labelled(tmp_path / "x.jsonl", "features")
    expected = FewShotClassifier().fit(NUMBERS, labels).predict_proba(NUMBERS)
    for one in (rows, others):
        assert np.array_equal(FewShotClassifier().fit(one, labels).predict_proba(one), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_run_is_trained_on_the_same_numbers_in_every_type(dtype, tmp_path):
    np.savez(tmp_path / "x.npz", x=NUMBERS.astype(dtype), y=list("aabbcc"))
    pool = npz(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=NUMBERS.astype(float), y=list("aabbcc"))
    plain = npz(tmp_path / "x.npz")
    assert pool.digest == plain.digest and torch.equal(pool.as_float(pool.data), plain.as_float(plain.data))
    assert pool.as_float(pool.data).max() == 202


def test_a_pool_of_vectors_in_uint8_holds_them_as_they_are():
    pool = from_rows(torch.tensor(NUMBERS, dtype=torch.uint8), [0, 0, 1, 1, 2, 2], ["a", "b", "c"], dataset="d")
    sampler = EpisodeSampler(pool=pool, ways=3, shots=1, queries=1, seed=0)
    assert float(inputs(sampler.episodes(0, 9).support).max()) > 100


@pytest.mark.parametrize(
    "content",
    [{}, {"ink": "blue", "photographs": False, "unit": 1}, {"ink": None, "photographs": 1, "unit": 1}]
    + [{"ink": None, "photographs": False, "unit": unit} for unit in (2, True, "1")],
)
def test_a_file_that_decides_something_else_is_refused(content, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    file = str(FewShotClassifier().fit(NUMBERS, list("aabbcc")).save(tmp_path / "t.fewshot"))
    with safe_open(file, "pt") as opened:
        tensors, metadata = {k: opened.get_tensor(k) for k in opened.keys()}, opened.metadata()  # noqa: SIM118
    about = json.loads(metadata["innerloop"])
    about["source"]["reading"] = content
    save_file(tensors, file, metadata | {"innerloop": json.dumps(about)})
    with pytest.raises(InputError, match="is damaged"):
        FewShotClassifier.load(file)


def test_tensors_in_a_list_and_iterators_are_taken_and_sparse_ones_refused():
    x = torch.nn.Linear(3, 4)(torch.eye(3).repeat_interleave(2, 0) * 9)
    task = FewShotClassifier().fit(list(x), list("aabbcc"))
    assert np.array_equal(task.predict_proba(list(x)), task.predict_proba(x.detach()))
    assert task.add_class("d", iter(x[:1].detach().numpy())).classes_.tolist() == list("abcd")
    with pytest.raises(InputError, match="sparse tensor"):
        task.predict(torch.eye(4).to_sparse())
    with pytest.raises(InputError, match=r"shapes \[2\] and \[3\]"):
        task.predict([torch.zeros(2), torch.zeros(3)])


def test_large_whole_numbers_stay_the_classes_that_they_were():
    y = np.array([1, 1, 2**63 + 5, 2**63 + 5, 2**63 + 7, 2**63 + 7], dtype=np.uint64)
    assert FewShotClassifier().fit(NUMBERS, y).predict(NUMBERS).tolist() == y.tolist()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def in_palette(content: bytes) -> Image.Image:
    """The same colours under other numbers: as an array it would be another picture."""
    picture = opened(content).convert("L").convert("P")
    return picture.remap_palette([*range(255, -1, -1)])


@pytest.mark.parametrize(
    "picture", [opened, in_palette, lambda one: opened(one).convert("RGBA"), lambda one: opened(one).convert("F")]
)
def test_pictures_of_pillow_are_read_as_their_files_are(picture):
    files, y = [drawing(seed) for seed in range(4)], ["a", "a", "b", "b"]
    pictures = [picture(file) for file in files]
    of_files, of_pictures = classifier().fit(files, y), classifier().fit(pictures, y)
    assert reading(of_pictures).ink == reading(of_files).ink == "dark"
    assert torch.equal(of_pictures._fitted().rows, of_files._fitted().rows)
    assert (of_files.predict_proba(pictures) == of_files.predict_proba(files)).all()
    assert torch.equal(of_files.rows([pictures[0], files[1]]), of_files.rows(files[:2])), "beside files, too"


def test_pictures_of_pillow_are_turned_as_exif_says_and_only_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    opened(drawing(0, shape=(40, 60))).save(out, "JPEG", exif=exif, quality=95)
    task = classifier().fit([drawing(1), drawing(2)], ["a", "b"])
    # Of a JPEG this small nothing is left out in decoding.
    assert torch.equal(task.rows([opened(out.getvalue())]), task.rows([out.getvalue()]))


def test_pictures_of_pillow_that_cannot_be_taken_are_refused_with_the_way_out():
    task = classifier().fit([drawing(1), drawing(2)], ["a", "b"])
    broken = opened(drawing(0)[:-40])
    closed = opened(drawing(0))
    closed.close()
    for picture in (broken, closed):
        with pytest.raises(InputError, match=r"picture 1 cannot be read .*; replace or remove it"):
            task.predict([opened(drawing(3)), picture])
    with pytest.raises(InputError, match="X is one example; give a list"):
        task.predict(opened(drawing(0)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"takes arrays of numbers, not pictures of Pillow: give np\.asarray"):
        FewShotClassifier().fit([opened(drawing(0)), opened(drawing(1))], ["a", "b"])


def test_an_encoder_of_pictures_takes_pictures_of_pillow():
    class Grey:
        kind: Kind = "pictures"
        features: int | None = 64

        def encode(self, examples: Any) -> torch.Tensor:
            return torch.stack([scan(one, 8).row.flatten() / 255 for one in examples])

    source = Source(name="grey", learner=NearestCentroid(), params={}, kind="pictures", shape=(64,), encoder=Grey())
    files, y = [drawing(seed) for seed in range(4)], ["a", "a", "b", "b"]
    task = FewShotClassifier(source).fit(files, y)
    assert torch.equal(task.rows([in_palette(file) for file in files]), task.rows(files))
    assert task.predict([opened(files[0])]).tolist() == task.predict(files[:1]).tolist()


def test_pictures_with_channels_first_stay_so_where_every_side_is_3():
    x = np.arange(2 * 27, dtype=np.float32).reshape(2, 3, 3, 3) / 54
    task = FewShotClassifier.of(NearestCentroid(), {}, shape=(3, 3, 3)).fit(x, ["a", "b"])
    assert torch.equal(task.rows(x), torch.from_numpy(x))
