import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.tasks import handwriting

LINE = np.stack([np.linspace(0.2, 0.8, 5), np.full(5, 0.5)], 1)


def test_absolute_and_relative_paths_agree():
    absolute = handwriting.parse_path("M10,20C20,20 30,30 30,40S20,60,10,60", 100)
    relative = handwriting.parse_path("m10,20c10,0 20,10 20,20s-10,20-20,20", 100)
    assert (
        np.allclose(absolute, relative) and absolute[0].tolist() == [0.1, 0.2] and absolute[-1].tolist() == [0.1, 0.6]
    )
    assert np.isclose(absolute[:, 0].max(), 0.3, atol=0.01)  # the reflected control point bulges to the right


def test_curve_is_the_cubic():
    points = handwriting.parse_path("M0,0C0,1 1,1 1,0", 1)
    t = np.linspace(0, 1, len(points))
    assert np.allclose(points[:, 1], 3 * t * (1 - t)) and np.allclose(points[:, 0], t**2 * (3 - 2 * t))


@pytest.mark.parametrize("path", ["M1,2L3,4", "M1,2C3,4", "1,2"])
def test_other_commands_are_refused(path):
    with pytest.raises(InputError, match="cannot read the stroke"):
        handwriting.parse_path(path, 1)


def test_fitted_shapes_forget_size_and_place():
    small = handwriting.fitted([LINE * 0.3 + 0.6])
    assert np.allclose(small[0], handwriting.fitted([LINE])[0])


def test_drawings_are_bright_on_black():
    image = handwriting.draw([LINE], 28, 2.0)
    assert image.dtype == np.uint8 and image[14, 14] > 200 and image[0].max() == 0 and image[20].max() == 0
    assert handwriting.draw([LINE], 28, 1.0).sum() < image.sum()


def test_writers_differ_and_repeat_themselves():
    first, again = (handwriting.write([LINE, LINE[:, ::-1]], 65, 8, 28) for _ in range(2))
    assert np.array_equal(first, again) and len({image.tobytes() for image in first}) == 8
    other = handwriting.write([LINE, LINE[:, ::-1]], 66, 8, 28)
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first, handwriting.write([LINE, LINE[:, ::-1]], 65, 8, 28, seed=1))
