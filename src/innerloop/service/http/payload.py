"""Bodies of requests as examples: JSON or multipart, of bounded size, depth and number."""

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, NoReturn, TypeVar

from anyio import to_thread
from pydantic import BaseModel
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request

from innerloop.service import task_names
from innerloop.service.http import values, zipped
from innerloop.service.http.adapted import Raw
from innerloop.service.http.apart import apart
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.schemas import ExampleIn, ExamplesIn, PredictBody
from innerloop.service.limits import Limits
from innerloop.tasks.columns import TableOptions

T = TypeVar("T", bound=BaseModel)
NONE_OF_THESE = "none of these"
_DECOMPOSED = 4
"""Characters that one character becomes at most when it is taken apart, in any script."""
SMALL = 16_384
"""Bytes of JSON that are parsed at once: it takes less than to ask a thread for it."""


class Given(NamedTuple):
    """The examples of a request."""

    raw: list[Raw]
    notices: list[str]
    """What was left out of zips."""

    @property
    def noticed(self) -> dict[str, list[str]]:
        """What an answer says of that, if anything."""
        return {"notices": self.notices} if self.notices else {}

    def named(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers with the name of the example in its zip, where it came in one."""
        for i, answer in enumerate(answers):
            if (file := self.raw[answer.get("index", i)].file) is not None:
                answer["file"] = file
        return answers


async def examples(request: Request, limits: Limits) -> Given:
    """Labelled examples of a request.

    Raises:
        HTTPError: They are malformed, too many, or too large.
    """
    if is_multipart(request):
        return await _files(request, limits, labelled=True)
    return await _apart(await request.body(), _examples, limits)


async def questions(request: Request, limits: Limits) -> Given:
    """Examples to predict.

    Raises:
        HTTPError: They are malformed, too many, or too large.
    """
    if is_multipart(request):
        return await _files(request, limits, labelled=False)
    return await _apart(await request.body(), _questions, limits)


def _examples(content: bytes, limits: Limits) -> list[Raw]:
    parsed = values.validated(ExamplesIn, values.parsed(content)).examples
    values.count(len(parsed), limits)
    return [_example(example, i, limits) for i, example in enumerate(parsed)]


def _questions(content: bytes, limits: Limits) -> list[Raw]:
    asked = values.validated(PredictBody, values.parsed(content))
    kinds = [name for name in values.READ if getattr(asked, name) is not None]
    if len(kinds) != 1:
        raise HTTPError(422, f"give one of texts, features, images and sounds, got {' and '.join(kinds) or 'none'}")
    given = getattr(asked, kinds[0])
    values.count(len(given), limits)
    return [values.READ[kinds[0]](value, f"{kinds[0]}[{i}]", limits) for i, value in enumerate(given)]


async def task_file(request: Request) -> tuple[str | None, str, bytes]:
    """A `.fewshot` file of a request: the name that was asked for, that of the file, and its content.

    Raises:
        HTTPError: There is none, or something else besides.
    """
    called, content, said = await _upload(request, "a .fewshot file", ("name",))
    return said["name"] and task_names.checked(said["name"]), called, content


class TaggerFile(NamedTuple):
    """A file that a tagger is to be made of."""

    name: str | None
    """What was asked for."""
    source: str | None
    file: str
    """What the file is called."""
    content: bytes


async def tagger_file(request: Request) -> TaggerFile:
    """A file of tagged sentences, or of a tagger, of a request.

    Raises:
        HTTPError: There is none, or something else besides.
    """
    called, content, said = await _upload(request, "a file of tagged sentences", ("name", "source"))
    return TaggerFile(said["name"] and task_names.checked(said["name"]), said["source"], called, content)


async def _upload(request: Request, what: str, known: Sequence[str]) -> tuple[str, bytes, dict[str, str | None]]:
    """The file of a form: what it is called, its content, and the other fields, None where they are left out."""
    if not is_multipart(request):
        raise HTTPError(415, f"{what} comes as multipart/form-data, in the field file")
    async with request.form(max_files=1, max_fields=len(known), max_part_size=64 * 1024) as form:
        sent, said = form.get("file"), dict[str, str | None]()
        foreign = next((field for field in form if field not in ("file", *known)), None)
        if foreign is not None:
            *first, last = ("file", *known)
            raise HTTPError(422, f"there is a field '{foreign[:100]}', and {', '.join(first)} and {last} are taken")
        if not isinstance(sent, UploadFile):
            raise HTTPError(422, f"there is no file in the request: send {what} in the field file")
        for field in known:
            value = form.get(field)
            if isinstance(value, UploadFile):
                raise HTTPError(422, f"{field} is a file, and must be a text")
            said[field] = value
        return _name(sent.filename, 0), await sent.read(), said


async def table(request: Request) -> tuple[str, bytes, TableOptions]:
    """A table of a request: the name of its file, its content, and how it is to be read.

    Raises:
        HTTPError: There is none, or something else besides.
    """
    if not is_multipart(request):
        raise HTTPError(415, "a table comes as multipart/form-data, in the field file")
    known = [field.name for field in fields(TableOptions)]
    async with request.form(max_files=1, max_fields=len(known), max_part_size=1024) as form:
        foreign = next((name for name in form if name not in ("file", *known)), None)
        if foreign is not None:
            raise HTTPError(422, f"there is a field '{foreign[:100]}', and file, {', '.join(known)} are taken")
        sent = form.get("file")
        if not isinstance(sent, UploadFile):
            raise HTTPError(422, "there is no file in the request: send a table in the field file")
        asked = {name: form[name] for name in known if name in form}
        wrong = next((name for name, value in asked.items() if not isinstance(value, str) or not value), None)
        if wrong is not None:
            raise HTTPError(422, f"{wrong} must be a text")
        return _name(sent.filename, 0), await sent.read(), TableOptions(**asked)  # pyright: ignore[reportArgumentType]


async def folder(request: Request) -> tuple[str, bytes, bool]:
    """What is in a folder: what it is called, the names of its files or the directory of a zip, and which of the two.

    Raises:
        HTTPError: There is neither, or something else besides.
    """
    if not is_multipart(request):
        raise HTTPError(415, "names of files come as multipart/form-data, in the field names, or a zip in zip")
    async with request.form(max_files=1, max_fields=1, max_part_size=1024) as form:
        sent = form.get("zip", form.get("names"))
        if len(form) != 1 or not isinstance(sent, UploadFile):
            raise HTTPError(422, "send one file: a zip in the field zip, or names in the field names")
        return _name(sent.filename, 0), await sent.read(), "zip" in form


async def digest(request: Request) -> bytes:
    """What a request asks for, as a hash: the same whenever the same is sent again."""
    body = await request.body()
    url, headers = request.url, request.headers
    kind, _, rest = headers.get("content-type", "").partition(";")
    boundary = rest.partition("boundary=")[2].partition(";")[0].strip().strip('"').encode()

    def work() -> bytes:
        # What parts a form is new each time that one is sent.
        content = body.replace(boundary, b"") if boundary else body
        asked = "\0".join((request.method, url.path, url.query, headers.get("if-match", ""), kind))
        return hashlib.sha256(asked.encode() + b"\0" + content).digest()

    return work() if len(body) <= SMALL else await to_thread.run_sync(work)


def label(text: str, limits: Limits, name: str = "label") -> str:
    """A label as it is kept: composed characters, no blanks around it.

    Raises:
        HTTPError: It is empty, too long, or holds what cannot be written.
    """
    text = text.strip()
    if len(text) > _DECOMPOSED * limits.label:  # before it is composed, which takes the square of a row of accents
        raise HTTPError(422, f"{name} has {len(text):,} characters, and {limits.label} is most")
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise HTTPError(422, f"{name} is empty: give the name of a class")
    if len(text) > limits.label:
        raise HTTPError(422, f"{name} has {len(text):,} characters, and {limits.label} is most")
    # Half characters cannot be kept as UTF-8, and control characters make two labels look alike.
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise HTTPError(422, f"{name} holds control characters or half of a character: leave them out")
    if text == NONE_OF_THESE:
        raise HTTPError(422, f"{name} '{NONE_OF_THESE}' is what examples of no class are called: choose another")
    return text


def example(parsed: ExampleIn, limits: Limits) -> Raw:
    """One labelled example that came in JSON."""
    return _example(parsed, 0, limits)


def _example(parsed: ExampleIn, i: int, limits: Limits) -> Raw:
    where = f"examples[{i}]"
    kinds = [name for name in ("text", "features", "image", "sound") if getattr(parsed, name) is not None]
    if len(kinds) != 1:
        got = " and ".join(kinds) or "none"
        raise HTTPError(422, f"{where} must have one of text, features, image and sound, got {got}")
    read = values.READ[kinds[0] if kinds[0] == "features" else f"{kinds[0]}s"]
    raw = read(getattr(parsed, kinds[0]), f"{where}.{kinds[0]}", limits)
    return raw._replace(label=label(parsed.label, limits, f"{where}.label"))


async def _files(request: Request, limits: Limits, labelled: bool) -> Given:
    # One label a file may be sent, and a field that is too many is counted below with a message that says so.
    most = limits.batch + 1
    async with request.form(max_files=most, max_fields=most, max_part_size=64 * 1024) as form:
        known = {"files", "label"} if labelled else {"files"}
        foreign = next((name for name in form if name not in known), None)
        if foreign is not None:
            raise HTTPError(422, f"there is a field '{foreign[:100]}', and {' and '.join(sorted(known))} are taken")
        files = form.getlist("files")
        values.count(len(files), limits)
        given, labels = (
            Given([], []),
            _labels(form.getlist("label"), files, limits) if labelled else [None] * len(files),
        )
        for i, (file, text) in enumerate(zip(files, labels, strict=True)):
            if not isinstance(file, UploadFile):
                raise HTTPError(422, f"files[{i}] is not a file: send it with a file name")
            name = _name(file.filename, i)
            some, notices = [zipped.raw(await file.read(), name)], []
            if _is_zip(file):
                some, notices = await zipped.unpacked(some[0].value, name, labelled and text is None, limits)
            given.raw.extend(one._replace(label=_label_of(one, text, limits)) for one in some)
            given.notices.extend(notices)
            values.count(len(given.raw), limits)
        return given


def _labels(sent: Sequence[Any], files: Sequence[Any], limits: Limits) -> list[str | None]:
    """What each file is of; None: a zip, whose folders say it."""
    if not sent and all(_is_zip(file) for file in files):
        return [None] * len(files)
    if len(sent) not in (1, len(files)):
        raise HTTPError(
            422,
            f"there are {len(files)} files and {len(sent)} labels: give one for all, or one for each; none where all "
            "are zips of folders that are called as the classes",
        )
    texts = [label(value if isinstance(value, str) else _is_file(), limits) for value in sent]
    return [*texts] * len(files) if len(texts) == 1 else [*texts]


def _label_of(one: Raw, text: str | None, limits: Limits) -> str | None:
    return text if one.label is None else label(one.label, limits, f"the folder of {one.name}")


def _is_zip(file: Any) -> bool:
    return isinstance(file, UploadFile) and (file.filename or "").lower().endswith(zipped.ENDING)


def _is_file() -> NoReturn:
    raise HTTPError(422, "label is a file, and must be a text")


def _name(sent: str | None, i: int) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in (sent or "")[-100:])
    return shown or f"files[{i}]"


def is_multipart(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
        # Of Python's codecs, some take the square of a text's length, on the event loop, and some fail.
        if charset.lower() not in (b"utf-8", b"utf8"):
            raise HTTPError(415, "the form is of another charset: send it in UTF-8")
        return True
    if kind == "application/json" or kind.endswith("+json") or not kind:
        return False
    raise HTTPError(415, f"the body is {kind[:100]}: send multipart/form-data or application/json")


async def _apart(content: bytes, read: Callable[[bytes, Limits], list[Raw]], limits: Limits) -> Given:
    """A body in JSON, read by a thread where it is large."""
    small = len(content) <= SMALL
    return Given(read(content, limits) if small else await apart("json", read, content, limits), [])
