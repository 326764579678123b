"""`innerloop support <file>`."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import tyro

from innerloop.apps.text.desk.settings import DeskOptions
from innerloop.cli.options import Common, emit, parse, print
from innerloop.core.complaints import complain
from innerloop.core.errors import InputError
from innerloop.tasks.columns import TableOptions

_HELP = "/wrong INTENT says what the last message was, /undo takes that back, /quit leaves"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop support`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote, or a table (.csv, .jsonl, ...) of sentences with text and label: the intents."""
    source: str = "use-multilingual"
    """What a table is taught to (see `innerloop list`)."""
    strangers: float | None = None
    """Share of messages of no intent that may be taken for one, in this conversation; without it, that of the file,
    and 0.05 where a table is taught."""
    transcript: str | None = None
    """Add every message with what was said to it to this file of JSON lines."""
    keep: str | None = None
    """Write the task, with the corrections of the conversation, to this .fewshot file; one that was given is written
    again without it."""
    table: TableOptions = field(default_factory=TableOptions)
    desk: DeskOptions = field(default_factory=DeskOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Answer messages, a line each: by intent, from documents, or by handing over. With --json, an object a line."""
    options = parse(Command, argv, "support", run.__doc__ or "")
    from innerloop.apps.text.desk.session import Session

    session = Session.opened(
        options.file,
        options.desk,
        options.common,
        source=options.source,
        strangers=options.strangers,
        table=options.table,
        transcript=options.transcript,
        keep=options.keep,
    )
    people = not options.common.json
    if people:
        print(f"{len(session.intents)} intents, {session.sources}; {_HELP}", stderr=True)
    for message in _messages():
        if message.strip() == "/quit":
            break
        try:
            said = session.hear(message)
        except InputError as error:  # a slip of the fingers ends no conversation
            said = {"error": str(error)}
        if not people:
            emit(said)
        elif "error" in said:
            complain(said["error"])
        else:
            print(_line(said))
        sys.stdout.flush()
    return 0


def _messages() -> Iterator[str]:
    """Lines of standard input; somebody who types them sees that it is their turn."""
    if not sys.stdin.isatty():
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    with contextlib.suppress(EOFError):
        while True:
            yield input("> ")


def _line(said: Mapping[str, object]) -> str:
    """What is said, and in brackets why."""
    if "text" not in said:
        return str(said["done"])
    sure = "" if said["probability"] is None else f" {100 * float(str(said['probability'])):.0f}%"
    why = [] if said["intent"] is None else [f"{said['intent']}{sure}"]
    why += [] if said["rule"] is None else [f'by "{said["rule"]}"']
    why += [] if said["source"] is None else [f"{said['source']}, similarity {said['similarity']:.2f}"]
    return f"{said['text']}  [{'; '.join([str(said['kind']), *why])}]"
