"""Documents as passages that can be quoted: Markdown, plain text, HTML and PDF."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import IO

from innerloop.core.errors import InputError
from innerloop.core.files import expanded, is_folder
from innerloop.core.importing import require
from innerloop.tasks import tables
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.encodings import lines

LONGEST = 1_200
"""Characters of a passage: what is longer is cut between sentences, since an encoder reads a page as one blur."""
_SUFFIXES = {".md": "markdown", ".markdown": "markdown", ".txt": "text", ".html": "html", ".htm": "html", ".pdf": "pdf"}
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_MARKS = re.compile(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|[\[\]]|^\s*([-+*]|>)\s+")
"""Pictures, targets of links, emphasis, brackets, bullets and quotation: what Markdown adds to words."""
_END = re.compile(r"(?<=[.!?。！？])\s*")
_PAGES, _CHARACTERS = 2_000, 5_000_000
"""Most of one PDF."""
MOST = 20_000
"""Passages of a desk: each has a row in memory."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A part of a document."""

    text: str
    source: str
    """Path of the document below its folder; of a PDF with its page."""
    heading: str | None = None
    """What it stands under."""
    question: str | None = None
    """What an answer that was given before answered."""

    @property
    def place(self) -> str:
        """Where it stands, for a reader."""
        return self.source if self.heading is None else f"{self.source}, {self.heading}"

    @property
    def searched(self) -> str:
        """What it is found by: a heading often holds the word that is asked for."""
        if self.question is not None:
            return self.question
        return self.text if self.heading is None else f"{self.heading}. {self.text}"

    def to_json(self) -> dict[str, str | None]:
        """Plain JSON values."""
        return asdict(self)


def read(folder: str | Path) -> list[Passage]:
    """All passages of a folder of documents, or of one document.

    Args:
        folder: Files that end in .md, .txt, .html or .pdf are read, in its sub-folders too; others are not.

    Raises:
        InputError: There is no such folder, nothing to read in it, a file cannot be read, or there is too much.
    """
    root = expanded(folder)
    if is_folder(root):
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    else:
        paths = [root]
    passages: list[Passage] = []
    for path in paths:
        name = path.relative_to(root).as_posix() if path != root else path.name
        passages += _of_file(path, name)
        if len(passages) > MOST:
            raise InputError(f"{folder} holds more than {MOST:,} passages: give the documents that customers ask about")
    if not passages:
        raise InputError(
            f"{folder} holds no words in files that are read: put some in it that end in {', '.join(_SUFFIXES)}"
        )
    return passages


def answers(path: str | Path) -> list[Passage]:
    """Answers that were given before, of a table with the columns question and answer.

    Args:
        path: See `tasks.tables`.

    Raises:
        InputError: It cannot be read, or has an empty cell.
    """
    options = TableOptions(text_column="question", label_column="answer")
    known = []
    try:
        with expanded(path).open("rb") as file:
            for row in tables.rows(file, str(path), "texts", options):
                if not all(isinstance(cell, str) and cell.strip() for cell in (row.example, row.label)):
                    raise InputError(f"{path}, {row.place} lacks a question or its answer: give both, or remove it")
                known.append(Passage(text=row.label, source=f"{Path(path).name}, {row.place}", question=row.example))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not known:
        raise InputError(f"{path} holds no answer below its header: add lines with question and answer")
    return known


def _of_file(path: Path, name: str) -> list[Passage]:
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} is no document that can be read: give {', '.join(_SUFFIXES)}")
    if kind == "pdf":
        return list(of_pdf(path, name))
    try:
        with path.open("rb") as file:
            text = "".join(lines(file, str(path)))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return of_text(text, name)


