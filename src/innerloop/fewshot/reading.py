"""How the raw examples of a task become rows: decided once, when it is first taught, and kept with it.

Whether strokes are dark, and what numbers are divided by, cannot be seen on one example. What the first examples say
holds for all that come after them, alone or in any company, in Python, on the command line and over HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.tasks.audio import sound_row
from innerloop.tasks.images import Scan, ink_of, read_image, scan
from innerloop.tasks.log_mel import of_sounds
from innerloop.tasks.pillow import called

_DARKEST, _BRIGHTEST = -0.5, 1.5
"""Float pictures go from 0 to 1, and a little beyond where they were scaled; below, someone has normalised them, and
above forgotten to divide by 255."""
_BYTE = 255
_PHOTOGRAPH = 0.5
"""Share of a picture in other hues than most of it, from which it is no drawing in ink."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was decided about the examples of a task. As it stands nothing was, as in files and stores of before."""

    ink: Literal["dark", "light"] | None = None
    """Brightness of strokes in picture files; None: none was taught since this is kept, and each is looked at alone."""
    photographs: bool = False
    """Whether the pictures are colour photographs, read as they are; where they are not, photographs are refused."""
    unit: Literal[1, 255] | None = None
    """What vectors of numbers are divided by, whatever their type: 1, or 255 where an earlier release was first taught
    uint8; None, and for arrays of pictures: uint8 by 255, others by 1."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> "Reading":
        """The inverse of `to_json`; content is untrusted.

        Raises:
            ValueError: It holds something else.
        """
        if content is None:
            return cls()
        ink, photographs, unit = content["ink"], content["photographs"], content["unit"]
        known = ink in ("dark", "light", None) and isinstance(photographs, bool) and len(content) == 3
        if not known or isinstance(unit, bool) or unit not in (1, _BYTE, None):
            raise ValueError("it does not say how examples are read")
        return cls(ink=ink, photographs=photographs, unit=unit)

    def of_pictures(self, files: Sequence[str | Path | bytes], preprocessing: Mapping[str, Any]) -> "Reading":
        """With the ink of picture files, if this is the first time that some are taught.

        Most of them decide, each by its paper (`tasks.images.ink_of`).

        Args:
            files: Paths or contents.
            preprocessing: Of the source.

        Raises:
            InputError: One cannot be read.
        """
        if not self.undecided(preprocessing):
            return self
        return self.of_scans([scan(file, preprocessing["size"], 1, called(file, i)) for i, file in enumerate(files)])

    def undecided(self, preprocessing: Mapping[str, Any]) -> bool:
        """Whether the first picture files are still to decide about ink."""
        if of_sounds(preprocessing):
            return False  # what a sound is read by was decided in training
        return self.ink is None and preprocessing["ink"] == "auto" and preprocessing["channels"] == 1

    def of_scans(self, scans: Sequence[Scan]) -> "Reading":
        """With the ink of the first picture files, each as `tasks.images.scan` reads it."""
        if not scans:
            return self
        # All files, not a few: the first ones may be of one class that is drawn lightly.
        photographs = 2 * sum(_photograph(one) for one in scans) > len(scans)
        return replace(self, ink="light" if photographs or ink_of(scans) != "dark" else "dark", photographs=photographs)

    def of_numbers(self, x: Tensor) -> "Reading":
        """With the unit of vectors, if this is the first time that some are taught: they stand for themselves."""
        # Whatever their type: the same numbers are uint8 in one program, int64 in a table and float64 in another.
        return replace(self, unit=1) if self.unit is None and x.ndim == 2 else self

    def picture(self, file: str | Path | bytes, preprocessing: Mapping[str, Any], name: str) -> Tensor:
        """[channels, size, size] uint8, one file, of a picture or a sound, as the learner takes it.

        Raises:
            InputError: It cannot be read, or is a photograph and the task is of drawings.
        """
        if of_sounds(preprocessing):
            return sound_row(file, preprocessing, name)
        size, channels, ink = preprocessing["size"], preprocessing["channels"], preprocessing["ink"]
        # A run says itself how its pictures were read, and colours have no ink.
        if ink != "auto" or channels != 1:
            return read_image(file, size, channels, ink, name)
        return self.row(scan(file, size, 1, name), name)

    def row(self, one: Scan, name: str) -> Tensor:
        """[1, size, size] uint8, a picture as the learner takes it, of what was read of it.

        Raises:
            InputError: It is a photograph and the task is of drawings.
        """
        if self.ink is not None and not self.photographs and _photograph(one):
            raise InputError(
                f"{name} is a colour photograph, and this task was taught drawings in ink: give a drawing, or teach "
                "photographs to a source for them, such as efficientnet-lite0"
            )
        # Only tasks of before this was kept decide anew for every picture.
        dark = (self.ink or ink_of([one])) == "dark"
        return _BYTE - one.row if dark else one.row

    def numbers(self, x: Tensor) -> Tensor:
        """[n, ...] numbers in the task's unit: uint8 stands for 255ths, float32 for themselves.

        Raises:
            InputError: They are not what the first ones were.
        """
        if self.unit == 1:
            return x.float()
        if self.unit is None or x.dtype == torch.uint8 or not len(x):
            return x
        # Of tasks of earlier releases: whole numbers of another type were pixels too.
        byte = ((x >= 0) & (x <= _BYTE) & (x == x.round())).all(1)
        if x.is_floating_point():
            largest = x.amax(1)
            byte &= ~((largest <= 1) & (largest > 0))  # more likely divided by 255 than nearly black
        if not bool(byte.all()):
            wrong = int((~byte).nonzero()[0])
            raise InputError(
                f"this task was taught numbers from 0 to 255 (uint8), and example {wrong} holds others: give the same "
                "kind of numbers, as uint8, or teach it anew"
            )
        return x.to(torch.uint8)


def check_brightness(x: Tensor) -> None:
    """Refuse float pictures that nobody divided by 255, or that were normalised.

    Raises:
        InputError: They go beyond 1, or below 0.
    """
    if x.numel() and float(x.min()) < _DARKEST:
        raise InputError(
            f"float pictures must lie in [0, 1], these go down to {float(x.min()):.4g}: give them as they were before "
            "they were normalised, or pass uint8"
        )
    if x.numel() and float(x.max()) > _BRIGHTEST:
        raise InputError(
            f"float pictures must lie in [0, 1], these reach {float(x.max()):.4g}: divide by 255, or pass uint8"
        )


def _photograph(one: Scan) -> bool:
    return one.colour > _PHOTOGRAPH
