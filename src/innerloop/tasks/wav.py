"""WAV files as samples: whole numbers of 8 to 32 bits, floats, and the two codecs of telephones (A-law, mu-law)."""

import struct
from typing import IO, NamedTuple

import numpy as np

from innerloop.core.errors import InputError

LONGEST = 60.0
"""Seconds of a sound that is read as one example: longer ones are refused by their header, before they are read."""
MOST = 24_000_000
"""Samples of all its channels together, likewise: a minute in mono at 384 kHz, or in eight channels at 48 kHz."""
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_OTHERS = {
    **{0x02: "Microsoft ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x40: "G.721 ADPCM", 0x50: "MPEG", 0x55: "MP3"},
    **{0x161: "Windows Media Audio", 0xF1AC: "FLAC"},
}
_WIDTHS = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8), _A_LAW: (1,), _MU_LAW: (1,)}
"""Bytes of a sample in each codec that is read."""
_UNKNOWN = (0, 0x7FFFF000, 0xFFFFFFFF)
"""Lengths that programs write who do not know, while they stream, how much is to come."""
_LOUDEST = 2.0**32
"""Floats that are louder are damaged: some programs write whole numbers of 32 bits as floats, and none more."""
_CHANNELS = 32
_RATES = (4_000, 384_000)


class Sound(NamedTuple):
    """What was recorded."""

    samples: np.ndarray
    """[channels, n] float64, full scale is 1."""
    rate: int
    """Samples a second."""


class Header(NamedTuple):
    """What a file says of itself."""

    codec: int
    channels: int
    rate: int
    width: int
    """Bytes of a sample of one channel."""
    start: int
    """Byte at which samples begin."""
    length: int
    """Bytes of samples."""

    @property
    def total(self) -> int:
        """Samples of all channels together."""
        return self.length // self.width


def header(file: IO[bytes], name: str) -> Header:
    """Read what comes before the samples.

    Args:
        file: Of a WAV, at its beginning.
        name: What errors call it.

    Raises:
        InputError: It is no WAV, is cut short, or of a codec that is not read.
    """
    end = file.seek(0, 2)
    file.seek(0)
    top = file.read(12)
    if top[:4] in (b"RF64", b"RIFX") or (top[:4] == b"RIFF" and top[8:12] != b"WAVE") or top[:4] != b"RIFF":
        raise InputError(f"{name} is no WAV that can be read; convert it to WAV (PCM) or FLAC, or remove it")
    form: tuple[int, int, int, int] | None = None
    place = 12
    while place + 8 <= end:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        place += 8
        if kind == b"fmt ":
            form = _format(file.read(min(length, 40)), name)
        elif kind == b"data":
            if form is None:
                break
            rest = end - place
            length = rest if length in _UNKNOWN else length
            if length > rest:
                raise InputError(
                    f"{name} is cut short: its header announces {length:,} bytes of sound, and {rest:,} are there; "
                    "replace or remove it"
                )
            codec, channels, rate, width = form
            return Header(codec, channels, rate, width, place, length - length % (width * channels))
        place += length + length % 2  # chunks begin at even places
    raise InputError(f"{name} is cut short or damaged: it has no sound in it; replace or remove it")


def samples(file: IO[bytes], name: str) -> Sound:
    """Read a WAV.

    Args:
        file: Of the WAV.
        name: What errors call it.

    Raises:
        InputError: As of `header`, it lasts longer than `LONGEST`, has more than `MOST` samples, or values that no
            recording has.
    """
    about = header(file, name)
    check_length(about.total, about.channels, about.rate, name)
    file.seek(about.start)
    values = _values(file.read(about.length), about.codec, about.width)
    if about.codec == _FLOAT and not (np.abs(values) <= _LOUDEST).all():
        raise InputError(f"{name} holds NaN, infinite or far too large samples; replace or remove it")
    return Sound(values.reshape(-1, about.channels).T, about.rate)


