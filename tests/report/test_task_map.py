"""The map of classes as a page and as a picture."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from innerloop.core.errors import InputError
from innerloop.evaluate.task_map import task_map
from innerloop.report.task_map import write_task_map
from tests.evaluate.test_task_map import blobs, ring


@pytest.fixture
def mapped():
    hard = torch.zeros(2, 8, dtype=torch.float64)
    return task_map(blobs(ring(6)), blobs(torch.cat([ring(3), hard]), split="<b>test</b>"))


def test_a_page_shows_the_numbers_and_the_hardest_first(tmp_path, mapped):
    path = write_task_map(tmp_path / "map.html", mapped, dataset="<i>rings</i>", features="pixels", command="again")
    page = path.read_text()
    assert "&lt;i&gt;rings" in page and "<i>rings" not in page and "<b>test" not in page
    assert all(f"{value:.2f}" in page for value in (mapped.difficulty, mapped.novelty, mapped.help))
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "") and "again" in page
    places = [page.index(f"test&lt;/b&gt;-{i}</th>") for i in range(5)]
    assert max(places[3:]) < min(places[:3])


def test_a_picture_is_drawn_and_the_same_again(tmp_path, mapped):
    for name in ("a.png", "b.PNG"):
        write_task_map(tmp_path / name, mapped, dataset="rings", features="pixels", command=None)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.png", "b.PNG"))
    assert first == second
    picture = imread(io.BytesIO(first))
    assert picture.shape[0] > 300 and np.ptp(picture[..., :3]) > 0.5


def test_other_files_are_refused(tmp_path, mapped):
    with pytest.raises(InputError, match=r"\.html or as \.png"):
        write_task_map(tmp_path / "map.svg", mapped, dataset="rings", features="pixels", command=None)
    assert not list(tmp_path.iterdir())
