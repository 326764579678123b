"""`innerloop audit <run|learner|package.module:attribute>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, print, with_data
from innerloop.runs.audit import AuditOptions, audit_any


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop audit`."""

    subject: tyro.conf.Positional[str]
    """Run folder, name of a learner, or a network of your own as mypackage.nets:MyNet. Naming one runs its code."""
    what: AuditOptions = field(default_factory=lambda: AuditOptions(learner="maml"))
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Check the meta-gradient, every plan, what predictions depend on, episodes and splits; status 1 if one fails."""
    options = parse(Command, with_data(argv), "audit", run.__doc__ or "")
    result = audit_any(options.subject, options.what, options.common)
    if options.common.json:
        emit(result.to_json())
    else:
        print(str(result))
    return 0 if result.passed else 1
