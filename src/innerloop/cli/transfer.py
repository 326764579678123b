"""`innerloop transfer <source> <target> [<target> ...]`."""

from dataclasses import dataclass, field

import tyro

from innerloop.apps.transfer.settings import Settings
from innerloop.cli.options import Common, parse, print, tell


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop transfer`."""

    source: tyro.conf.Positional[str]
    """What is learned on: a data set of pictures such as mnist-5k, or a path of one."""
    targets: tyro.conf.Positional[tuple[str, ...]]
    """What it is to be used on, with a few labels: street-digits, digits, svhn, a path; several share the trainings."""
    settings: Settings = field(default_factory=Settings)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Learn on one data set and use it on another: every way of learning on the same target tasks, in one table.

    From scratch, pre-training with a linear probe or fine-tuned, ProtoNet, R2-D2, MAML, the same on cluttered pictures,
    a shipped run, and a network trained on photographs where it is installed.
    """
    options = parse(Command, argv, "transfer", run.__doc__ or "")
    from innerloop.apps.transfer.transfer import transfer

    done = transfer(
        options.source,
        options.targets,
        options.settings,
        options.common,
        say=lambda message: print(message, stderr=True),
    )
    return tell(done.to_json(), str(done), options.common)