def check_length(count: int, channels: int, rate: int, name: str) -> None:
    """Refuse a sound that is too long to be one example, or has too many samples.

    Args:
        count: Samples of all channels together.
        channels: How many.
        rate: Samples a second of each.
        name: What errors call it.

    Raises:
        InputError: It does.
    """
    seconds = count / (channels * rate)
    if seconds > LONGEST:
        long = f"{seconds / 60:,.1f} minutes" if seconds >= 120 else f"{seconds:.1f} seconds"
        raise InputError(
            f"{name} lasts {long}, and an example has at most {LONGEST:g} seconds: cut out what is to be learned"
        )
    if count > MOST:
        raise InputError(
            f"{name} has {count:,} samples in {channels} channels, and {MOST:,} are read at most: mix them to one, or "
            "convert it to a lower rate"
        )


def check_rate(rate: int, name: str) -> None:
    """Refuse rates at which nothing is recorded that could be heard.

    Raises:
        InputError: It is one of them.
    """
    if not _RATES[0] <= rate <= _RATES[1]:
        raise InputError(
            f"{name} has {rate:,} samples a second; {_RATES[0]:,} to {_RATES[1]:,} are read: record or convert it anew"
        )


def _format(content: bytes, name: str) -> tuple[int, int, int, int]:
    """Codec, channels, rate and bytes of a sample."""
    if len(content) < 16:
        raise InputError(f"{name} is cut short: its header ends too early; replace or remove it")
    codec, channels, rate, _, block, bits = struct.unpack("<HHIIHH", content[:16])
    if codec == _EXTENSIBLE and len(content) >= 26:
        (codec,) = struct.unpack("<H", content[24:26])
    if codec not in _WIDTHS:
        raise InputError(
            f"{name} is a WAV of {_OTHERS.get(codec, f'the codec {codec:#06x}')}, which is not read: convert it to "
            "plain WAV (PCM) or FLAC"
        )
    width = block // channels if channels and block % channels == 0 else (bits + 7) // 8
    if not 1 <= channels <= _CHANNELS or width not in _WIDTHS[codec]:
        raise InputError(
            f"{name} has {channels} channels of {bits} bits; 1 to {_CHANNELS} channels are read, of 8, 16, 24 or 32 "
            "bits, or of floats of 32 or 64: convert it"
        )
    check_rate(rate, name)
    return codec, channels, rate, width


def _values(content: bytes, codec: int, width: int) -> np.ndarray:
    """Samples from -1 to 1, float64."""
    if codec == _FLOAT:
        return np.frombuffer(content, f"<f{width}").astype(np.float64)
    if codec == _MU_LAW:
        return _TELEPHONE[_MU_LAW][np.frombuffer(content, np.uint8)]
    if codec == _A_LAW:
        return _TELEPHONE[_A_LAW][np.frombuffer(content, np.uint8)]
    if width == 1:  # the only whole numbers without a sign
        return (np.frombuffer(content, np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        parts = np.frombuffer(content, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts  # as the upper three of four bytes, so that the sign stays one
        return wide.view("<i4")[:, 0] / 2.0**31
    return np.frombuffer(content, f"<i{width}") / 2.0 ** (8 * width - 1)


def _mu_law() -> np.ndarray:
    """[256] what each byte stands for (ITU-T G.711)."""
    code = ~np.arange(256) & 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -size, size) / 2.0**15


def _a_law() -> np.ndarray:
    """[256] what each byte stands for (ITU-T G.711)."""
    code = np.arange(256) ^ 0x55
    exponent, size = code >> 4 & 7, ((code & 0x0F) << 4) + 8
    size = np.where(exponent > 0, (size + 0x100) << np.maximum(exponent - 1, 0), size)
    return np.where(code & 0x80, size, -size) / 2.0**15


_TELEPHONE = {_MU_LAW: _mu_law(), _A_LAW: _a_law()}
