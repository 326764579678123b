"""From tagged sentences to a file, to tagged texts, and to a file that knows more or less: what the verbs do."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from innerloop.apps.ner import sources
from innerloop.apps.ner.answering import Tagged
from innerloop.apps.ner.settings import Decode, Head, Tagging
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.tasks.entities import files as formats
from innerloop.tasks.entities import json_spans
from innerloop.tasks.entities.sentences import Sentence

_STDIN = "standard input"


def adapt(
    source: str,
    data: str | Path,
    out: str | Path,
    *,
    head: Head | None = None,
    decode: Decode = "viterbi",
    tagging: Tagging = "io",
    whiten: bool = False,
    names: bool = False,
    strict: bool = False,
    context: Context = Context(),
) -> dict[str, Any]:
    """Teach types of entities from tagged sentences, and keep what was learned.

    Args:
        source: As `FewShotTagger` has it; `minilm`, `entities`, or the folder of a run.
        data: Tagged sentences, see `tasks.entities.files.read`.
        out: The file to write.
        head: As `FewShotTagger` has it, likewise the following four.
        decode: How sentences are decoded.
        tagging: What words are told apart by.
        whiten: Whether rows are whitened by CrossNER, which has to be at hand.
        names: Whether the name of a type is an example of it.
        strict: Refuse entities that begin with I-.
        context: Where data sets lie, and what the source may name.

    Returns:
        The file, what it holds, and the seconds it took to learn, in plain JSON.

    Raises:
        InputError: They do not fit together; nothing is written.
    """
    sentences = formats.read(data, strict=strict)
    files.writable(files.expanded(out).parent)
    start_from = sources.source(source, head=head, whiten=whiten, names=names, context=context)
    tagger = FewShotTagger(start_from, decode=decode, tagging=tagging)
    start = time.perf_counter()  # loading is paid once a process: it is not what teaching costs
    tagger.fit(sentences)
    seconds = time.perf_counter() - start
    tagger.save(out)
    return _summary(out, tagger) | {"seconds": seconds}


def predict(file: str | Path, places: Sequence[str], context: Context = Context()) -> list[Tagged]:
    """Tag texts.

    Args:
        file: What `adapt` wrote.
        places: Files of texts, a sentence a line; CoNLL and JSON, whose own entities are not looked at; `-`: standard
            input, a sentence a line. None: standard input alone.
        context: What the file may name.

    Raises:
        InputError: A file cannot be read.
    """
    tagger = FewShotTagger.load(file, context.allow)
    return tagger.answers([sentence for place in places or ("-",) for sentence in untagged(place)])


def untagged(place: str) -> list[Sentence]:
    """Sentences of a file to be tagged: JSON and CoNLL by the ending of its name, else plain text, a sentence a line.

    Raises:
        InputError: It cannot be read.
    """
    if place == "-":
        return formats.plain(sys.stdin.buffer, _STDIN)
    path = files.expanded(place)
    with formats.opened(path) as file:
        return _read(file, path)


def written(name: str, answers: Sequence[Tagged]) -> str:
    """What a file of that name holds: CoNLL, or JSON with characters and confidences, by its ending.

    Raises:
        InputError: The name has another ending, or CoNLL cannot hold a sentence.
    """
    confidences = [answer.confidences for answer in answers]
    return formats.written(name, [answer.sentence for answer in answers], confidences=confidences)


def add(file: str | Path, data: str | Path, *, strict: bool = False, context: Context = Context()) -> dict[str, Any]:
    """Teach a file more tagged sentences; one with the words of a known sentence takes its place.

    Args:
        file: What `adapt` wrote; it is written again.
        data: As of `adapt`.
        strict: Refuse entities that begin with I-.
        context: What the file may name.

    Raises:
        InputError: They do not fit together; the file stays as it was.
    """
    sentences = formats.read(data, strict=strict)
    with files.locked(Path(file)):
        return _saved(file, FewShotTagger.load(file, context.allow).add(sentences))


def drop(file: str | Path, name: str, context: Context = Context()) -> dict[str, Any]:
    """Forget a type; its words belong to none from then on.

    Raises:
        InputError: There is none, or it is the last; the file stays as it was.
    """
    with files.locked(Path(file)):
        return _saved(file, FewShotTagger.load(file, context.allow).drop(name))


def undo(file: str | Path, to: int | None = None, redo: bool = False, context: Context = Context()) -> dict[str, Any]:
    """Take a file back by one version, or to any; what came after stays in it and can come back.

    Args:
        file: What `adapt` wrote; it is written again.
        to: A version; None: before the last change.
        redo: Take back the last undo instead.
        context: What the file may name.

    Raises:
        InputError: There is nothing to undo, or no such version; the file stays as it was.
    """
    if redo and to is not None:
        raise InputError(f"--redo goes to what was undone last: leave out --to {to}")
    with files.locked(Path(file)):
        tagger = FewShotTagger.load(file, context.allow)
        return _saved(file, tagger.redo() if redo else tagger.undo(to))


def show(file: str | Path, context: Context = Context()) -> dict[str, Any]:
    """What is in a file, in plain JSON: source, types with their number of entities, and versions.

    Raises:
        InputError: It is no such file.
    """
    return {"file": str(file)} | FewShotTagger.load(file, context.allow).show()


def changed(summary: dict[str, Any]) -> str:
    """What a change came to, in words."""
    last = summary["versions"][-1]
    return f"{summary['file']} is at version {last['version']} ({last['action']}): {described(summary)}"


def described(summary: dict[str, Any]) -> str:
    """Types with their number of entities, and of how many sentences, in words."""
    types = ", ".join(f"{name} ({count})" for name, count in summary["types"].items())
    return f"{types}; {summary['sentences']} sentences"


def _read(file: IO[bytes], path: Path) -> list[Sentence]:
    ending = path.suffix.lower()
    if ending in formats.JSON:
        return json_spans.read(file, str(path), tagged=False)
    # Here a .txt is what people call a text.
    if ending in formats.CONLL and ending != ".txt":
        return formats.read_bytes(file, str(path))
    return formats.plain(file, str(path))


def _saved(file: str | Path, tagger: FewShotTagger) -> dict[str, Any]:
    tagger.save(file)
    return _summary(file, tagger)


def _summary(file: str | Path, tagger: FewShotTagger) -> dict[str, Any]:
    return {"file": str(file)} | tagger.show()
