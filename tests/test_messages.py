"""Every message of an error that is raised on purpose, read off the source: plain, whole, and with the next step."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "innerloop"
JARGON = re.compile(
    r"\b(invalid|illegal|unsupported|unexpected|malformed|bad|oops|sorry|please|abort|fatal|spt|qry|k_shot|kwargs?|"
    r"args|ndim|NoneType|traceback|internal)\b",
    re.IGNORECASE,
)
STEP = re.compile(
    r"[:;]|\. [A-Z`]|\b(must|needs?|takes?|give|got|cannot|leave|choose|expected|name|at least|at most|alone|only|"
    r"there (?:is|are) no|such as|say|these are|(?:is|are) most|comes? as|taken from|outside of)\b|"
    r"nearest\(|how_to_allow\("
)
"""What is needed, what was given beside it, or what to do."""
SCIKIT = re.compile(r"X |Complex data|Input y|Unknown label type|The feature names|Invalid parameter")
"""Words that scikit-learn has its estimators say."""
PIECES = {
    "{self._url} {self._failure}",
    "{advice} ({error})",
    "the rating {value} of '{text}' {what}",
    "{path} is {what}, not a {kind}",
    "its encoder has no network whose weights could be others",
    "sample_weight is one number for each example ({error})",
}
"""Messages whose next step is in a part that is made elsewhere, and read there."""


class Message(NamedTuple):
    place: str
    text: str


TREES = {file: ast.parse(file.read_text()) for file in sorted(SOURCE.rglob("*.py"))}


def errors() -> set[str]:
    """Names of the classes that are raised on purpose."""
    known = {"InnerloopError"}
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        more = {c.name for c in classes if any(isinstance(b, ast.Name) and b.id in known for b in c.bases)} - known
        if not more:
            return known
        known |= more


def written(node: ast.expr) -> str | None:
    """A text as it stands in the source, with what is filled in in braces; None: it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else f"{{{_filled(part)}}}" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = written(node.left), written(node.right)
        return None if sides == (None, None) else "".join(side or "{}" for side in sides)
    return None


def _filled(part: ast.expr) -> str:
    return ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""


@cache
def raised() -> list[tuple[str, ast.Call]]:
    """Where one is made, and the call."""
    names = errors()
    return [
        (f"{file.relative_to(SOURCE).as_posix()}:{node.lineno}", node)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def messages() -> list[Message]:
    """All of them, in order; one that is made of parts elsewhere is read there."""
    found = []
    for place, call in raised():
        texts = [text for text in map(written, call.args) if text is not None]
        if texts and ast.unparse(call.func) != "NotFiniteError":  # which makes a sentence of what it gets
            found.append(Message(place, texts[0]))
    return found


def wrong(text: str) -> str | None:
    """What is wrong with a message."""
    plain = re.sub(r"\{.*?\}", "", text)
    if len(plain.split()) < 2 and not text.startswith("{"):
        return "says nothing"
    if text != text.strip() or "  " in text or "\n" in text:
        return "has blanks that nobody needs"
    if text.endswith((".", "!", ",", ":", ";")):
        return "ends with a stop, which a line of a terminal has not"
    if (found := JARGON.search(plain)) and not SCIKIT.match(text):
        return f"says '{found[0]}', which tells nobody what to do"
    first = text.partition(" ")[0]
    if re.fullmatch(r"[A-Z][a-z]*,?", first) and not SCIKIT.match(text) and first != "Module":
        return "begins with a capital, behind `innerloop: `"
    if not STEP.search(text) and not SCIKIT.match(text):
        return "says neither what is needed nor what to do"
    return None


MESSAGES = messages()


def test_there_are_messages_to_read():
    assert len(MESSAGES) > 1400
    assert len({message.place.partition("/")[0] for message in MESSAGES}) > 15, "of all rooms"


def test_every_message_is_plain_and_says_the_next_step():
    failures = [
        f"{message.place} {reason}: {message.text}"
        for message in MESSAGES
        if (reason := wrong(message.text)) and message.text not in PIECES
    ]
    assert not failures, "\n".join(failures)


def test_no_message_has_a_brace_that_was_meant_to_be_filled():
    for place, call in raised():
        for part in call.args:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                assert not re.search(r"\{[a-z_.]+[^}\"]*\}", part.value), f"{place}: {part.value}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing"),
        ("no", "nothing"),
        ("the file is damaged.", "stop"),
        ("the file  is damaged: get it anew", "blanks"),
        ("invalid shape {shape}: give others", "invalid"),
        ("Cannot read {path}: {reason}", "capital"),
        ("the file is damaged", "neither"),
        ("please give a file", "please"),
    ],
)
def test_a_poor_message_is_told(text, said):
    reason = wrong(text)
    assert reason is not None and said in reason
