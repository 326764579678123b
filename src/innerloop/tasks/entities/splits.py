"""What taggers are trained on, chosen with, and tested on: domains, or the types of one file, that are kept apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from innerloop.core import random
from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks.entities import conll
from innerloop.tasks.entities.domains import LEFT_OUT, Domain
from innerloop.tasks.entities.sentences import Sentence
from innerloop.tasks.split_sizes import default_sizes
from innerloop.tasks.texts.splits import located


class TaggedSplits(NamedTuple):
    """Domains of each split."""

    dataset: str
    train: tuple[Domain, ...]
    validation: tuple[Domain, ...]
    test: tuple[Domain, ...]


def by_types(dataset: str, sentences: Sequence[Sentence], left_out: Sequence[str] = LEFT_OUT) -> TaggedSplits:
    """One domain whose types are cut 60/20/20 by a seeded shuffle.

    Args:
        dataset: What it is called.
        sentences: All of them; each split has those that hold types of its own alone.
        left_out: Types of no split.

    Raises:
        InputError: There are fewer than three types.
    """
    whole, parts, start = Domain.of(dataset, sentences, left_out), list[tuple[Domain, ...]](), 0
    if len(whole.types) < 3:
        raise InputError(
            f"{dataset} has {len(whole.types)} types of entities; to be cut into train, validation and test it needs 3,"
            " and 10 for tests of 2 ways (a fifth is for tests). To teach only these, use `innerloop ner adapt`"
        )
    order = random.permutation(random.mix(0, 0), len(whole.types)).tolist()
    for size in default_sizes(len(whole.types)).values():
        types = sorted(whole.types[i] for i in order[start : start + size])
        parts.append((Domain(dataset, whole.sentences, tuple(types)),))
        start += size
    return TaggedSplits(dataset, *parts)


def from_files(
    name: str, files: Sequence[str], root: Root, folder: str, url: str, left_out: Sequence[str] = LEFT_OUT
) -> Domain:
    """Published CoNLL files as one domain.

    Args:
        name: Of the domain.
        files: Their names.
        root: The data root.
        folder: Where they are in it.
        url: Where they are from.
        left_out: Types that tasks do not ask for.

    Raises:
        InputError: A file is not there or cannot be read.
    """
    return Domain.of(name, (s for file in files for s in _read(located(root, folder, file, url))), left_out)


def _read(path: Path) -> list[Sentence]:
    with path.open("rb") as file:
        return conll.read(file, str(path))
