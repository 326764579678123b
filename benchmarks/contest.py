"""Contenders, each in a process and an environment of its own, that take turns in one run.

A contender's threads, allocator and libraries cannot be changed inside a process, and a library that is merely imported
may slow another one down. So each lives in a child of its own, is made ready, and then waits for its turns, blocked on
a pipe; the order of the turns is shuffled anew in every round.
"""

import json
import os
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks import machine
from innerloop.core.allocator import environment as keeping

Allocator = Literal["default", "raised", "jemalloc"]
_NEVER = "oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1"
_PAUSE = 0.02
"""Seconds between turns: OpenMP's threads spin for a few milliseconds after their last work."""
_AGAIN = 2
"""Times as many rounds as asked for are drawn again at most."""
BURN = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""Takes a core as long as whoever started it lives: also where that is killed, and cannot end it."""
_PATIENCE = 900
"""Seconds after which a child that does not answer is given up."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of doing a workload."""

    name: str
    make: str
    """`module:function` returning a `Work`."""
    options: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None
    """OpenMP threads; None: as many as there are cores."""
    allocator: Allocator = "default"
    """glibc's; the same as innerloop's command line sets it up; or jemalloc that never gives memory back."""
    processes: int = 1
    """Started together as a torchrun job of so many ranks; a turn ends with the last of them."""
    plan: str = ""
    """Which of our plans this is, for the table of plans."""

    def environment(self, rank: int = 0, port: int = 0) -> dict[str, str]:
        """Of its process."""
        found = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "KMP_", "MALLOC_", "LD_"))}
        found["OMP_NUM_THREADS"] = str(self.threads or machine.cores())
        if self.allocator == "raised":
            found |= keeping()
        elif self.allocator == "jemalloc":
            found |= {"LD_PRELOAD": machine.jemalloc() or "", "MALLOC_CONF": _NEVER}
        if self.processes > 1:
            found |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            found |= {"WORLD_SIZE": str(self.processes), "LOCAL_WORLD_SIZE": str(self.processes)}
        return found


class LostError(Exception):
    """A child failed, with why."""


class Child:
    """A contender's process, or several that work together."""

    def __init__(self, contender: Contender, cache: str, verbose: bool = False):
        self.contender = contender
        self._errors = None if verbose else tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        port = _free_port() if contender.processes > 1 else 0
        command = [sys.executable, "-m", "benchmarks.child", contender.make, json.dumps(contender.options)]
        self.parts = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # The choice of a plan and compilation are told in seconds: without what an earlier run left.
                env=contender.environment(rank, port) | {"TORCHINDUCTOR_CACHE_DIR": cache, "INNERLOOP_CACHE": cache},
                text=True,
                cwd=Path(__file__).parents[1],
                bufsize=1,
            )
            for rank in range(contender.processes)
        ]

    def imported(self) -> None:
        """Wait until its libraries are there."""
        self._answers()

    def ask(self, command: str) -> dict[str, Any]:
        """Have a command done by all parts at once; of numbers the largest is returned.

        Raises:
            LostError: It failed, or does not answer.
        """
        for part in self.parts:
            assert part.stdin is not None
            try:
                part.stdin.write(command + "\n")
                part.stdin.flush()
            except OSError as error:
                raise LostError(f"ended: {error}") from error
        answers = self._answers()
        first = answers[0]
        for key in ("seconds", "peak"):
            if key in first:
                first[key] = max(answer[key] for answer in answers)
        return first

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return sum(machine.cpu_seconds(part.pid) for part in self.parts)

    def end(self) -> None:
        for part in self.parts:
            part.kill()
            part.wait()
            for pipe in (part.stdin, part.stdout, self._errors):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # it was dead before, with a command unread
                        pipe.close()

    def _answers(self) -> list[dict[str, Any]]:
        found = []
        for part in self.parts:
            assert part.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(part.stdout, selectors.EVENT_READ)
                if not selector.select(_PATIENCE):
                    raise LostError(f"no answer in {_PATIENCE} s")
            line = part.stdout.readline()
            if not line:
                raise LostError(self._last_words(part))
            found.append(json.loads(line))
        for answer in found:
            if "error" in answer:
                raise LostError(answer["error"])
        return found

    def _last_words(self, part: subprocess.Popen[str]) -> str:
        status = part.wait()
        if self._errors is None:
            return f"ended with status {status}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {status}"


