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
from innerloop.fewshot.calibrate import NOTHING
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
        strangers: Another share of messages of no intent that may be taken for one than the classifier has, which
            keeps its own; None: that one.

    Raises:
        InputError: The classifier would take every message for an intent, or has too few examples for another share.
    """

    def __init__(self, classifier: FewShotClassifier, desk: Desk, strangers: float | None = None):
        if strangers is None and classifier.task.wanted == NOTHING:
            raise InputError(
                "this task would take every message for one of its intents: say by --strangers, such as 0.05, how many "
                "messages of no intent may pass for one"
            )
        self.classifier, self.desk, self._strangers = classifier, desk, strangers
        self._asked = self._asking()
        self.state = State()
        self.transcript: list[Said] = []

    def say(self, message: str) -> Turn:
        """What is said to a message.

        Raises:
            InputError: It is no text.
        """
        if not isinstance(message, str):
            raise InputError(f"a message is a text, got one of type {type(message).__name__}")
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
        messages = [said.message for said in self.transcript if said.message.strip()]
        if not messages:
            raise InputError("there is no message yet that could be corrected: say something first")
        self.classifier.feedback(messages[-1:], [known[intent]])
        self._asked = self._asking()

    def undo(self) -> None:
        """Forget the last correction.

        Raises:
            InputError: There is none.
        """
        self.classifier.undo()
        self._asked = self._asking()

    def _asking(self) -> FewShotClassifier:
        """What messages are put to: what was learned, with the threshold of this conversation."""
        return self.classifier if self._strangers is None else self.classifier.rejecting(self._strangers)

    def _answered(self, message: str) -> Turn:
        rows: Rows = encoded_once(self._asked, [message])
        (answer,) = self._asked.answers(rows).each([str(label) for label in self._asked.classes_])
        heard = self.desk.hear(message, answer, self._asked.rows(rows)[0])
        self.state, turn = self.desk.respond(self.state, heard)
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