def of_text(text: str, name: str) -> list[Passage]:
    """Passages of a document that was read.

    Args:
        text: Its content.
        name: Its path, whose ending says what it is; of a PDF the bytes are needed, see `of_pdf`.

    Raises:
        InputError: It is of none of these kinds.
    """
    kind = _SUFFIXES.get(Path(name).suffix.lower())
    if kind in (None, "pdf"):
        raise InputError(f"{name} is no document that can be read as text: give .md, .txt or .html")
    parts = {"markdown": _markdown, "text": _plain, "html": _html}[kind](text)
    return [
        Passage(text=piece, source=name, heading=heading or None) for heading, words in parts for piece in _cut(words)
    ]


Part = tuple[str, str]
"""A heading, and the words of a paragraph below it."""


def _plain(text: str) -> Iterator[Part]:
    for words in re.split(r"\n\s*\n", text):
        yield "", words


def _markdown(text: str) -> Iterator[Part]:
    """A section is a passage: its paragraphs explain each other."""
    heading, body, fenced = "", list[str](), False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            continue
        title = None if fenced else _HEADING.match(line)
        if title is None:
            body.append(line if fenced else _MARKS.sub("", line))
            continue
        yield heading, "\n".join(body)
        heading, body = _MARKS.sub("", title[1]), []
    yield heading, "\n".join(body)


class _Reader(HTMLParser):
    """Words of a page below each heading."""

    SILENT = frozenset(("script", "style", "template", "noscript", "head", "nav", "svg"))
    HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
    BLOCKS = frozenset(("p", "div", "li", "tr", "br", "section", "article", "table", "dt", "dd", "blockquote"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[tuple[list[str], list[str]]] = [([], [])]
        self._silent, self._heading = 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self.SILENT
        if tag in self.HEADINGS:
            self.parts.append(([], []))
            self._heading = True
        elif tag in self.BLOCKS:
            self._words("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self.SILENT))
        if tag in self.HEADINGS:
            self._heading = False
        elif tag in self.BLOCKS:
            self._words("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words(data)

    def _words(self, data: str) -> None:
        self.parts[-1][0 if self._heading else 1].append(data)


def _html(text: str) -> Iterator[Part]:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    for heading, body in reader.parts:
        yield " ".join("".join(heading).split()), "".join(body)


def of_pdf(file: Path | IO[bytes], name: str, until: float = math.inf) -> Iterator[Passage]:
    """Passages of a PDF.

    Args:
        file: Its path, or its bytes.
        name: What passages and errors call it.
        until: When it is given up, by `time.monotonic`; it is looked at between pages.

    Raises:
        InputError: pypdf is not installed, or it is damaged, encrypted, holds no words, or too many.
    """
    require("pypdf", f"reading {name}", "desk")
    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError, PyPdfError

    held = 0
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise FileNotDecryptedError
        for number, page in enumerate(reader.pages, 1):
            words = page.extract_text()
            held += len(words)
            if number > _PAGES or held > _CHARACTERS or time.monotonic() > until:
                raise InputError(
                    f"{name} holds too much to be quoted: {_PAGES:,} pages and {_CHARACTERS:,} characters are most"
                    + (", and a request is given up when its --seconds are over" if until < math.inf else "")
                    + "; give the chapters that customers ask about"
                )
            for _, part in _plain(words):
                for piece in _cut(part):
                    yield Passage(text=piece, source=f"{name}, page {number}")
    except InputError:
        raise
    except FileNotDecryptedError as error:
        raise InputError(f"{name} is encrypted: save it without a password") from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error
    except Exception as error:  # PyPdfError, or whatever a damaged file leads its parser to
        kind = "" if isinstance(error, PyPdfError) else f"{type(error).__name__}: "
        raise InputError(f"{name} is no PDF that can be read ({kind}{error})") from error
    if not held:
        raise InputError(f"{name} holds no words: it may be pictures of pages, which are to be recognised first")


def _cut(words: str) -> Iterator[str]:
    """A passage with single blanks; of a long one, parts that end with sentences."""
    text = " ".join(words.split())
    while len(text) > LONGEST:
        ends = [match.end() for match in _END.finditer(text, 0, LONGEST) if match.end()]
        end = ends[-1] if ends else LONGEST
        yield text[:end].strip()
        text = text[end:].strip()
    if text:
        yield text
