"""Tiny WAV files, written out: tones of half a second with silence around them."""

import struct
from pathlib import Path

import numpy as np

PITCHES = {"low": 300.0, "middle": 900.0, "high": 2_400.0, "rising": None}
"""Hz of each class of `folder`; None: it climbs."""


def tone(pitch: float | None = 900.0, rate: int = 16_000, seconds: float = 0.3, silence: float = 0.1) -> np.ndarray:
    """[n] samples from -1 to 1; without a pitch it rises from 300 to 3,000 Hz."""
    t = np.arange(round(seconds * rate)) / rate
    phase = pitch * t if pitch else 300 * t + 2_700 / seconds * t**2 / 2
    quiet = np.zeros(round(silence * rate))
    return np.concatenate([quiet, 0.5 * np.sin(2 * np.pi * phase), quiet])


def wav(samples: np.ndarray, rate: int = 16_000, kind: str = "i2", codec: int | None = None) -> bytes:
    """The content of a WAV of [n] or [n, channels] samples: `u1`, `i2`, `i3`, `i4`, `f4` or `f8`."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    width = int(kind[1])
    if kind[0] == "f":
        data = samples.astype(f"<{kind}").tobytes()
    elif kind == "u1":
        data = np.round(samples * 127 + 128).astype(np.uint8).tobytes()
    else:
        whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype("<i8")
        data = whole.view(np.uint8).reshape(*samples.shape, 8)[..., :width].tobytes()
    return packed(data, rate, samples.shape[1], width, codec or (3 if kind[0] == "f" else 1))


def packed(data: bytes, rate: int, channels: int, width: int, codec: int, length: int | None = None) -> bytes:
    """The content of a WAV of samples that are bytes already; `length`: what its header says of them."""
    block = channels * width
    form = struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, 8 * width)
    size = len(data) if length is None else length
    return (
        struct.pack("<4sI4s4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", size)
        + data
    )


def folder(root: Path, count: int = 4) -> Path:
    """Classes of tones, each at another level, rate and silence."""
    g = np.random.default_rng(0)
    for name, pitch in PITCHES.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            rate = int(g.choice([16_000, 22_050, 48_000]))
            shift = 1 + 0.05 * g.uniform(-1, 1)
            samples = tone(pitch and pitch * shift, rate, g.uniform(0.2, 0.4), g.uniform(0, 0.2)) * g.uniform(0.1, 1)
            (root / name / f"{i}.wav").write_bytes(wav(samples, rate))
    return root
