"""Files of tagged sentences, CoNLL or JSON by the ending of their name, and plain text."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_file
from innerloop.tasks.encodings import lines
from innerloop.tasks.entities import conll, json_spans
from innerloop.tasks.entities.sentences import Scheme, Sentence
from innerloop.tasks.entities.words import sentence
from innerloop.tasks.notices import Say, warn

CONLL = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".ner", ".annotated", ".txt", ".tsv")
JSON = (".json", ".jsonl", ".ndjson")
_ENTITIES = re.compile(rb'"entities"\s*:')
_LOOKED_INTO = 1 << 16


def read(path: str | Path, *, strict: bool = False, encoding: str | None = None, say: Say = warn) -> list[Sentence]:
    """Tagged sentences of a file.

    Args:
        path: A name in `CONLL` or `JSON`.
        strict: See `conll.read`.
        encoding: See `tasks.encodings.lines`.
        say: Where notices go.

    Raises:
        InputError: It cannot be read.
    """
    path = expanded(path)
    form(str(path))
    with opened(path) as file:
        return read_bytes(file, str(path), strict=strict, encoding=encoding, say=say)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file to read.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def read_bytes(
    file: IO[bytes], name: str, *, strict: bool = False, encoding: str | None = None, say: Say = warn
) -> list[Sentence]:
    """`read`, of an open file with a name."""
    if form(name) == "json":
        return json_spans.read(file, name, encoding=encoding, say=say)
    return conll.read(file, name, strict=strict, encoding=encoding, say=say)


def plain(file: IO[bytes], name: str, encoding: str | None = None, say: Say = warn) -> list[Sentence]:
    """Lines of plain text as untagged sentences, cut into words; blank lines are left out.

    Args:
        file: Its bytes.
        name: What errors call it.
        encoding: See `tasks.encodings.lines`.
        say: Where notices go.

    Raises:
        InputError: It is in no encoding that is known, or holds no text.
    """
    sentences = [sentence(line.strip("\r\n")) for line in lines(file, name, encoding, say) if line.strip()]
    if not sentences:
        raise InputError(f"{name} holds no text: give a sentence a line")
    return sentences


def written(
    name: str,
    sentences: Sequence[Sentence],
    *,
    scheme: Scheme = "bio",
    confidences: Sequence[Sequence[float]] | None = None,
    say: Say = warn,
) -> str:
    """What a file of that name holds.

    Args:
        name: A name in `CONLL` or `JSON`.
        sentences: With their entities.
        scheme: Of CoNLL's tags.
        confidences: Of the entities of each sentence, for JSON.
        say: Where notices go.

    Raises:
        InputError: The name has another ending, or the format cannot hold a sentence.
    """
    if form(name) == "json":
        by_line = not name.lower().endswith(".json")
        return "".join(json_spans.write(sentences, confidences, by_line=by_line))
    return "".join(conll.write(sentences, scheme, say))


def write(
    path: str | Path,
    sentences: Sequence[Sentence],
    *,
    scheme: Scheme = "bio",
    confidences: Sequence[Sequence[float]] | None = None,
    say: Say = warn,
) -> None:
    """Write a file, or leave the one that is there as it is; the arguments are those of `written`."""
    content = written(str(path), sentences, scheme=scheme, confidences=confidences, say=say)
    files.write(expanded(path), content)


def form(name: str) -> str:
    """`conll` or `json`, by the ending of a name.

    Raises:
        InputError: It has another one.
    """
    ending = Path(name).suffix.lower()
    if ending not in CONLL + JSON:
        raise InputError(
            f"'{name}' does not say what it is: tagged sentences are CoNLL ({', '.join(CONLL)}) or JSON with spans of "
            f"characters ({', '.join(JSON)})"
        )
    return "json" if ending in JSON else "conll"


def is_tagged(path: str | Path) -> bool:
    """Whether a file is one of tagged sentences and of nothing else: `.tsv` may be a table, and so may JSON."""
    path = expanded(path)
    ending = path.suffix.lower()
    if ending in JSON and is_file(path):
        try:
            with path.open("rb") as file:
                return _ENTITIES.search(file.read(_LOOKED_INTO)) is not None
        except OSError:
            return False
    return ending in CONLL and ending != ".tsv"