@contextmanager
def children(
    contenders: tuple[Contender, ...], found: dict[str, Any], say: Callable[[str], None], verbose: bool, warm: bool
) -> Iterator[dict[str, Child]]:
    """Contenders that are made and, if asked for, warm; those that fail are left out, and `found` says why."""
    with ExitStack() as stack:
        alive: dict[str, Child] = {}
        for contender in contenders:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
            alive[contender.name] = Child(contender, cache, verbose)
            stack.callback(alive[contender.name].end)
        for contender in contenders:
            child, facts = alive[contender.name], found.setdefault(contender.name, {})
            facts |= {"threads": contender.threads, "allocator": contender.allocator, "plan": contender.plan}
            say(f"making {contender.name}")
            try:
                child.imported()
                made = child.ask("make")
                first = child.ask("warm") if warm else {"seconds": 0.0, "value": None}
            except LostError as error:
                facts["error"] = str(error)
                say(f"{contender.name}: {error}")
                alive.pop(contender.name).end()
                continue
            facts |= {"said": made["said"], "ready": made["seconds"] + first["seconds"], "value": first["value"]}
        yield alive


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Of a contest."""

    rounds: int
    """Turns of each, at most."""
    budget: float
    """Seconds after which no new round starts, from the third on."""
    target: float | None = None
    """A race: nobody is warmed up, and who has told so high a value takes no more turns."""
    flops: str = ""
    """Name of the contender that counts operations."""
    verbose: bool = False
    """Whether children may write to standard error."""
    beside: int = 0
    """Processes that compute all the time beside the contenders, a core each."""


@contextmanager
def busy(count: int) -> Iterator[Callable[[], float]]:
    """Processes that compute all the time, and how many CPU seconds they have used."""
    command = [sys.executable, "-S", "-c", BURN, str(os.getpid())]
    with ExitStack() as stack:
        others = list[subprocess.Popen[bytes]]()
        for _ in range(count):
            # In a session of its own: Ctrl-C is for us, who end it, and it prints nothing of that.
            others.append(subprocess.Popen(command, start_new_session=True))
            stack.callback(others[-1].wait)
            stack.callback(others[-1].kill)
        yield lambda: sum(machine.cpu_seconds(other.pid) for other in others)


def compete(contenders: tuple[Contender, ...], rules: Rules, say: Callable[[str], None]) -> dict[str, Any]:
    """Let contenders take turns. A round in which others used too much of the machine is drawn again.

    Returns:
        Plain JSON: `contenders`, by name, `flops`, `elsewhere`, the share of the machine that others used in the rounds
        that count, and `redrawn`, how many rounds do not.
    """
    result: dict[str, Any] = {"contenders": {}, "flops": None}
    found = result["contenders"]
    making = children(contenders, found, say, rules.verbose, rules.target is None)
    with making as alive, busy(rules.beside) as spent:
        running = list(alive)
        for name in running:
            found[name] |= {"seconds": [], "values": []}

        def used() -> float | None:
            return machine.elsewhere(spent() + sum(child.cpu() for child in alive.values()))

        start, turn, redrawn = time.perf_counter(), 0, 0
        shares: list[float | None] = []
        while running and turn < rules.rounds and (turn < 3 or time.perf_counter() - start < rules.budget):
            say(f"round {turn + 1} of at most {rules.rounds}")
            random.Random(turn + redrawn).shuffle(running)
            begun, before = time.perf_counter(), used()
            for name in list(running):
                time.sleep(_PAUSE)
                try:
                    told = alive[name].ask("turn")
                except LostError as error:
                    found[name]["error"] = str(error)
                    running.remove(name)
                    continue
                found[name]["seconds"].append(told["seconds"])
                found[name]["values"].append(told["value"])
                if rules.target is not None and told["value"] >= rules.target:
                    running.remove(name)
            share = machine.share(before, used(), time.perf_counter() - begun)
            # A race goes on from where it is: none of its rounds can be drawn again.
            if rules.target is None and (share or 0) > machine.BUSY and redrawn < _AGAIN * rules.rounds:
                redrawn += 1
                for name in running:
                    for told in ("seconds", "values"):
                        found[name][told].pop()
                continue
            turn += 1
            shares.append(share)
        known = [share for share in shares if share is not None]
        result |= {"elsewhere": sum(known) / len(known) if known else None, "redrawn": redrawn}
        for name, child in alive.items():
            if "error" not in found[name]:
                found[name] |= child.ask("peak") | child.ask("extras")
        if rules.flops in alive:
            result["flops"] = alive[rules.flops].ask("flops")["flops"]
    return result


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]
