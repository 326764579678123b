"""`innerloop follow <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, parse, tell
from innerloop.runs.follow import FollowOptions, follow_run


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop follow`."""

    run: tyro.conf.Positional[str]
    """Run folder, of a learner that adapts to streams (learning_to_adapt)."""
    stream: FollowOptions = field(default_factory=FollowOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Predict a stream whose constants change, adapting to its last moments: squared error with and without."""
    options = parse(Command, argv, "follow", run.__doc__ or "")
    result = follow_run(options.run, options.stream, options.common)
    return tell(result.to_json(), str(result), options.common)
