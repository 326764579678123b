"""Omniglot: 1,623 characters of 50 alphabets by 20 people each (Lake, Salakhutdinov and Tenenbaum, Science 2015), MIT.

Read from the official `images_background.zip` and `images_evaluation.zip`, or from the folders they unpack to.
Pictures become grey before they are shrunk to 28 x 28 with LANCZOS (shrinking 1-bit pictures destroys strokes),
strokes are 1, and the mean pixel is 0.0840.
"""

import functools
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

import numpy as np
import torch

from innerloop.core import random, tree
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.tasks import cache, downloads, images
from innerloop.tasks.pool import Pool, Role, Splits
from innerloop.tasks.progress import track

Split = Literal["vinyals", "lake", "maml"]

SIZE = 28
DRAWINGS = 20
_VERSION = 1
_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
_SETS = {"images_background": 964, "images_evaluation": 659}
"""How many characters each official set has."""
_MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
_RUNS, _RUN_CLASSES = 20, 20

_VALIDATION = frozenset({"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"})
"""Validation alphabets of the Vinyals lists; all are background alphabets, so `lake` takes the same ones."""
_VINYALS_TEST = frozenset(
    {
        "Kannada",
        "Keble",
        "Malayalam",
        "Manipuri",
        "Mongolian",
        "Old_Church_Slavonic_(Cyrillic)",
        "Oriya",
        "Sylheti",
        "Syriac_(Serto)",
        "Tengwar",
        "Tibetan",
        "ULOG",
    }
)
_VINYALS_ALSO_TEST = frozenset(f"Gurmukhi/character{i}" for i in range(42, 46))
"""The published lists cut this one alphabet: its other 41 characters are in train."""
_MAML_SIZES = {"train": 1100, "validation": 100, "test": 423}
_MAML_SEED = 1

Source = tuple[str, Callable[[], bytes]]
"""A picture's place inside its set, and how to read it."""


def omniglot(root: Root = None, split: Split = "vinyals", rotations: bool = True) -> Splits:
    """Read Omniglot, downloading it when it is not there.

    Args:
        root: The data root, holding the two zips or folders, or a folder `omniglot` with them; None: the
            environment's `INNERLOOP_DATA`, else a folder in the user's cache.
        split: `vinyals`: 1028/172/423 characters, by alphabet except that Gurmukhi is in two; `lake`: validation is
            cut from the background set by alphabet, 792/172, and test is the evaluation set, 659; `maml`:
            1100/100/423 by a shuffle that is the same on every machine, so alphabets are in all three.
        rotations: Whether rotations by 90, 180 and 270 degrees are further classes, in all three.

    Raises:
        InputError: The files are neither there nor to be had, or are not Omniglot.
    """
    if split not in ("vinyals", "lake", "maml"):
        raise InputError(f"omniglot has the splits vinyals, lake and maml, got '{split}'")
    whole = _whole(root)
    pools = {name: whole.take(index, f"{split}-{name}") for name, index in _cut(whole, split).items()}
    return Splits(**({name: pool.rotated() for name, pool in pools.items()} if rotations else pools))


def omniglot_runs(root: Root = None) -> Episode:
    """The 20 runs of the one-shot classification test: 20 ways within one alphabet, one support and one query each.

    Args:
        root: As in `omniglot`; `all_runs.zip` lies beside the other two.

    Returns:
        Stacked: x [20, 20, 1, 28, 28] for support and query; support labels are 0 to 19, queries as in the official
            files.

    Raises:
        InputError: The file is not there or is not the test.
    """
    folders = downloads.places(root, "omniglot")
    path = next((f / "all_runs.zip" for f in folders if (f / "all_runs.zip").exists()), None)
    if path is None:
        url = f"{_URL}one-shot-classification/all_runs.zip"
        raise InputError(f"there is no all_runs.zip in {downloads.listed(folders)}; get it from {url}")
    with _opened(path) as archive:
        return tree.stack([_run(archive, f"run{i:02d}", i) for i in range(1, _RUNS + 1)])


