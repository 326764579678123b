import io
import struct

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.tasks.wav import Sound, header, samples
from tests.tasks.sounds import packed, tone, wav


def read(content: bytes) -> Sound:
    return samples(io.BytesIO(content), "a.wav")


@pytest.mark.parametrize(
    ("kind", "error"), [("u1", 1e-2), ("i2", 1e-4), ("i3", 1e-6), ("i4", 1e-8), ("f4", 1e-6), ("f8", 0)]
)
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_every_width(kind, error, rate):
    left, right = tone(300, rate), tone(900, rate)
    sound = read(wav(np.stack([left, right], 1), rate, kind))
    assert sound.rate == rate and sound.samples.shape == (2, len(left))
    np.testing.assert_allclose(sound.samples, [left, right], atol=error)


def test_an_extensible_header_and_chunks_between():
    content = wav(tone())
    form = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 4, 1) + b"\0" * 14
    chunks = b"LIST" + struct.pack("<I", 3) + b"odd\0" + b"fmt " + struct.pack("<I", len(form)) + form + content[36:]
    np.testing.assert_array_equal(read(content[:12] + chunks).samples, read(content).samples)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_stream_whose_length_nobody_knew(length):
    """As ffmpeg and eSpeak NG write it to a pipe."""
    content = wav(tone())
    data = content[44:]
    np.testing.assert_array_equal(read(packed(data, 16_000, 1, 2, 1, length)).samples, read(content).samples)


@pytest.mark.parametrize(
    ("codec", "bytes_", "values"),
    [(7, [0xFF, 0x00, 0x80, 0xE0], [0, -32124, 32124, 372]), (6, [0xD5, 0xAA, 0x2A, 0x55], [8, 32256, -32256, -8])],
)
def test_the_codecs_of_telephones(codec, bytes_, values):
    """Against the tables of ITU-T G.711, in 16 bits."""
    sound = read(packed(bytes(bytes_), 8_000, 1, 1, codec))
    np.testing.assert_array_equal(sound.samples[0] * 2**15, values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no WAV"),
        (b"These are words, not a sound." * 9, "no WAV"),
        (b"RIFF\0\0\0\0WAVE", "cut short"),
        (wav(tone())[:-100], "announces 16,000 bytes of sound, and 15,900 are there"),
        (packed(bytes(64), 16_000, 1, 1, 0x11), "IMA ADPCM"),
        (packed(bytes(64), 16_000, 1, 1, 2), "Microsoft ADPCM"),
        (packed(bytes(64), 16_000, 1, 1, 0x1234), "0x1234"),
        (packed(bytes(64), 1_000, 1, 2, 1), "1,000 samples a second"),
        (packed(bytes(64), 16_000, 0, 2, 1), "0 channels"),
        (wav(np.array([0.1, np.nan, 0.2]), kind="f4"), "NaN"),
        (wav(tone() * 1e30, kind="f4"), "far too large"),
    ],
)
def test_what_is_refused(content, said):
    with pytest.raises(InputError, match=said) as error:
        read(content)
    assert "a.wav" in str(error.value)


def test_two_hours_are_refused_by_the_header(tmp_path):
    """The file is a hole on the disk: reading it would take 230 MB."""
    content = packed(b"", 16_000, 1, 2, 1, 2 * 3600 * 32_000)
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 2 * 3600 * 32_000)
    with path.open("rb") as file, pytest.raises(InputError, match=r"lasts 120\.0 minutes"):
        samples(file, "long.wav")
    with path.open("rb") as file:
        assert header(file, "long.wav").total == 7200 * 16_000


def test_too_many_samples_are_refused_by_the_header(tmp_path):
    content = packed(b"", 192_000, 8, 2, 1, 20 * 192_000 * 16)
    path = tmp_path / "wide.wav"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 20 * 192_000 * 16)
    with path.open("rb") as file, pytest.raises(InputError, match="30,720,000 samples in 8 channels, and 24,000,000"):
        samples(file, "wide.wav")
