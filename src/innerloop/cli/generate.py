"""`innerloop generate <run> <class folders>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.fewshot import source_names
from innerloop.fewshot.wish import Wish


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop generate`."""

    run: tyro.conf.Positional[str]
    """A run folder or shipped run of a learner that generates (viml, figr), or a file that `innerloop adapt` wrote with
    one, whose classes are known."""
    classes: tyro.conf.Positional[tuple[str, ...]]
    """Folders: of the pictures of one class, or of folders of classes."""
    out: str = "sheet.png"
    """What is written: .png, a sheet with a row for each class, what was given before a rule and what is new after it;
    .npz, x and y; without an ending, a folder of pictures by class, which must not exist."""
    wish: Wish = field(default_factory=Wish)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Generate further examples of classes from a few pictures of each."""
    options = parse(Command, argv, "generate", run.__doc__ or "")
    options.wish.check()
    if not options.run.endswith(".fewshot"):
        source_names.check(options.run)
    from innerloop.fewshot import generated_files

    summary = generated_files.generate(options.run, options.classes, options.out, options.wish, options.common)
    given = ", ".join(f"{name} from {n}" for name, n in summary["examples"].items())
    made = f"{summary['count']} examples each, ink {summary['ink']}: {given}"
    where = f"{summary['learner']} in {summary['seconds']:.2f} s: {summary['file']}"
    return tell(summary, f"{made}\n{where}", options.common)
