"""`innerloop adapt <run> <folder>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, say
from innerloop.recipes.adapting import adapt


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop adapt`."""

    run: tyro.conf.Positional[str]
    """Run folder."""
    pictures: tyro.conf.Positional[str]
    """Folder with a sub-folder of pictures for each class; they may have different numbers of them."""
    out: str
    """The file to write, by custom `<name>.fewshot`."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Teach a run new classes from a few pictures each, and keep what it learned in one portable file."""
    options = parse(Command, argv, "adapt", run.__doc__ or "")
    made = adapt(options.run, options.pictures, options.out)
    if options.common.json:
        emit(made)
        return 0
    shots = ", ".join(f"{name} ({n})" for name, n in made["examples"].items())
    say(f"learned {len(made['examples'])} classes in {made['seconds']:.2f} s: {shots}")
    say(f"kept in {made['file']}; next: innerloop predict {made['file']} <pictures>")
    return 0