@dataclass(frozen=True, eq=False)
class OneShotRuns:
    """`omniglot_runs` as a sampler: episode `i` is run `i + 1`, and there are no more than 20."""

    role: ClassVar[Role] = "test"

    root: Root = None
    """As in `omniglot_runs`."""

    def episodes(self, first: int, count: int) -> Episode:
        """Runs `first + 1 .. first + count`, stacked.

        Raises:
            InputError: There are no such runs.
        """
        if first < 0 or first + count > len(self):
            raise InputError(f"the one-shot test has episodes 0 to {len(self) - 1}, got {first} to {first + count - 1}")
        return tree.slice(self._runs, slice(first, first + count))

    def __len__(self) -> int:
        """How many runs there are."""
        return _RUNS

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return {
            "kind": "one-shot runs",
            "score": "accuracy",
            "dataset": "omniglot",
            "split": "one-shot runs",
            "shape": [1, SIZE, SIZE],
            "ways": _RUN_CLASSES,
            "shots": 1,
            "queries": 1,
        }

    @functools.cached_property
    def _runs(self) -> Episode:
        return omniglot_runs(self.root)


def _cut(whole: Pool, split: Split) -> dict[str, list[int]]:
    if split == "maml":
        order = random.permutation(random.mix(_MAML_SEED, 0), len(whole)).tolist()
        ends = np.cumsum([0, *_MAML_SIZES.values()]).tolist()
        return {name: sorted(order[a:b]) for name, a, b in zip(_MAML_SIZES, ends, ends[1:], strict=False)}
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for i, (name, alphabet) in enumerate(zip(whole.names, whole.groups, strict=True)):
        if split == "lake":
            evaluation = i >= _SETS["images_background"]
            part = "test" if evaluation else "validation" if alphabet in _VALIDATION else "train"
        else:
            test = alphabet in _VINYALS_TEST or name in _VINYALS_ALSO_TEST
            part = "test" if test else "validation" if alphabet in _VALIDATION else "train"
        parts[part].append(i)
    return parts


def _whole(root: Root) -> Pool:
    """All characters without rotations, the background set first; decoded once."""
    with _Sources(_locate(root)) as sources:
        digest = hashlib.sha256(repr(sources.listing).encode()).hexdigest()[:16]
        arrays = cache.cached(
            root, f"omniglot-v{_VERSION}-{SIZE}-{digest}", lambda: _decode(sources), ("drawings", "names")
        )
    names = [str(name) for name in arrays["names"]]
    return Pool(
        data=from_numpy(arrays["drawings"])[:, :, None],
        counts=torch.full((len(names),), DRAWINGS),
        names=tuple(names),
        groups=tuple(name.split("/")[0] for name in names),
        dataset="omniglot",
        preprocessing={"size": SIZE, "channels": 1, "ink": "auto"},
    )


class _Sources:
    """The pictures of both sets, from zips or folders, checked to be all there before any is decoded."""

    def __init__(self, places: Sequence[Path]):
        self.classes: dict[str, list[Source]] = {}
        self.listing: list[tuple[str, int]] = []
        self._archives: list[zipfile.ZipFile] = []
        for path, (name, characters) in zip(places, _SETS.items(), strict=True):
            entries = self._zip(path) if path.suffix == ".zip" else _folder(path)
            before = len(self.classes)
            for place, size, read in sorted(entries, key=lambda entry: entry[0]):
                parts = PurePosixPath(place).parts
                if len(parts) == 4 and parts[0] == name and parts[3].endswith(".png"):
                    self.classes.setdefault(f"{parts[1]}/{parts[2]}", []).append((place, read))
                    self.listing.append((place, size))
            self._check(path, name, characters, len(self.classes) - before)

    def __enter__(self) -> "_Sources":
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives:
            archive.close()

    def _zip(self, path: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        archive = _opened(path)
        self._archives.append(archive)
        for entry in archive.infolist():
            yield entry.filename, entry.file_size, lambda entry=entry: _content(archive, entry)

    def _check(self, path: Path, name: str, characters: int, got: int) -> None:
        wrong = next((c for c, pictures in self.classes.items() if len(pictures) != DRAWINGS), None)
        if got != characters or wrong:
            detail = f"'{wrong}' has {len(self.classes[wrong])} drawings" if wrong else f"it has {got} characters"
            raise InputError(
                f"{path} is not Omniglot's {name}: {characters} characters of {DRAWINGS} drawings as "
                f"{name}/<alphabet>/<character>/*.png are expected, {detail}. Get it from {_URL}{name}.zip"
            )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, OSError, zlib.error) as error:
        raise InputError(f"{archive.filename} is damaged at '{entry.filename}' ({error}); download it again") from error


