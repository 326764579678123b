"""Files of examples in a folder or a zip: which class each is of, and what lies there and is not read."""

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import IO, Generic, NamedTuple, TypeVar

from innerloop.core.errors import InputError
from innerloop.core.files import entries, is_file, is_folder
from innerloop.core.names import of_path, printable, unified
from innerloop.tasks import zips
from innerloop.tasks.zips import Content, Packed

_REFUSED = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
"""Formats of Pillow that start another program, or hold no pixels that it can read."""
_HEIC = (".heic", ".heif", ".hif")
SOUNDS = (".wav", ".wave", ".flac")
"""Endings of sounds."""
_ENDINGS = {"pictures": None, "texts": (".txt",), "sounds": SOUNDS}
ONE = {"pictures": "picture", "texts": ".txt file", "sounds": "sound"}
"""What a file of examples of each kind is called."""
_NAMED = 5
"""Files that a notice names."""


@dataclass(frozen=True, eq=False)
class Sent:
    """A file that lies elsewhere, of which the name is known."""

    name: str
    index: int
    """Its place among those that were named."""


File = Path | Packed
T = TypeVar("T", Path | Packed, Path, Packed, Sent)
Left = tuple[str, str]
"""The name of a file that is not read, and why."""


class Listing(NamedTuple, Generic[T]):
    """What a folder holds."""

    classes: dict[str, list[T]]
    """The files of its sub-folders, however deep, by the name of the topmost one."""
    loose: list[T]
    """The files that lie directly in it."""
    left: list[Left]

    @property
    def files(self) -> list[T]:
        """All files."""
        return [*self.loose, *(file for files in self.classes.values() for file in files)]


def endings_of(kind: str) -> tuple[str, ...] | None:
    """Endings of files that hold examples of a kind, as `listing` takes them; None: those of pictures."""
    return _ENDINGS[kind]


def opened(file: File) -> Path | Content:
    """A file as readers of pictures take it.

    Raises:
        InputError: It lies in a zip and is damaged.
    """
    return file.read() if isinstance(file, Packed) else file


def listing(root: Path, suffixes: tuple[str, ...] | None = None) -> Listing[File]:
    """The files of a folder, or of a zip of it, in order; hidden ones are passed over.

    Args:
        root: The folder or zip.
        suffixes: Endings that are read; None: those of pictures.

    Raises:
        InputError: It cannot be read, or is a zip of names that lead out of it, or of more than fits into memory.
    """
    if zips.is_zip(root):
        inside = of_zip(root, str(root), suffixes)  # of files in a zip alone, to a type checker
        return Listing({**inside.classes}, [*inside.loose], inside.left)
    return _of_folder(root, functools.partial(_refusal, suffixes=suffixes))


def labelled(found: Listing[T], root: Path | str, what: str) -> dict[str, list[T]]:
    """The classes of a folder, each with its files.

    What lies beside their folders is added to what is left out, and so is what a damaged zip cannot give out.

    Args:
        found: As of `listing`.
        root: The folder.
        what: The kind of what is to be put into the folders of classes.

    Raises:
        InputError: There is no class, or one without files.
    """
    if not found.classes:
        raise InputError(f"{root} has no sub-folders; make one for each class and put its {what} in it")
    found.left.extend((below(file, root), "beside the folders of classes") for file in found.loose)
    found.loose.clear()
    drop_damaged(found, root)
    empty = [name for name, files in found.classes.items() if not files]
    if empty:
        more = f" ({len(empty) - 1} more are like it)" if len(empty) > 1 else ""
        raise InputError(
            f"class '{empty[0]}' of {root} has no {ONE[what]} in it: add some, "
            f"or remove the folder{more}{'; ' + notice(found.left) if found.left else ''}"
        )
    return found.classes


def drop_damaged(found: Listing[T], root: Path | str) -> None:
    """Add what a damaged zip cannot give out to what is left out.

    Args:
        found: As of `listing`; it is changed.
        root: The folder or zip.
    """

    def damage(file: T) -> str | None:
        why = file.damage() if isinstance(file, Packed) else None
        return None if why is None else f"damaged: {why}"

    leave_out(found, root, damage)


def leave_out(found: Listing[T], root: Path | str, refusal: Callable[[T], str | None]) -> None:
    """Add further files to what is left out.

    Args:
        found: As of `listing`; it is changed.
        root: The folder or zip.
        refusal: Why a file is left out; None: it is not.
    """
    for files in (found.loose, *found.classes.values()):
        why = [refusal(file) for file in files]
        found.left.extend((below(file, root), said) for file, said in zip(files, why, strict=True) if said is not None)
        files[:] = [file for file, said in zip(files, why, strict=True) if said is None]


def refuse_parent(found: Listing[T], root: Path | str, known: Collection[str]) -> None:
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
    parts = [Path(below(file, root)).parts for file in files]
    inner = sorted({part[1] for part in parts if len(part) > 2})
    if len(inner) > 1 and all(len(part) > 2 for part in parts):
        raise InputError(
            f"{root} holds one folder, '{printable(name)}', and all files lie in folders of that, such as "
            f"'{printable(inner[0])}' and '{printable(inner[1])}': if these are the classes, give "
            f"{root}/{name}; if '{printable(name)}' is one class, put its files into it without folders"
        )


