"""`innerloop ner predict <file> <data>`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from innerloop.cli.options import Common, emit, parse, tell
from innerloop.core import files
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner predict`."""

    file: tyro.conf.Positional[str]
    """What `innerloop ner adapt` wrote."""
    data: tyro.conf.Positional[tuple[str, ...]]
    """Files of texts, a sentence a line; CoNLL or JSON, whose own entities are not looked at; none or -: standard
    input, a sentence a line."""
    out: str | None = None
    """Write the answers into this file, whole or not at all: .conll, or .json and .jsonl with places in characters and
    confidences. Without it, CoNLL on standard output."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Find entities in texts. With --json, an object a sentence: its words, entities by character, confidences."""
    options = parse(Command, argv, "ner predict", run.__doc__ or "")
    paths.existing(options.file)
    if options.out is not None:
        from innerloop.tasks.entities.files import form

        form(options.out)
        files.writable(Path(options.out).parent)
    from innerloop.apps.ner.commands import predict, written

    answers = predict(options.file, options.data, options.common)
    if options.out is not None:
        files.write(files.expanded(options.out), written(options.out, answers))
        found = sum(len(answer.confidences) for answer in answers)
        summary = {"file": options.out, "sentences": len(answers), "entities": found}
        return tell(summary, f"{found} entities in {len(answers)} sentences kept in {options.out}", options.common)
    if options.common.json:
        for answer in answers:
            emit(answer.to_json())
    else:
        sys.stdout.write(written("answers.conll", answers))
    return 0
