"""A conversation that comes line by line, with commands among the messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from innerloop.apps.text.desk import chat, opening
from innerloop.apps.text.desk.chat import Chat
from innerloop.apps.text.desk.settings import DeskOptions
from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest
from innerloop.tasks import tables
from innerloop.tasks.columns import TableOptions


class Session:
    """A chat and the files it is kept in.

    Args:
        chat: The conversation.
        transcript: The file that messages are added to; None: none.
        keep: The file that corrections are kept in; None: none.
    """

    def __init__(self, chat: Chat, transcript: str | None = None, keep: str | None = None):
        self._chat, self._transcript, self._keep = chat, transcript, keep

    @classmethod
    def opened(
        cls,
        subject: str,
        options: DeskOptions = DeskOptions(),
        context: Context = Context(),
        *,
        source: str = "use-multilingual",
        strangers: float | None = None,
        table: TableOptions = TableOptions(),
        transcript: str | None = None,
        keep: str | None = None,
    ) -> "Session":
        """A session with a task or a table of intents; arguments as of `opening.classifier`, `Chat` and `Session`.

        Raises:
            InputError: Something cannot be read, or a file could not be written.
        """
        for path in (transcript, keep):
            if path is not None and not files.expanded(path).parent.is_dir():
                raise InputError(f"{path} cannot be written: there is no folder {Path(path).parent}")
        task = opening.classifier(subject, context, source=source, table=table)
        desk = opening.desk(task.task.source, [str(label) for label in task.classes_], options, context)
        chatting = Chat(task, desk, strangers)
        if keep is not None:
            task.save(keep)  # now, so that it is known before the first correction that it can be written
        elif not tables.is_table(files.expanded(subject)):
            keep = subject
        return cls(chatting, transcript, keep)

    @property
    def intents(self) -> list[str]:
        """Names of the intents."""
        return [str(label) for label in self._chat.classifier.classes_]

    @property
    def sources(self) -> str:
        """What is said to them, in a few words."""
        desk = self._chat.desk
        return f"{len(desk.replies)} with a reply, {len(desk.passages)} passages"

    def hear(self, line: str) -> dict[str, Any]:
        """What is said to a line, in plain JSON: an object of `Turn` and the message, or of `done` for a command.

        Raises:
            InputError: A command that is not known or cannot be done; nothing is changed then.
        """
        if line.startswith("/"):
            return self._command(line)
        self._chat.say(line)
        said = self._chat.transcript[-1]
        if self._transcript is not None:
            chat.keep(self._transcript, said)
        return said.to_json()

    def _command(self, line: str) -> dict[str, Any]:
        word, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], str]] = {"/wrong": self._wrong, "/undo": self._undo}
        if word not in commands:
            raise InputError(f"there is no command '{word}'{nearest(word, [*commands, '/quit'])}")
        done = commands[word](rest.strip())
        if self._keep is not None:
            self._chat.classifier.save(self._keep)
        return {"done": done}

    def _wrong(self, intent: str) -> str:
        self._chat.correct(intent)
        return f"learned as '{intent}'; /undo takes it back"

    def _undo(self, rest: str) -> str:
        if rest:
            raise InputError(f"/undo takes back the last correction, and '{rest}' is nothing that it takes")
        self._chat.undo()
        return "taken back"
