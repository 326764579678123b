"""Files of examples in a folder or a zip: which class each is of, and what lies there and is not read."""

import functools
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from innerloop.core.errors import InputError
from innerloop.core.files import entries, is_file, is_folder
from innerloop.core.names import of_path, printable, reason, unified

_REFUSED = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
"""Formats of Pillow that start another program, or hold no pixels that it can read."""
_HEIC = (".heic", ".heif", ".hif")
_UNPACKED, _MEMBER = 4_000_000_000, 200_000_000
"""Bytes that a zip may unpack to in all, and that one of its files may."""
_NAMED = 5
"""Files that a notice names."""


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


File = Path | Packed
Left = tuple[str, str]
"""The name of a file that is not read, and why."""


class Listing(NamedTuple):
    """What a folder holds."""

    classes: dict[str, list[File]]
    """The files of its sub-folders, however deep, by the name of the topmost one."""
    loose: list[File]
    """The files that lie directly in it."""
    left: list[Left]

    @property
    def files(self) -> list[File]:
        """All files."""
        return [*self.loose, *(file for files in self.classes.values() for file in files)]


def is_zip(path: Path) -> bool:
    """Whether a file is called like a zip."""
    return path.suffix.lower() == ".zip" and not is_folder(path)


def opened(file: File) -> Path | Content:
    """A file as readers of pictures take it.

    Raises:
        InputError: It lies in a zip and is damaged.
    """
    return file.read() if isinstance(file, Packed) else file


def listing(root: Path, suffixes: tuple[str, ...] | None = None) -> Listing:
    """The files of a folder, or of a zip of it, in order; hidden ones are passed over.

    Args:
        root: The folder or zip.
        suffixes: Endings that are read; None: those of pictures.

    Raises:
        InputError: It cannot be read, or is a zip of names that lead out of it, or of more than fits into memory.
    """
    takes = functools.partial(_refusal, suffixes=suffixes)
    return _of_zip(root, takes) if is_zip(root) else _of_folder(root, takes)


def labelled(found: Listing, root: Path, what: str) -> dict[str, list[File]]:
    """The classes of a folder, each with its files; what lies beside their folders is added to what is left out.

    Args:
        found: As of `listing`.
        root: The folder.
        what: What is to be put into the folders of classes.

    Raises:
        InputError: There is no class, or one without files.
    """
    if not found.classes:
        raise InputError(f"{root} has no sub-folders; make one for each class and put its {what} in it")
    found.left.extend((_name(file, root), "beside the folders of classes") for file in found.loose)
    empty = [name for name, files in found.classes.items() if not files]
    if empty:
        more = f" ({len(empty) - 1} more are like it)" if len(empty) > 1 else ""
        raise InputError(
            f"class '{empty[0]}' of {root} has no {'picture' if what == 'pictures' else '.txt file'} in it: add some, "
            f"or remove the folder{more}{'; ' + notice(found.left) if found.left else ''}"
        )
    return found.classes


def refuse_parent(found: Listing, root: Path, known: Collection[str]) -> None:
    """Refuse a folder whose single class holds nothing but folders: it is the parent of the folder that was meant.

    Args:
        found: As of `listing`.
        root: The folder.
        known: Classes that are taught already: one of that name may be kept in folders.

    Raises:
        InputError: With what to give instead.
    """
    if len(found.classes) != 1 or set(found.classes) & set(known):
        return
    ((name, files),) = found.classes.items()
    parts = [Path(_name(file, root)).parts for file in files]
    inner = sorted({part[1] for part in parts if len(part) > 2})
    if len(inner) > 1 and all(len(part) > 2 for part in parts):
        raise InputError(
            f"{root} holds one folder, '{printable(name)}', and all files lie in folders of that, such as "
            f"'{printable(inner[0])}' and '{printable(inner[1])}': if these are the classes, give "
            f"{root / name}; if '{printable(name)}' is one class, put its files into it without folders"
        )


def notice(left: list[Left]) -> str:
    """What was left out, in one line."""
    named = ", ".join(f"{printable(name)} ({why})" for name, why in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return f"left out {len(left)} {'file' if len(left) == 1 else 'files'}: {named}{more}"


@functools.cache
def formats() -> tuple[str, ...]:
    """Formats of Pillow that are read, with HEIC where its package is installed."""
    from PIL import Image

    with suppress(ImportError):
        import pillow_heif  # pyright: ignore[reportMissingImports]

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _REFUSED)


