"""A conversation with a desk, and what is kept of it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from innerloop.apps.text.desk.desk import Desk, State, Turn
from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest
from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.fewshot.evaluation import encoded_once

EMPTY = Turn(kind="question", text="?")
"""What is said to a message without a word: there is nothing to understand."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A message, and what was said to it."""

    time: str
    """UTC, ISO 8601."""
    message: str
    turn: Turn

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"time": self.time, "message": self.message} | self.turn.to_json()


class Chat:
    """One conversation, of one thread.

    Args:
        classifier: What names intents, after `fit`; a correction teaches it.
        desk: What is said to them.
    """

    def __init__(self, classifier: FewShotClassifier, desk: Desk):
        self.classifier, self.desk = classifier, desk
        self.state = State()
        self.transcript: list[Said] = []

    def say(self, message: str) -> Turn:
        """What is said to a message.

        Raises:
            InputError: It is no text.
        """
        if not isinstance(message, str):
            raise InputError(f"a message is a text, not of type {type(message).__name__}")
        turn = EMPTY if not message.strip() else self._answered(message)
        self.transcript.append(Said(time=now(), message=message, turn=turn))
        return turn

    def correct(self, intent: str) -> None:
        """Say what the last message was: it is learned, which `undo` takes back.

        Raises:
            InputError: There is no such intent, or no message yet.
        """
        known = {str(label): label for label in self.classifier.classes_.tolist()}
        if intent not in known:
            raise InputError(f"there is no intent '{intent}'{nearest(intent, known)}")
        said = next((said for said in reversed(self.transcript) if said.message.strip()), None)
        if said is None:
            raise InputError("there is no message yet that could be corrected: say something first")
        self.classifier.feedback([said.message], [known[intent]])
        self.state = State(intent=intent)

    def undo(self) -> None:
        """Forget the last correction.

        Raises:
            InputError: There is none.
        """
        self.classifier.undo()

    def _answered(self, message: str) -> Turn:
        rows: Rows = encoded_once(self.classifier, [message])
        (answer,) = self.classifier.answers(rows).each([str(label) for label in self.classifier.classes_])
        self.state, turn = self.desk.respond(self.state, message, answer, self.classifier.rows(rows)[0])
        return turn


def keep(path: str | Path, said: Said) -> None:
    """Add to a transcript, a line of JSON.

    Raises:
        InputError: It cannot be written.
    """
    path = files.expanded(path)
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(said.to_json(), ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def now() -> str:
    """The time, as transcripts have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
