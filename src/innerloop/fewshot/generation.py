"""Further examples of classes that a generative learner has seen a few of: the one road for Python and command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.dry_run import support
from innerloop.core.errors import FailedError, InputError
from innerloop.core.files import expanded
from innerloop.core.learner import Generative, Learner
from innerloop.core.names import of_path
from innerloop.core.texts import Kind
from innerloop.core.threads import on_one_core
from innerloop.core.types import Params
from innerloop.evaluate.generation import check_generative
from innerloop.evaluate.ink import Rule, checked, inked
from innerloop.fewshot import sources
from innerloop.fewshot.history import Label
from innerloop.fewshot.rows import floats, read
from innerloop.fewshot.sources import Source
from innerloop.fewshot.task import Task
from innerloop.fewshot.wish import Wish
from innerloop.learners import catalogue
from innerloop.tasks import contact_sheet
from innerloop.tasks import picture_files as files
from innerloop.tasks.notices import warn

_AT_ONCE = 16
"""Examples of each class that a learner is asked for together: the first ones do not depend on how many follow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """What was generated of each class, beside what was given."""

    classes: tuple[Label, ...]
    given: tuple[Tensor, ...]
    """Examples of each class, [n, ...], as the learner sees them."""
    x: Tensor
    """[ways, count, ...], likewise, after the rule of ink."""
    ink: Rule
    dark: bool
    """Whether the given pictures have dark ink on a light ground, which the learner sees the other way round."""
    learner: str

    @property
    def count(self) -> int:
        """Examples of each class."""
        return self.x.shape[1]


def generate(
    source: str | Path | Source,
    classes: Mapping[Label, Any] | Sequence[str | Path],
    wish: Wish = Wish(),
    allow: Sequence[str] = (),
) -> Generated:
    """Make further examples of classes from a few of each.

    Args:
        source: A run of a learner that can, or a shipped one.
        classes: Examples of each by its name, one or more, as `FewShotClassifier.fit` takes them; or folders: of the
            pictures of one class, or of folders of classes.
        wish: What is to be generated.
        allow: Module prefixes besides `innerloop.` that the run may name.

    Raises:
        InputError: The learner cannot generate, or examples cannot be read or do not fit to it.
        FailedError: What it generates is not finite.
    """
    wish.check()
    found = sources.source(source, allow)
    learner = _as_wished(found.learner, wish)
    examples = classes if isinstance(classes, Mapping) else folders(classes, found.kind)
    if not examples:
        raise InputError("there is no class to generate examples of: give a folder of pictures of each")
    bare = next((name for name, each in examples.items() if not len(each)), None)
    if bare is not None:
        raise InputError(f"class {bare!r} has no examples: give one or more")
    rows, found = _read(examples, found)
    dark = _dark(found, rows)
    counts = torch.tensor([len(each) for each in rows])
    given = support(floats(torch.cat(rows)), torch.arange(len(rows)).repeat_interleave(counts), len(rows))
    with torch.no_grad():
        adapted = on_one_core(lambda: found.learner.adapt(found.params, given))
    return _made(learner, found.params, adapted, tuple(examples), rows, dark, wish)


def of_task(task: Task, wish: Wish = Wish()) -> Generated:
    """Make further examples of the classes of a task that was taught.

    Raises:
        InputError: Its learner cannot generate.
        FailedError: What it generates is not finite.
    """
    wish.check()
    learner, taught = _as_wished(task.source.learner, wish), task.support
    rows = [taught.x[taught.y == i] for i in range(len(task.classes))]
    dark = _dark(task.source, rows)
    return _made(learner, task.source.params, task.adapted, tuple(task.classes), rows, dark, wish)


