"""Measure us against the peers: `make bench`, or `python -m benchmarks` inside the benchmarks' environment."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Callable
from datetime import date

from rich.console import Console
from rich.progress import Progress

from benchmarks import machine, report, results
from benchmarks.claim import Workload
from benchmarks.contest import Rules, compete
from benchmarks.workloads import (
    accuracy,
    memory,
    particles,
    pictures,
    prototypes,
    sampling,
    sinusoid,
    switching,
    unroll,
)

_PARTS = (sinusoid, pictures, prototypes, unroll, particles, sampling, switching, memory, accuracy)
WORKLOADS: tuple[Workload, ...] = tuple(workload for part in _PARTS for workload in part.WORKLOADS)


def picked(only: str) -> list[Workload]:
    """The workloads that `--only` names: each by its name, or by the part of it before the dot.

    Raises:
        SystemExit: There is none of a name.
    """
    if not only:
        return list(WORKLOADS)
    words = {word.strip().lower() for word in only.split(",") if word.strip()}
    known = {w.name.lower() for w in WORKLOADS} | {w.name.lower().partition(".")[0] for w in WORKLOADS}
    if words - known:
        raise SystemExit(f"there is no workload {', '.join(sorted(words - known))}: use {', '.join(_names())}")
    return [w for w in WORKLOADS if {w.name.lower(), w.name.lower().partition(".")[0]} & words]


def _names() -> list[str]:
    return [w.name for w in WORKLOADS]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help=f"some of: {', '.join(_names())}; W1 means all that start so")
    parser.add_argument("--rounds", type=int, help="turns of each contender; default: as a workload's time allows")
    parser.add_argument("--contenders", default="", help="only contenders whose name holds one of these words")
    parser.add_argument("--verbose", action="store_true", help="show what the contenders print")
    parser.add_argument("--report", action="store_true", help="measure nothing: draw RESULTS.md again")
    parser.add_argument("--busy", action="store_true", help="with one core taken by another process; a row of its own")
    parser.add_argument("--dry", action="store_true", help="write no file: print what was found")
    given = parser.parse_args()
    # Asked to stop, leave as after an error: with the children.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = results.read()
    console = Console(stderr=True)
    if not given.report:
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        words = [word.strip() for word in given.contenders.split(";") if word.strip()]
        with Progress(console=console) as bar:
            chosen = picked(given.only)
            task = bar.add_task("", total=len(chosen))
            for workload in chosen:
                row = measure(workload, given, words, command, bar.console.print)
                bar.advance(task)
                if given.dry:
                    _tell(workload, row)
                else:
                    results.put(rows, workload.name, row, given.busy)
                    results.write(rows)
                    report.write(rows, WORKLOADS)
    if given.report:
        report.write(rows, WORKLOADS)


def measure(
    workload: Workload, given: argparse.Namespace, words: list[str], command: str, say: Callable[[str], None]
) -> results.Row:
    """One workload's row."""
    start = time.perf_counter()
    contenders = tuple(c for c in workload.contenders if not words or any(word in c.name for word in words))
    rules = Rules(
        rounds=given.rounds or workload.rounds,
        budget=float("inf") if given.rounds else workload.budget,
        target=workload.target,
        flops=workload.flops,
        verbose=given.verbose,
        beside=int(given.busy),
    )
    peak = machine.sgemm()
    found = compete(contenders, rules, lambda said: say(f"{workload.name}: {said}"))
    about = {"date": str(date.today()), "command": command, "machine": machine.describe(), "sgemm": peak}
    say(f"{workload.name}: done in {time.perf_counter() - start:.0f} s")
    return about | found


def _tell(workload: Workload, row: results.Row) -> None:
    for name, facts in row["contenders"].items():
        spread = results.speed(row, name)
        told = facts.get("error", "") if spread is None else "  ".join(f"{1e3 * v:9.3f}" for v in spread) + " ms"
        print(f"{workload.name:12} {name:45} {told}  ready {facts.get('ready', 0):.1f} s  {facts.get('said', '')}")


if __name__ == "__main__":
    main()
