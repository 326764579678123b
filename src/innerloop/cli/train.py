"""`innerloop train <learner>`."""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from innerloop.cli.fields import chosen, train_command
from innerloop.cli.options import emit, parse, print
from innerloop.core.config import RENAMED_LEARNERS
from innerloop.core.errors import InnerloopError
from innerloop.engine import Interrupted, distributed
from innerloop.engine.checkpoint import steps_done
from innerloop.learners import catalogue
from innerloop.runs import build
from innerloop.runs.measure import report


@dataclass
class _Data:
    data: str | None = None


def run(argv: list[str]) -> int:
    """Meta-train a learner, or go on with a run; under `torchrun`, as one of several processes."""
    try:
        with distributed.only_first_prints():
            return _run(argv)
    except (InnerloopError, Interrupted) as error:
        if distributed.mine_to_say(error):
            raise
        return error.code if isinstance(error, InnerloopError) else 130


def _run(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(_usage(), stderr=not asked)
        sys.exit(0 if asked else 2)
    learner = argv[0].replace("-", "_")
    learner = RENAMED_LEARNERS.get(learner, learner)
    # Defaults depend on what is learned: regression has its own.
    data = tyro.cli(_Data, args=argv[1:], return_unknown_args=True, add_help=False)[0].data
    usual = train_command(learner, data)
    parsed = parse(type(usual), argv[1:], f"train {argv[0]}", _about(learner), usual)
    built = build(chosen(learner, parsed), parsed.common)
    out, start = Path(parsed.output.out or f"runs/{learner}"), time.perf_counter()
    built.meta_train(out)
    if distributed.join().rank > 0:
        return 0
    page, seconds, steps = report(out, parsed.common), time.perf_counter() - start, steps_done(out)
    if parsed.common.json:
        about = {"run": str(out), "learner": learner, "steps": steps, "seconds": seconds}
        emit(about | {"report": page and str(page)})
    else:
        where = f"{out}" if page is None else f"{out} (report: {page})"
        print(f"{learner}: {steps} steps, {seconds:.0f} s, kept in {where}")
        allow = ["--allow", *parsed.common.allow] if parsed.common.allow else []
        print(f"next: {shlex.join(['innerloop', 'test', str(out), *allow])}")
    return 0


def _about(learner: str) -> str:
    module = sys.modules[catalogue()[learner].__module__]
    return (module.__doc__ or "").strip()


def _usage() -> str:
    lines = "\n".join(f"  {name:<18} {_about(name).partition(chr(10))[0]}" for name in catalogue())
    end = "`innerloop train <learner> --help` lists its options."
    return f"usage: innerloop train <learner> [options]\n\n{lines}\n\n{end}"
