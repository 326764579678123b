"""Zips of pictures or texts: what lies in them, what is refused before anything is unpacked, and one file of them."""

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from innerloop.core.errors import InputError
from innerloop.core.files import is_folder
from innerloop.core.names import printable, reason

COUNT = 100_000
"""Files that a zip, or a folder of which only the names are known, may hold."""
_UNPACKED, _MEMBER = 4_000_000_000, 200_000_000
"""Bytes that a zip may unpack to in all, and that one of its files may."""
_SMALL, _RATIO = 100_000_000, 100
"""Beyond so many bytes, a zip that unpacks to so many times what it takes holds no pictures: they hardly shrink."""
_SHOWN = 100
_PIECE = 1_000_000


class Content(bytes):
    """A file that lies in a zip, unpacked, with what errors call it."""

    name: str


@dataclass(frozen=True, eq=False)
class Packed:
    """A file in a zip, which is unpacked when it is read."""

    archive: zipfile.ZipFile
    entry: zipfile.ZipInfo
    name: str

    def read(self) -> Content:
        """Its content.

        Raises:
            InputError: It is damaged.
        """
        try:
            content = Content(self.archive.read(self.entry))
        except Exception as error:  # whatever zipfile and its decompressors stumble on
            raise InputError(f"{self.name} is damaged ({reason(error)}); replace or remove it") from error
        content.name = self.name
        return content

    def damage(self) -> str | None:
        """What is wrong with it; None: it can be read."""
        try:
            with self.archive.open(self.entry) as file:
                while file.read(_PIECE):
                    pass
        except Exception as error:  # as above
            return reason(error)
        return None

    @property
    def is_link(self) -> bool:
        """Whether it stands for another file, wherever that is."""
        return stat.S_ISLNK(self.entry.external_attr >> 16)


def is_zip(path: Path) -> bool:
    """Whether a file is called like a zip."""
    return path.suffix.lower() == ".zip" and not is_folder(path)


def opened(file: Path | IO[bytes], called: str) -> zipfile.ZipFile:
    """A zip whose every file may be read.

    Args:
        file: The zip; of one whose files are not read, its directory at the end is enough.
        called: What errors call it.

    Raises:
        InputError: It cannot be read, has a password, names what is outside of it, or unpacks to more than fits into
            memory.
    """
    try:
        archive = zipfile.ZipFile(file)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {called}") from error
    except Exception as error:  # whatever zipfile stumbles on
        raise InputError(f"{called} is no zip that can be read ({reason(error)}): pack it anew") from error
    entries = archive.infolist()
    if len(entries) > COUNT:
        raise InputError(f"{called} holds {len(entries):,} files, and {COUNT:,} are most: split it")
    for entry in entries:
        _check(entry, called)
    _check_size(entries, called)
    return archive


def parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The folders that a file lies in, and its own name."""
    return PurePosixPath(entry.filename.replace("\\", "/")).parts  # as old programs of Windows wrote it


def _check(entry: zipfile.ZipInfo, called: str) -> None:
    shown, place = f"'{printable(entry.filename[:_SHOWN])}'", parts(entry)
    if not place or place[0].startswith("/") or ".." in place or ":" in place[0]:
        raise InputError(f"{called} holds {shown}, which leads out of it: do not trust it")
    if entry.flag_bits & 1:
        raise InputError(f"{called} is encrypted, at least its {shown}: pack it without a password")
    if entry.file_size > _MEMBER:
        raise InputError(f"{called} holds {shown} of {entry.file_size:,} bytes; {_MEMBER:,} is most")


def _check_size(entries: Sequence[zipfile.ZipInfo], called: str) -> None:
    size, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if size > _UNPACKED:
        raise InputError(f"{called} unpacks to {size:,} bytes, and {_UNPACKED:,} is most: unpack it, or split it")
    if size > _SMALL and size > _RATIO * packed:
        raise InputError(
            f"{called} unpacks from {packed:,} bytes to {size:,}, as pictures do not: if you trust it, unpack it"
        )
