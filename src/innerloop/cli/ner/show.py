"""`innerloop ner show <file>`."""

from rich.table import Table

from innerloop.cli.options import emit, parse, print
from innerloop.cli.show import Command
from innerloop.core.names import printable
from innerloop.fewshot import paths


def run(argv: list[str]) -> int:
    """Say what is in a file of `innerloop ner adapt`: what reads its words, its types, its versions."""
    options = parse(Command, argv, "ner show", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.apps.ner.commands import described, show

    summary = show(options.file, options.common)
    if options.common.json:
        emit(summary)
        return 0
    how = f"{summary['learner']} on words of {summary['encoder']}, {summary['decode']}, {summary['tagging']}"
    print(f"{summary['file']}: {how}")
    print(f"types: {described(summary)}")
    table = Table("version", "time", "action", "types", "sentences")
    for entry in summary["versions"]:
        time, action = printable(entry["time"]), printable(entry["action"])
        table.add_row(str(entry["version"]), time, action, str(len(entry["types"])), str(entry["sentences"]))
    print(table)
    return 0
