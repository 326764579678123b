"""Texts with their classes, and splits of them that share no class."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from innerloop.core import random
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.core.names import unified
from innerloop.tasks import cache, tables
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.split_sizes import default_sizes

SCHEMES = ("1", "2", "3", "4", "5")
"""The five splits of the classes that few-shot intent papers use."""


class Texts(NamedTuple):
    """Some classes with their texts."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """The class of each text."""
    groups: Mapping[str, str] = {}
    """The group, such as a domain, of each class; empty: none are known."""

    def of(self, classes: Iterable[str]) -> "Texts":
        """The texts of some classes."""
        wanted = set(classes)
        texts, labels = zip(*((t, c) for t, c in zip(self.texts, self.labels, strict=True) if c in wanted), strict=True)
        return Texts(texts, labels, {k: v for k, v in self.groups.items() if k in wanted})


class TextSplits(NamedTuple):
    """What is trained on, chosen with, and tested on."""

    dataset: str
    train: Texts
    validation: Texts
    test: Texts


def by_lists(dataset: str, whole: Texts, folder: Path, scheme: str | None) -> TextSplits:
    """Cut by lists of classes, files `0<scheme>.train.txt`, `.valid.txt` and `.test.txt` with a class a line.

    Args:
        dataset: What it is called.
        whole: All classes.
        folder: Of the lists.
        scheme: One of `SCHEMES`; None: the first.

    Raises:
        InputError: There is no such scheme or list, or a list names another class.
    """
    scheme = SCHEMES[0] if scheme is None else scheme.lstrip("0")
    if scheme not in SCHEMES:
        raise InputError(f"{dataset} has no split scheme '{scheme}': choose {', '.join(SCHEMES)}")
    known, parts = set(whole.labels), []
    for end in ("train", "valid", "test"):
        path = folder / f"0{scheme}.{end}.txt"
        try:
            classes = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise InputError(
                f"{dataset} is split by {path}, which cannot be read ({error.strerror}); the lists are those of "
                "https://github.com/tdopierre/ProtAugment (data, few_shot)"
            ) from error
        wrong = sorted(set(classes) - known)
        if wrong or not classes:
            raise InputError(
                f"{path} names '{wrong[0]}', which is no class of {dataset}" if wrong else f"{path} is empty"
            )
        parts.append(whole.of(classes))
    return TextSplits(dataset, *parts)


def joined(data_sets: Sequence[TextSplits]) -> TextSplits:
    """Several data sets as one, each split as it is; names that two of them have are told apart by the data set's."""
    if len(data_sets) == 1:
        return data_sets[0]
    counts = Counter(name for each in data_sets for part in each[1:] for name in set(part.labels))

    def named(name: str, dataset: str) -> str:
        return name if counts[name] == 1 else f"{name} ({dataset})"

    def one(split: str) -> Texts:
        parts = [(each.dataset, getattr(each, split)) for each in data_sets]
        groups = {named(k, name): part.groups.get(k, name) for name, part in parts for k in part.labels}
        return Texts(
            tuple(text for _, part in parts for text in part.texts),
            tuple(named(label, name) for name, part in parts for label in part.labels),
            groups,
        )

    return TextSplits("+".join(each.dataset for each in data_sets), one("train"), one("validation"), one("test"))


def from_file(path: Path, options: TableOptions = TableOptions()) -> TextSplits:
    """A table of texts and their classes, which are cut 60/20/20 by a seeded shuffle.

    Args:
        path: See `tasks.tables`.
        options: How it is read.

    Raises:
        InputError: It cannot be read, a text or label is missing, or there are fewer than three classes.
    """
    whole = read_table(path, options)
    classes = sorted(set(whole.labels))
    sizes = default_sizes(len(classes))
    order, parts, start = random.permutation(random.mix(0, 0), len(classes)).tolist(), [], 0
    for size in sizes.values():
        parts.append(whole.of(classes[i] for i in order[start : start + size]))
        start += size
    return TextSplits(path.stem, *parts)


def read_table(path: Path, options: TableOptions = TableOptions()) -> Texts:
    """Texts and labels of a table; what is empty or of another kind is refused.

    Args:
        path: The file.
        options: How it is read.

    Raises:
        InputError: It cannot be read, or a text or label is missing.
    """
    texts, labels = list[str](), list[str]()
    try:
        with path.open("rb") as file:
            for row in tables.rows(file, str(path), "texts", options):
                place = f"{path}, {row.place}"
                texts.append(_words(row.example, "text", place))
                labels.append(_words(row.label, "label", place))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not texts:
        raise InputError(f"{path} holds no example below its header: add lines with text and label")
    labels = unified(labels)
    twice = next((label for label, count in Counter(labels).items() if count < 2), None)
    if twice is not None:
        raise InputError(
            f"{path}: class '{twice}' has 1 text; training needs one to adapt to and one to be scored on, so give at "
            "least 2 of every class"
        )
    return Texts(tuple(texts), tuple(labels))


def located(root: Root, folder: str, file: str, url: str) -> Path:
    """A file of a data set, in its folder under the data root or in the root itself.

    Raises:
        InputError: It is in neither.
    """
    base = cache.data_folder(root)
    choices = [base / folder / file, base / file]
    path = next((path for path in choices if path.exists()), None)
    if path is None:
        where = " or ".join(str(path.parent) for path in choices)
        raise InputError(f"there is no {file} in {where}; get it from {url}, or give --data-root")
    return path


def _words(cell: object, column: str, place: str) -> str:
    """A text or label; whole numbers, true and false are labels too."""
    if isinstance(cell, int) and column == "label":
        return str(cell)
    if isinstance(cell, str) and cell.strip():
        return cell.strip()
    state = "is empty" if cell is None or isinstance(cell, str) else f"is of type {type(cell).__name__}"
    raise InputError(f"{place}: the {column} {state}; every line needs a text and a label")
