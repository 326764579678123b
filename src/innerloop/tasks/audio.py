"""Sound files as rows: WAV and FLAC of any rate, channels and width, one clear error for what cannot be read."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_folder
from innerloop.core.names import of_path, reason
from innerloop.tasks import wav
from innerloop.tasks.log_mel import HOP, LogMel
from innerloop.tasks.notices import warn
from innerloop.tasks.picture_files import SOUNDS, labelled, listing, notice, opened, refuse_mixed
from innerloop.tasks.pool import Pool, from_rows
from innerloop.tasks.progress import track
from innerloop.tasks.wav import Sound
from innerloop.tasks.zips import Content, is_zip

SIZE = 40
"""Bands and columns of a picture of a sound, unless asked otherwise."""
HIGHEST = 7_600.0
"""Hz up to which is listened where every file reaches so far: speech has nothing above."""
_NYQUIST = 0.475
"""Highest frequency that is listened to in samples a second: recorders cut off a little below the half."""
_USUAL, _SHORTEST, _STEP, _LONGEST = 0.95, 0.3, 0.1, 10.0
"""Share of the sounds that a picture shows whole, and what its seconds are rounded to and lie between."""
_COMPRESSED = (".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff")
"""Endings of other sounds, which are refused as sounds."""
_ENDLESS = 2**63 - 1
"""Samples that soundfile counts in a FLAC that does not say how many it has."""
_SHOWN = 200
"""Characters of a name in a message."""
_MANY = 200
"""Files from which progress is shown."""

Source = Path | str | bytes
"""A file, or its content."""


def read_sound(source: Source, name: str = "") -> Sound:
    """Read a WAV or FLAC file.

    Args:
        source: A file, or its content.
        name: What errors call it; empty: its path.

    Raises:
        InputError: It is not there, is neither, is damaged, too long, or holds NaN; for FLAC also: the package is
            missing.
    """
    called = _called(source, name)
    with _open(source, called) as file:
        if _is_flac(file):
            return _flac(file, called)
        return wav.samples(file, called)


def rate_of(source: Source, name: str = "") -> int:
    """Samples a second of a file, by its header; arguments and errors as of `read_sound`."""
    called = _called(source, name)
    with _open(source, called) as file:
        return _flac_info(file, called).samplerate if _is_flac(file) else wav.header(file, called).rate


def count_of(content: bytes) -> int:
    """Samples of all channels of a file, by its header; 0 where it cannot be read."""
    try:
        with _open(content, "") as file:
            if not _is_flac(file):
                return wav.header(file, "").total
            about = _flac_info(file, "")
            return about.frames * about.channels
    except InputError:
        return 0


def is_sound(content: bytes, name: str) -> bool:
    """Whether a file is one that is read, or is meant as a sound, by how it begins or by what it is called."""
    wave = content[:4] == b"RIFF" and content[8:12] == b"WAVE"  # WebP is RIFF as well
    return wave or content[:4] == b"fLaC" or name.lower().endswith((*SOUNDS, *_COMPRESSED))


def sound_row(source: Source, how: Mapping[str, Any], name: str = "") -> Tensor:
    """Read a sound as a row.

    Args:
        source: A file, or its content.
        how: Arguments of `LogMel`, such as the `preprocessing` of a pool of sounds.
        name: What errors call it; empty: its path.

    Returns:
        [1, size, size] uint8.

    Raises:
        InputError: As of `read_sound` and `LogMel.heard`.
    """
    return LogMel(**how).row(read_sound(source, name), _called(source, name))


def sound_folder(
    path: Path | str,
    *,
    size: int | None = None,
    seconds: float | None = None,
    highest: float | None = None,
    dataset: str | None = None,
    split: str = "all",
) -> Pool:
    """Read a folder of classes, or a zip of one: a sub-folder each, holding WAV or FLAC files, however deep.

    What was decided stands in the pool's `preprocessing`, which are keyword arguments of this function and of `LogMel`.

    Args:
        path: The folder or zip.
        size: Bands and columns of a picture; None: 40.
        seconds: What a picture shows; None: nearly all sounds whole, at most 10 seconds.
        highest: Hz up to which is listened; None: 7,600, or what every file reaches, so that no class is told by the
            rate that it was recorded at.
        dataset: Name of the data; None: the folder's.
        split: Name of the pool's split.

    Raises:
        InputError: There is no such folder, no class in it, no sound in a class, pictures besides, or a file that
            cannot be read.
    """
    root = expanded(path)
    if not is_folder(root) and not is_zip(root):
        raise InputError(f"there is no folder {root}; give one with a sub-folder of sounds for each class")
    inside = listing(root, SOUNDS)
    refuse_mixed(inside, root)
    classes = labelled(inside, root, "sounds")
    if inside.left:
        warn(notice(inside.left))
    files = [(file, label) for label, (_, each) in enumerate(classes.items()) for file in each]
    if highest is None:
        slowest = min(rate_of(opened(file)) for file, _ in files)
        highest = min(HIGHEST, math.floor(_NYQUIST * slowest))
    how = LogMel(size=SIZE if size is None else size, highest=highest, seconds=_LONGEST if seconds is None else seconds)
    name = of_path(root.resolve().with_suffix("") if is_zip(root) else root.resolve())
    listed = files if len(files) < _MANY else track(files, f"listening to {name}", len(files))
    lengths, rows = list[int](), list[Tensor]()
    # What is heard takes 32 KB a second, a picture 1.6: of a sound, the latter alone is kept.
    for file, _ in listed:
        heard = _heard(opened(file), how)
        lengths.append(len(heard))
        rows.append(how.picture(heard))
    if seconds is None:
        how = replace(how, seconds=_seconds(lengths))
        # Sounds that fit are seen whole either way; the few longer ones are heard again.
        for i in (i for i, length in enumerate(lengths) if length > how.windows):
            rows[i] = how.picture(_heard(opened(files[i][0]), how))
    return from_rows(
        torch.stack(rows),
        [label for _, label in files],
        list(classes),
        dataset=name if dataset is None else dataset,
        split=split,
        preprocessing={"size": how.size, "seconds": how.seconds, "highest": how.highest},
    )


def holds_sounds(path: Path | str) -> bool:
    """Whether a folder, or a zip, has sounds in it."""
    root = expanded(path)
    return (is_folder(root) or is_zip(root)) and bool(listing(root, SOUNDS).files)


def _heard(source: Path | Content, how: LogMel) -> Tensor:
    return how.heard(read_sound(source), _called(source, ""))


def _seconds(lengths: Sequence[int]) -> float:
    """What a picture has to show, of the windows in which something is heard in many sounds."""
    usual = float(np.quantile([HOP * length for length in lengths], _USUAL))
    return round(min(_LONGEST, max(_SHORTEST, math.ceil(usual / _STEP - 1e-9) * _STEP)), 1)


def _called(source: Source, name: str) -> str:
    return name or (getattr(source, "name", "the sound") if isinstance(source, bytes) else str(source))


@contextmanager
def _open(source: Source, called: str) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        with Path(source).open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"there is no sound {called}") from error
    except OSError as error:
        raise InputError(f"cannot read {called[:_SHOWN]}: {reason(error)}") from error


def _is_flac(file: IO[bytes]) -> bool:
    top = file.read(4)
    file.seek(0)
    return top == b"fLaC"


def _flac(file: IO[bytes], called: str) -> Sound:
    about = _flac_info(file, called)
    if about.frames == _ENDLESS:
        raise InputError(f"{called} does not say how long it is: convert it anew, from a file instead of a stream")
    wav.check_rate(about.samplerate, called)
    wav.check_length(about.frames * about.channels, about.channels, about.samplerate, called)
    file.seek(0)
    values, rate = _explained(called, lambda flac: flac.read(file, dtype="float64", always_2d=True))
    if len(values) < about.frames:
        raise InputError(
            f"{called} is cut short: its header announces {about.frames:,} samples, and {len(values):,} are there; "
            "replace or remove it"
        )
    return Sound(values.T, rate)


def _flac_info(file: IO[bytes], called: str) -> Any:
    return _explained(called, lambda flac: flac.info(file))


def _explained(called: str, work: Callable[[Any], Any]) -> Any:
    try:
        import soundfile  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError) as error:  # OSError: its library of C is missing
        raise InputError(f"reading {called} needs soundfile: pip install 'innerloop[sounds]'") from error
    try:
        return work(soundfile)
    except (soundfile.SoundFileError, ValueError) as error:
        raise InputError(f"{called} is damaged ({reason(error)}); replace or remove it") from error
