import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks.log_mel import LogMel, contrast, energies, levels, of_sounds
from innerloop.tasks.wav import Sound
from tests.tasks.sounds import tone

HOW = LogMel()


def row(samples: np.ndarray, rate: int = 16_000, how: LogMel = HOW) -> torch.Tensor:
    return how.row(Sound(np.atleast_2d(samples), rate), "a.wav")


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean difference of two pictures, of 255."""
    return float((a.float() - b.float()).abs().mean())


def test_energies_are_those_of_a_transform_that_is_written_out():
    x, rate = tone(900, 8_000, 0.05, 0), 8_000
    window, places = 200, np.arange(200)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * places / window)
    waves = np.exp(-2j * np.pi * np.outer(places, np.arange(201)) / 400)
    spectrum = np.abs((x[40:240] * taper) @ waves / taper.sum()) ** 2
    mel = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 3_800 / 700), 12)
    hz, edges = np.arange(201) * 20, 700 * (10 ** (mel / 2595) - 1)
    bank = [np.interp(hz, edges[i : i + 3], [0, 1, 0], 0, 0) for i in range(10)]
    own = energies(torch.from_numpy(x), rate, 10, 3_800)[1]
    np.testing.assert_allclose(own, np.array(bank) @ spectrum, rtol=1e-9, atol=1e-15)


def test_a_tone_lies_in_its_band_and_a_rising_one_climbs():
    level = levels(row(tone(900)).float() / 255)[0]
    assert int(level.mean(1).argmax()) == int(levels(row(tone(880)).float() / 255)[0].mean(1).argmax())
    places = [int(levels(row(tone(pitch)).float() / 255)[0].mean(1).argmax()) for pitch in (300, 900, 2_400)]
    assert places[0] > places[1] > places[2]  # high pitch is on top
    climbing = levels(row(tone(None)).float() / 255)[0, :, 3:-3].argmax(0)
    assert climbing[0] > climbing[-1] + 10 and bool((climbing.diff() <= 1).all())


@pytest.mark.parametrize(
    "other",
    [
        lambda x: 0.01 * x,
        lambda x: x + 0.3,
        lambda x: np.concatenate([np.zeros(9_000), x]),
        lambda x: np.stack([x, x]),
        lambda x: np.stack([x, -x]),
    ],
    ids=["level", "offset", "silence", "stereo", "a wrongly wired pair"],
)
def test_what_a_picture_does_not_depend_on(other):
    x = tone(None)
    assert apart(row(x), row(other(x))) < 3


def test_a_picture_hardly_depends_on_the_rate():
    pictures = [row(tone(None, rate), rate) for rate in (16_000, 22_050, 44_100, 48_000)]
    assert max(apart(pictures[0], other) for other in pictures[1:]) < 2
    assert apart(pictures[0], row(tone(900))) > 10
    how = LogMel(highest=3_500)
    assert apart(row(tone(None, 8_000), 8_000, how), row(tone(None, 48_000), 48_000, how)) < 2


def test_silence_is_trimmed_in_noise_as_well():
    noise = 0.005 * np.random.default_rng(0).normal(size=40_000)
    short, long = tone(None), tone(None, silence=0.8)
    assert apart(row(short + noise[: len(short)]), row(long + noise[: len(long)])) < 6


def test_of_a_long_sound_the_loudest_part_is_shown():
    loud, quiet = tone(900, seconds=1.0, silence=0), 0.1 * tone(300, seconds=1.0, silence=0)
    assert apart(row(np.concatenate([quiet, loud, quiet])), row(loud)) < 4


def test_contrast_has_an_inverse():
    level = torch.rand(2, 1, 8, 8)
    row = contrast(level)
    assert bool(((row >= 0) & (row <= 1)).all())
    torch.testing.assert_close(levels(row), level)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros(1), "1 samples"),
        (np.zeros(0), "0 samples"),
        (np.zeros(9_000), "silence"),
        (np.full(9_000, 0.3), "silence"),
    ],
)
def test_what_is_refused(samples, said):
    with pytest.raises(InputError, match=said) as error:
        row(samples)
    assert "a.wav" in str(error.value)


@pytest.mark.parametrize("wrong", [{"size": 4}, {"size": 40.0}, {"seconds": 0}, {"highest": 1e9}])
def test_what_cannot_be_asked_for(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LogMel(**wrong)


def test_pictures_and_sounds_are_told_by_how_they_were_made():
    assert of_sounds({"size": 40, "seconds": 1.0, "highest": 7600.0})
    assert not of_sounds({"size": 28, "channels": 1, "ink": "auto"}) and not of_sounds(None)
