"""`innerloop completion <shell>`."""

import sys
from dataclasses import dataclass, field
from typing import Literal

import tyro

from innerloop.cli.options import Common, emit, parse


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop completion`."""

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """Whose completion it is."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Write a script that completes commands, learners, data sets, options and their choices.

    bash: innerloop completion bash > ~/.local/share/bash-completion/completions/innerloop
    zsh: innerloop completion zsh > ~/.innerloop.zsh, and the line "source ~/.innerloop.zsh" in ~/.zshrc
    """
    options = parse(Command, argv, "completion", run.__doc__ or "")
    from innerloop.cli.completion_script import commands, script

    known = commands()
    if options.common.json:
        emit({name: one._asdict() for name, one in known.items()})
    else:
        sys.stdout.write(script(known, options.shell))
    return 0
