"""`innerloop train <learner>`."""

import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from innerloop.cli.fields import chosen, train_command
from innerloop.cli.options import Common, emit, flags, parse, print, with_data
from innerloop.core.complaints import complain
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.nearest import RENAMED_LEARNERS
from innerloop.engine import Interrupted, distributed
from innerloop.engine.checkpoint import steps_done
from innerloop.learners import catalogue
from innerloop.runs import build
from innerloop.runs.measure import report
from innerloop.runs.seeds import train_seeds
from innerloop.track.watcher import trackers


@dataclass
class _Data:
    data: str | None = None
    stream: str | None = None


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
    argv = with_data(argv)
    # Defaults depend on what is learned: regression has its own.
    named = tyro.cli(_Data, args=argv[1:], return_unknown_args=True, add_help=False)[0]
    if named.stream is not None:
        from innerloop.cli.stream import run as follow  # with what a meta-training does not need

        return follow(learner, named.stream, argv[1:])
    usual = train_command(learner, named.data, flags(argv))
    parsed = parse(type(usual), argv[1:], f"train {argv[0]}", _about(learner), usual)
    out, start = Path(parsed.output.out or f"runs/{learner}"), time.perf_counter()
    if parsed.output.seeds:
        if parsed.train.seed != usual.train.seed:
            raise InputError("--seed is of one training and --seeds of several: give one of them")
        return _several(learner, parsed, out)
    watchers = trackers(parsed.output.track)  # refused before anything is loaded
    build(chosen(learner, parsed), parsed.common).meta_train(out, watchers)
    if distributed.join().rank > 0:
        return 0
    page, seconds, steps = report(out, parsed.common), time.perf_counter() - start, steps_done(out)
    if parsed.common.json:
        about = {"run": str(out), "learner": learner, "steps": steps, "seconds": seconds}
        emit(about | {"report": page and str(page)})
    else:
        where = f"{out}" if page is None else f"{out} (report: {page})"
        print(f"{learner}: {steps} steps, {seconds:.0f} s, kept in {where}")
        print(f"next: {_next('test', out, parsed.common)}")
    return 0


def _several(learner: str, parsed: Any, out: Path) -> int:
    watchers = partial(trackers, parsed.output.track)
    watchers()  # refused before anything is loaded
    progress = partial(print, stderr=parsed.common.json)
    done = train_seeds(chosen(learner, parsed), parsed.output.seeds, out, parsed.common, progress, watchers)
    if parsed.common.json:
        emit({"learner": learner, "runs": [one.to_json() for one in done]})
    for one in done:
        if one.error is not None:
            complain(f"{one.run}: {one.error}")
        elif not parsed.common.json:
            print(f"{learner}, seed {one.seed}: {one.steps} steps, kept in {one.run}")
    if not parsed.common.json:
        print(f"next: {_next('compare', out, parsed.common)}")
    return 1 if any(one.error is not None for one in done) else 0


def _next(verb: str, out: Path, common: Common) -> str:
    return shlex.join(["innerloop", verb, str(out), *(["--allow", *common.allow] if common.allow else [])])


def _about(learner: str) -> str:
    module = sys.modules[catalogue()[learner].__module__]
    return (module.__doc__ or "").strip()


def _usage() -> str:
    lines = "\n".join(f"  {name:<18} {_about(name).partition(chr(10))[0]}" for name in catalogue())
    end = "`innerloop train <learner> --help` lists its options, with `--stream NAME` those of a stream."
    return f"usage: innerloop train <learner> [options]\n\n{lines}\n\n{end}"