def folders(paths: Sequence[str | Path], kind: Kind) -> dict[Label, Any]:
    """Pictures by class, of folders that hold one class each, or folders of classes.

    Args:
        paths: Of the folders, or zips of them. Two that are called alike go by the folder above as well.
        kind: What the run takes.

    Raises:
        InputError: There is no such folder or no picture in it, or it is given twice.
    """
    if isinstance(paths, str | Path):
        raise InputError(f"classes are given as a list of folders: [{str(paths)!r}]")
    if kind != "pictures":
        raise InputError(f"folders hold pictures, and this run takes {kind}: give arrays by class, in Python")
    found: list[tuple[Path, str, list[Any]]] = []
    for path in paths:
        root = expanded(path)
        files_of(root, found)
    names = [name for _, name, _ in found]
    long = [f"{of_path(place.resolve().parent)}/{name}" for place, name, _ in found]
    names = [far if names.count(near) > 1 else near for near, far in zip(names, long, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"class '{twice}' is given twice: give each folder once")
    return {name: [files.opened(file) for file in each] for name, (_, _, each) in zip(names, found, strict=True)}


def files_of(root: Path, found: list[tuple[Path, str, list[Any]]]) -> None:
    """Add the classes of a folder, each with where it is, its name and its files.

    Raises:
        InputError: There is none.
    """
    if not root.exists():
        raise InputError(f"there is no folder {root}: give one of pictures of a class")
    if not root.is_dir() and root.suffix.lower() != ".zip":
        raise InputError(f"{root} is a file: give the folder of pictures of a class")
    inside = files.listing(root)
    if inside.loose:
        name = of_path(root.resolve().with_suffix("") if root.suffix.lower() == ".zip" else root.resolve())
        found.append((root, name, inside.loose))
    else:
        classes = files.labelled(inside, root, "pictures")
        found.extend((root / name, name, each) for name, each in classes.items())
    if inside.left:
        warn(files.notice(inside.left))


def _read(examples: Mapping[Label, Any], source: Source) -> tuple[list[Tensor], Source]:
    """Rows by class; all of them together decide about ink, as where a task is taught."""
    parts = list(examples.values())
    if all(isinstance(each, list | tuple) for each in parts):
        rows, source = read([one for each in parts for one in each], source, teaching=True)
        return list(rows.split([len(each) for each in parts])), source
    rows = []
    for each in parts:
        made, source = read(each, source, teaching=True)
        rows.append(made)
    return ([floats(r) for r in rows] if len({r.dtype for r in rows}) > 1 else rows), source


def _as_wished(learner: Learner, wish: Wish) -> Learner:
    check_generative(learner)
    changes: dict[str, Any] = {}
    if wish.temperature is not None:
        changes["temperature"] = float(wish.temperature)
    if wish.mean:
        changes["mean_code"] = True
    for name in changes:
        if name not in {f.name for f in fields(learner)}:
            able = [k for k, cls in catalogue().items() if issubclass(cls, Generative) and hasattr(cls, name)]
            option = "mean" if name == "mean_code" else name
            raise InputError(
                f"{type(learner).__name__} has no {option} to set: leave it out"
                + (f", or take a run of {' or '.join(able)}" if able else "")
            )
    return replace(learner, **changes)


def _made(
    learner: Learner,
    params: Params,
    adapted: Any,
    classes: tuple[Label, ...],
    rows: Sequence[Tensor],
    dark: bool,
    wish: Wish,
) -> Generated:
    maker, given = check_generative(learner), tuple(floats(r) for r in rows)
    ink, parts = checked(wish.ink, tuple(given[0].shape[1:])), []
    for i in range(-(-wish.count // _AT_ONCE)):
        with torch.no_grad():
            key = random.mix(wish.seed, i)
            part = on_one_core(lambda key=key: maker.generate(params, adapted, key, _AT_ONCE))
        parts.append(part)
    x = torch.cat(parts, 1)[:, : wish.count]
    if not bool(x.isfinite().all()):
        raise FailedError(f"{type(learner).__name__} generated what is not finite: its training diverged, train anew")
    name = type(learner).__name__
    return Generated(classes=classes, given=given, x=inked(x, ink), ink=ink, dark=dark, learner=name)


def _dark(source: Source, rows: Sequence[Tensor]) -> bool:
    """What was said or decided about picture files; of arrays, by how they look."""
    how = source.preprocessing
    if how is None:
        return contact_sheet.is_picture(rows[0].shape[1:]) and contact_sheet.looks_dark([floats(r) for r in rows])
    said = source.reading.ink if how["ink"] == "auto" else how["ink"]
    return said == "dark" or (said is None and contact_sheet.looks_dark([floats(r) for r in rows]))