@functools.cache
def endings() -> frozenset[str]:
    """Endings of their files, in small letters."""
    from PIL import Image

    known = formats()
    return frozenset(ending.lower() for ending, name in Image.registered_extensions().items() if name in known)


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture."""
    return path.suffix.lower() in endings() | {*_HEIC}


def _refusal(name: str, suffixes: tuple[str, ...] | None) -> str | None:
    """Why a file is not read."""
    ending = PurePosixPath(name).suffix.lower()
    if suffixes is not None:
        return None if ending in suffixes else f"no {' or '.join(suffixes)} file"
    if ending in endings():
        return None
    return "needs pip install 'innerloop[heic]'" if ending in _HEIC else "not a picture"


Refusal = Callable[[str], str | None]


@dataclass
class _Walk:
    root: Path
    refusal: Refusal
    left: list[Left] = field(default_factory=list)

    def files(self, folder: Path, above: tuple[Path, ...]) -> Iterator[File]:
        for entry in entries(folder):
            if is_folder(entry):
                yield from self.inside(entry, above)
            elif (file := self.file(entry)) is not None:
                yield file

    def inside(self, folder: Path, above: tuple[Path, ...]) -> Iterator[File]:
        real = folder.resolve()
        if real in above:
            self.left.append((_name(folder, self.root), "a link to a folder that it is in"))
        else:
            yield from self.files(folder, (*above, real))

    def file(self, entry: Path) -> Path | None:
        why = self.refusal(entry.name) if is_file(entry) else "no file"
        if why is not None:
            self.left.append((_name(entry, self.root), why))
        return entry if why is None else None


def _of_folder(root: Path, refusal: Refusal) -> Listing:
    walk = _Walk(root, refusal)
    inside = entries(root)
    folders = [entry for entry in inside if is_folder(entry)]
    loose: list[File] = []
    for entry in inside:
        if entry not in folders and (file := walk.file(entry)) is not None:
            loose.append(file)
    classes: dict[str, list[File]] = {}
    for name, folder in zip(unified(map(of_path, folders)), folders, strict=True):
        classes.setdefault(name, []).extend(walk.inside(folder, (root.resolve(),)))
    return Listing(classes, loose, walk.left)


def _of_zip(path: Path, refusal: Refusal) -> Listing:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except Exception as error:  # whatever zipfile stumbles on
        raise InputError(f"{path} is no zip that can be read ({reason(error)}): pack it anew") from error
    members = [entry for entry in archive.infolist() if not entry.is_dir()]
    _check(members, path)
    parts = [PurePosixPath(entry.filename.replace("\\", "/")).parts for entry in members]
    shown = [not any(part.startswith(".") or part == "__MACOSX" for part in one) for one in parts]
    # Most programs pack a folder with its own name around it.
    tops = {one[0] if len(one) > 2 else None for one, show in zip(parts, shown, strict=True) if show}
    skip = 1 if len(tops) == 1 and None not in tops else 0
    classes, loose, left = dict[str, list[File]](), list[File](), list[Left]()
    for entry, one, show in sorted(zip(members, parts, shown, strict=True), key=lambda each: each[1]):
        if not show:
            continue
        name, own = "/".join(one[skip:]), one[skip:]
        if len(own) > 1:
            classes.setdefault(own[0], [])
        why = "a link" if stat.S_ISLNK(entry.external_attr >> 16) else "encrypted" if entry.flag_bits & 1 else None
        why = refusal(name) if why is None else why
        if why is not None:
            left.append((name, why))
        else:
            (classes[own[0]] if len(own) > 1 else loose).append(Packed(archive, entry, f"{path}/{name}"))
    merged: dict[str, list[File]] = {}
    for name, spelled in zip(classes, unified(classes), strict=True):
        merged.setdefault(spelled, []).extend(classes[name])
    return Listing(merged, loose, left)


def _check(members: list[zipfile.ZipInfo], path: Path) -> None:
    for entry in members:
        place = PurePosixPath(entry.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
            raise InputError(
                f"{path} holds '{printable(entry.filename)[:100]}', which leads out of it: do not trust it"
            )
        if entry.file_size > _MEMBER:
            raise InputError(
                f"{path} holds '{printable(entry.filename)[:100]}' of {entry.file_size:,} bytes; {_MEMBER:,} is most"
            )
    size = sum(entry.file_size for entry in members)
    if size > _UNPACKED:
        raise InputError(f"{path} unpacks to {size:,} bytes, and {_UNPACKED:,} is most: unpack it, or split it")


def _name(entry: File, root: Path) -> str:
    return entry.name.removeprefix(f"{root}/") if isinstance(entry, Packed) else str(entry.relative_to(root))
