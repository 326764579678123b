"""A stream that is watched, beside theory and under kill -9. `python -m benchmarks.watch`.

charts: a label with a true share of 10% comes to a chart through a classifier that names 85% of its texts, and 5% of
the others, by it. Mean windows until it alerts without a change, and after one to 20, 30 and 50% (from where the chart
is after 200 windows), beside the Markov chain's, for both charts and three sizes of windows.
warmup: the same through a whole board, whose usual shares and limits come from 24 windows: simulated boards beside the
theory of their own charts, and how long a whole board runs until anything alerts.
kills: the messages of the guide forty times over in windows of 10 minutes, by `innerloop watch` with the guide's
two tasks, killed 20 times at random while it takes them.
day: 1,000,000 events of 24 hours in windows of 10 minutes, two tasks whose labels are known (no encoder), with the
state on disk: events a second, memory, and how long a process needs that finds what a killed one left.

What comes out is kept in `watch.json`; `docs/guide/watch.md` tells it.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from innerloop.apps.text.watch import charts
from innerloop.apps.text.watch.board import Board
from innerloop.apps.text.watch.charts import Chart, odds_times
from innerloop.apps.text.watch.correction import Confusion
from innerloop.apps.text.watch.run_length import chain, run_lengths, settled
from innerloop.apps.text.watch.settings import Settings
from innerloop.apps.text.watch.state import State
from innerloop.apps.text.watch.tasks import Subject
from innerloop.apps.text.watch.watch import Watch
from innerloop.core.interval import interval

PLACE = Path(__file__).with_name("watch.json")
GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "watch"
NAMED, MISTAKEN = 0.85, 0.05
"""What the classifier calls by a label: of its texts, and of others."""
BASE, SHIFTS = 0.1, (0.2, 0.3, 0.5)
LENGTH, SIZES = 500.0, (20, 50, 200)
SETTLE = 200
EVENTS, DAY, BATCH = 1_000_000, 86_400, 1_000


def answered(share: float) -> float:
    """The share of answers with the label where it has a true share."""
    return share * NAMED + (1 - share) * MISTAKEN


def drawn(rng: np.random.Generator, size: int, share: float, many: int) -> np.ndarray:
    """Counts of answers with the label, of texts whose true labels are drawn first."""
    true = rng.binomial(size, share, many)
    return rng.binomial(true, NAMED) + rng.binomial(size - true, MISTAKEN)


def until(chart: Chart, counts: Iterator[int], size: int) -> int:
    """Windows until a chart alerts."""
    for i, count in enumerate(counts, 1):
        chart = chart.after(count, size, i)
        if chart.on:
            return i
    raise AssertionError("counts do not end")


def stream(rng: np.random.Generator, size: int, share: float) -> Iterator[int]:
    """Counts of windows without an end."""
    while True:
        yield from drawn(rng, size, share, 256).tolist()


def beside(found: Sequence[float], theory: float) -> dict[str, Any]:
    """A mean with its interval, the theory, and their ratio."""
    mean, ci95 = interval(list(map(float, found)))
    return {"mean": mean, "ci95": ci95, "theory": theory, "ratio": mean / theory, "runs": len(found)}


def measure_charts(runs: int = 1_000) -> dict[str, Any]:
    """Run lengths of single charts whose base is known."""
    results: dict[str, Any] = {}
    for kind in charts.KINDS:
        for size in SIZES:
            rng, usual = np.random.default_rng(size), answered(BASE)
            one = charts.design(kind, usual, answered(odds_times(BASE, 2)), [size], LENGTH)
            moves = chain(one.decay, one.steps([size], usual), one.limit)
            found = [until(Chart(design=one), stream(rng, size, BASE), size) for _ in range(runs)]
            about = {"usual": beside(found, float(run_lengths(moves)[0]))}
            starts = _settled(one, rng, size, runs)
            for shift in SHIFTS:
                after = run_lengths(chain(one.decay, one.steps([size], answered(shift)), one.limit))
                found = [until(chart, stream(rng, size, shift), size) for chart in starts]
                about[f"to {shift:g}"] = beside(found, float(settled(moves) @ after))
            results[f"{kind}, {size} a window"] = about
            print(kind, size, json.dumps(about), flush=True)
    return results


def _settled(one: charts.Design, rng: np.random.Generator, size: int, many: int) -> list[Chart]:
    """Charts that have run for a while and did not alert."""
    found: list[Chart] = []
    while len(found) < many:
        chart = Chart(design=one)
        for i, count in zip(range(SETTLE), stream(rng, size, BASE), strict=False):
            chart = chart.after(count, size, i)
            if chart.on:
                break
        else:
            found.append(chart)
    return found


def measure_warmup(boards: int = 300, size: int = 50, most: int = 20_000) -> dict[str, Any]:
    """Run lengths of boards whose usual shares are learned."""
    held_out = np.array([[NAMED, 1 - NAMED], [MISTAKEN, 1 - MISTAKEN]]) * 200
    subject = Subject(name="topic", answers=("a", "b"), confusion=Confusion(held_out), digest="")
    settings = Settings(run_length=LENGTH)
    rng = np.random.default_rng(0)
    lengths, own = [], {kind: ([], []) for kind in charts.KINDS}
    delays: dict[str, tuple[list[int], list[float]]] = {
        f"{k}, to {s:g}": ([], []) for k in charts.KINDS for s in SHIFTS
    }
    for _ in range(boards):
        board, counts = Board([subject], settings), stream(rng, size, BASE)
        for i in range(settings.warmup):
            count = next(counts)
            board.close(i, [count, size - count])
        for j, kind in enumerate(charts.KINDS):
            one = board.charts[0][j].design
            moves = chain(one.decay, one.steps([size], answered(BASE)), one.limit)
            theory = float(run_lengths(moves)[0])
            if theory < most:  # of others a mean would take hours
                own[kind][0].append(until(board.charts[0][j], stream(rng, size, BASE), size))
                own[kind][1].append(theory)
            for shift in SHIFTS:
                after = run_lengths(chain(one.decay, one.steps([size], answered(shift)), one.limit))
                found, expected = delays[f"{kind}, to {shift:g}"]
                found.append(until(_settled(one, rng, size, 1)[0], stream(rng, size, shift), size))
                expected.append(float(settled(moves) @ after))
        lengths.append(0)
        while lengths[-1] < most:
            count, lengths[-1] = next(counts), lengths[-1] + 1
            if board.close(settings.warmup + lengths[-1], [count, size - count]):
                break
    results: dict[str, Any] = {
        "whole board": {"asked": LENGTH, "median": statistics.median(lengths), "boards": boards}
        | {"within_asked": sum(length < LENGTH for length in lengths) / boards, "most": most}
    }
    for name, (found, expected) in {**own, **delays}.items():
        results[name] = beside(found, statistics.fmean(expected))
    print(json.dumps(results), flush=True)
    return results


def measure_kills(kills: int = 20, times: int = 40) -> dict[str, Any]:
    """Alerts of a day that is replayed with kills, beside those of one without."""
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), random.Random(0)
        for task in ("topic", "mood"):
            out = str(folder / f"{task}.fewshot")
            _run(["adapt", "use-multilingual", str(GUIDE / f"{task}.csv"), "--out", out])
        lines = [json.loads(line) for line in (GUIDE / "messages.jsonl").read_text(encoding="utf-8").splitlines()]
        day = [line | {"id": f"{line['id']}.{i}"} for line in lines for i in range(times)]
        (folder / "day.jsonl").write_text("\n".join(map(json.dumps, day)) + "\n", encoding="utf-8")

        size = (folder / "day.jsonl").stat().st_size

        def words(state: str) -> list[str]:
            tasks = [str(folder / f"{task}.fewshot") for task in ("topic", "mood")]
            where = ["--state", str(folder / state), "--alerts", str(folder / f"{state}.jsonl"), "--window", "10m"]
            return ["watch", *tasks, "--input", str(folder / "day.jsonl"), "--finish", *where]

        _run(words("whole"))
        places = [0]
        for _ in range(kills):
            with subprocess.Popen(_command(words("killed")), stdout=subprocess.DEVNULL) as process:
                while _bytes(folder / "killed") == places[-1] and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 1))
                process.send_signal(signal.SIGKILL)
            places.append(_bytes(folder / "killed"))
            print("killed at byte", places[-1], flush=True)
        _run(words("killed"))
        texts = [(folder / f"{state}.jsonl").read_bytes() for state in ("whole", "killed")]
        alerts = len(texts[0].splitlines())
        landed = sum(a < b for a, b in itertools.pairwise(places)) - (places[-1] == size)
        results = {"kills": landed, "events": len(day), "alerts": alerts, "same_bytes": texts[0] == texts[1]}
    print(json.dumps(results), flush=True)
    return results


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "innerloop", *words]


def _run(words: Sequence[str]) -> None:
    subprocess.run(_command(words), check=True, stdout=subprocess.DEVNULL)


def _bytes(state: Path) -> int:
    """Where it has come to in its input."""
    if not state.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
        except sqlite3.OperationalError:  # it is just being made
            return 0
    return 0 if row is None else json.loads(row[0])["bytes"]


class Known:
    """Two tasks that read the first two letters of a text."""

    subjects = (
        Subject(name="topic", answers=tuple("abc"), confusion=Confusion(np.eye(3) * 50 + 5), digest=""),
        Subject(name="mood", answers=tuple("gh"), confusion=Confusion(np.eye(2) * 50 + 5), digest=""),
    )

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.array([["abc".index(text[0]), "gh".index(text[1])] for text in texts])


def _lines() -> Iterator[bytes]:
    rng = random.Random(0)
    for i in range(EVENTS):
        at = 1_767_225_600 + DAY * i / EVENTS - rng.expovariate(1 / 30)
        topic = "a" if rng.random() < (0.1 if i < 0.7 * EVENTS else 0.2) else rng.choice("bc")
        event = {"text": f"{topic}{rng.choice('gh')} {i}", "time": round(at, 3), "id": i, "source": "simulated"}
        yield json.dumps(event).encode()


def take_day(folder: Path) -> None:
    """The day in a process of its own, which kills itself in the middle of one more batch."""
    state = State(folder / "state", {})
    watch, lines = Watch(Known(), Settings(window="10m", warmup=36), state), _lines()
    facts: dict[str, Any] = {"base_mb": _peak(), "megabytes": {}}
    spent, taken = 0.0, 0
    while part := [line for _, line in zip(range(BATCH), lines, strict=False)]:
        start = time.perf_counter()
        watch.take(part, {"lines": taken + len(part)})
        spent += time.perf_counter() - start
        taken += len(part)
        if taken in (EVENTS // 10, EVENTS // 2, EVENTS):
            facts["megabytes"][taken] = _peak()
    facts |= {"events_a_second": taken / spent, "tally": dict(watch.tally), "windows": watch.closed}
    facts["alerts"] = [json.loads(b)["labels"] for (b,) in state.connection.execute("SELECT body FROM alerts")]
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    state.connection.execute("BEGIN IMMEDIATE")
    state.put("position", {"lines": -1})
    os.kill(os.getpid(), signal.SIGKILL)


def measure_day() -> dict[str, Any]:
    """Events a second, memory, and recovery."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "benchmarks.watch", "--take-day", name], check=False)
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        facts["disk_mb"] = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        start = time.perf_counter()
        state = State(folder / "state", {})
        watch = Watch(Known(), Settings(window="10m", warmup=36), state)
        facts["opened_s"] = time.perf_counter() - start
        assert state.get("position") == {"lines": EVENTS}
        watch.take([b'{"text": "ag", "time": 1767312000, "id": "one more"}'], {"lines": EVENTS + 1})
        facts["first_batch_s"] = time.perf_counter() - start
        state.close()
    print(json.dumps(facts), flush=True)
    return facts


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"charts": measure_charts, "warmup": measure_warmup, "kills": measure_kills, "day": measure_day}
    parser.add_argument("parts", nargs="*", choices=[[], *parts], help="which to measure; all, where none is named")
    parser.add_argument("--take-day", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take_day is not None:
        take_day(options.take_day)
    kept = json.loads(PLACE.read_text(encoding="utf-8")) if PLACE.exists() else {}
    for part in options.parts or list(parts):
        kept[part] = parts[part]() | {"date": date.today().isoformat(), "machine": machine.describe()}
        PLACE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