def _folder(path: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    for file in path.glob("*/*/*.png"):
        if not file.name.startswith("."):
            yield file.relative_to(path.parent).as_posix(), file.stat().st_size, file.read_bytes


def _decode(sources: _Sources) -> cache.Arrays:
    total = len(sources.classes)
    drawings = np.empty((total, DRAWINGS, SIZE, SIZE), dtype=np.uint8)
    for i, pictures in enumerate(track(sources.classes.values(), "decoding Omniglot", total)):
        for j, (place, read) in enumerate(pictures):
            drawings[i, j] = images.read_image(read(), SIZE, 1, "dark", name=place)[0].numpy()
    return {"drawings": drawings, "names": np.array(list(sources.classes))}


def _locate(root: Root) -> list[Path]:
    """The two sets, each a zip or a folder; downloaded into the last place, in the cache, when missing."""
    places = []
    for name in _SETS:
        choices = [
            folder / f"{name}{suffix}" for folder in downloads.places(root, "omniglot") for suffix in ("", ".zip")
        ]
        here = next((path for path in choices if path.exists()), None)
        places.append(here if here is not None else _download(name, downloads.places(root, "omniglot")))
    return places


def _download(name: str, folders: Sequence[Path]) -> Path:
    advice = (
        f"there is no {name}.zip and no folder {name} in {downloads.listed(folders)}, and it could not be downloaded. "
        f"Put images_background.zip and images_evaluation.zip from {_URL} into {folders[1]}, or set INNERLOOP_DATA or "
        "--data-root to the folder that holds them"
    )
    return downloads.fetched(f"{_URL}{name}.zip", _MD5[name], folders[-1], advice)


def _opened(path: Path) -> zipfile.ZipFile:
    """A zip whose every name stays inside it.

    Raises:
        InputError: One does not, or it is no zip.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} is not a readable zip ({error}); download it again") from error
    for name in archive.namelist():
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            archive.close()
            raise InputError(
                f"{path} holds the name '{name}', which leads out of it: an attack, or damage. Download it again"
            )
    return archive


def _run(archive: zipfile.ZipFile, run: str, number: int) -> Episode:
    try:
        lines = archive.read(f"{run}/class_labels.txt").decode().split("\n")
        pairs = sorted(tuple(line.split()) for line in lines if line.strip())  # test picture, training picture
        shown = [f"{run}/training/class{i:02d}.png" for i in range(1, _RUN_CLASSES + 1)]
        y = torch.tensor([shown.index(training) for _, training in pairs])
        x, asked = (
            torch.stack([images.read_image(archive.read(p), SIZE, 1, "dark", name=p) for p in paths]) / 255
            for paths in (shown, [test for test, _ in pairs])
        )
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"all_runs.zip is not Omniglot's one-shot test: {run} cannot be read ({error})") from error
    key, present = random.mix(0, number), torch.ones(_RUN_CLASSES, dtype=torch.bool)
    labels = torch.arange(_RUN_CLASSES)
    support = Batch(x, labels, classes=present, key=key)
    return Episode(support, Batch(asked, y, classes=present, key=random.fold(key, 1)))