def refuse_mixed(found: Listing[T], root: Path | str) -> None:
    """Refuse a folder in which pictures lie among the sounds: a task is of the one or of the other.

    Args:
        found: As of `listing` for sounds.
        root: The folder.

    Raises:
        InputError: With one of each.
    """
    pictures: list[str] = []
    with suppress(InputError):  # without Pillow nobody knows what pictures are called
        pictures = [name for name, _ in found.left if is_picture(Path(name))]
    if pictures and found.files:
        raise InputError(
            f"{root} holds sounds and pictures, such as {below(found.files[0], root)} and {pictures[0]}: keep each "
            "kind in a folder of its own"
        )


def notice(left: list[Left]) -> str:
    """What was left out, in one line."""
    named = ", ".join(f"{printable(name)} ({why})" for name, why in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return f"left out {len(left)} {'file' if len(left) == 1 else 'files'}: {named}{more}"


def pillow() -> ModuleType:
    """The module `PIL.Image`.

    Raises:
        InputError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("reading pictures needs Pillow: pip install 'innerloop[images]'") from error
    return Image


@functools.cache
def formats() -> tuple[str, ...]:
    """Formats of Pillow that are read, with HEIC where its package is installed."""
    pil = pillow()
    with suppress(ImportError):
        import pillow_heif  # pyright: ignore[reportMissingImports]

        pillow_heif.register_heif_opener()
    pil.init()
    return tuple(name for name in pil.OPEN if name not in _REFUSED)


@functools.cache
def endings() -> frozenset[str]:
    """Endings of their files, in small letters."""
    known = formats()
    return frozenset(ending.lower() for ending, name in pillow().registered_extensions().items() if name in known)


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
    return f"needs {more}" if (more := lacking(name)) else "not a picture"


def lacking(name: str) -> str | None:
    """How to install what reads a file that is called like this, where that is not there."""
    ending = PurePosixPath(name).suffix.lower()
    return "pip install 'innerloop[heic]'" if ending in _HEIC and ending not in endings() else None


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
            self.left.append((below(folder, self.root), "a link to a folder that it is in"))
        else:
            yield from self.files(folder, (*above, real))

    def file(self, entry: Path) -> Path | None:
        why = self.refusal(entry.name) if is_file(entry) else "no file"
        if why is not None:
            self.left.append((below(entry, self.root), why))
        return entry if why is None else None


def _of_folder(root: Path, refusal: Refusal) -> Listing[File]:
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


def of_zip(file: Path | IO[bytes], called: str, suffixes: tuple[str, ...] | None = None) -> Listing[Packed]:
    """The files of a zip, as `listing` has them.

    Args:
        file: The zip.
        called: What errors call it.
        suffixes: As of `listing`.

    Raises:
        InputError: As of `zips.opened`.
    """
    archive = zips.opened(file, called)
    entries = [(zips.parts(entry), entry) for entry in archive.infolist() if not entry.is_dir()]
    shown = [(parts, entry) for parts, entry in entries if not _hidden(parts)]
    # Most programs pack a folder with its own name around it.
    tops = {parts[0] if len(parts) > 2 else None for parts, _ in shown}
    skip = 1 if len(tops) == 1 and None not in tops else 0
    found = [(parts[skip:], entry) for parts, entry in shown]
    packed = [(parts, Packed(archive, entry, f"{called}/{'/'.join(parts)}")) for parts, entry in found]
    return _arranged(packed, suffixes)


def of_names(names: Sequence[str], called: str, suffixes: tuple[str, ...] | None = None) -> Listing[Sent]:
    """Files of a folder that lies elsewhere, such as on the machine of a browser.

    Args:
        names: Of its files, below it, with `/` between folders.
        called: What errors call the folder.
        suffixes: As of `listing`.
    """
    placed = [(PurePosixPath(name).parts, Sent(f"{called}/{name}", i)) for i, name in enumerate(names)]
    return _arranged([(parts, file) for parts, file in placed if parts and not _hidden(parts)], suffixes)


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _arranged(found: Sequence[tuple[tuple[str, ...], T]], suffixes: tuple[str, ...] | None) -> Listing[T]:
    """What lies in folders, of which each file has the parts of its name."""
    classes, loose, left = dict[str, list[T]](), list[T](), list[Left]()
    for parts, file in sorted(found, key=lambda each: each[0]):
        if len(parts) > 1:
            classes.setdefault(parts[0], [])
        link = isinstance(file, Packed) and file.is_link
        why = "a link" if link else _refusal("/".join(parts), suffixes)
        if why is not None:
            left.append(("/".join(parts), why))
        else:
            (classes[parts[0]] if len(parts) > 1 else loose).append(file)
    merged: dict[str, list[T]] = {}
    for name, spelled in zip(classes, unified(classes), strict=True):
        merged.setdefault(spelled, []).extend(classes[name])
    return Listing(merged, loose, left)


def below(entry: File | Sent, root: Path | str) -> str:
    """What a file is called below a folder or zip that it lies in."""
    return str(entry.relative_to(root)) if isinstance(entry, Path) else entry.name.removeprefix(f"{root}/")
