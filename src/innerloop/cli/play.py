"""`innerloop play <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.runs.play import PlayOptions, play_run


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop play`."""

    run: tyro.conf.Positional[str]
    """Run folder, of a learner that acts (maml_rl, anil_rl, rl2, model_predictive)."""
    shown: PlayOptions = field(default_factory=PlayOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Show what an agent does on an unseen task, before adaptation and after 1, 2, 3 steps of it, as an animation.

    These are the episodes that `innerloop test RUN --steps 3` scores on that task.
    """
    options = parse(Command, argv, "play", run.__doc__ or "")
    shown = play_run(options.run, options.shown, options.common)
    return tell(shown.to_json(), str(shown), options.common)
