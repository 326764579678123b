"""`innerloop audit <learner|run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, say
from innerloop.recipes.auditing import audit_any


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop audit`."""

    subject: tyro.conf.Positional[str]
    """Run folder, or name of a learner."""
    data: str = "kanji"
    """For a learner: the data set of its tasks."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Check the meta-gradient, what predictions depend on, the episodes and the splits; status 1 when one fails."""
    options = parse(Command, argv, "audit", run.__doc__ or "")
    found = audit_any(options.subject, options.data, options.common.data_root)
    if options.common.json:
        emit(found.to_json())
    else:
        say(str(found))
    return 0 if found.passed else 1
