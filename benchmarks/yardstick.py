"""One fair yardstick: what every learner reaches on one budget of processor time. `python -m benchmarks.yardstick`.

Trains and tests with the command line alone, one core a run, and keeps each number in `yardstick.json` as soon as it is
there; asked again, it goes on where it stopped. The tables of `docs/benchmarks.md` are drawn from that file.
"""

import argparse
import json
import os
import queue
import shlex
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from innerloop.evaluate.result import ONE_TRAINING

PLACE = Path(__file__).with_name("yardstick.json")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
_NOT_RUN = "<!-- not run: three hours of training -->"
EPISODES = 600


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Tasks that a run is tested on."""

    title: str
    trained: str
    """The data set it was trained on."""
    tested: str
    ways: int
    shots: int

    @property
    def options(self) -> list[str]:
        # 15 queries a class are 300 a task at 20 ways, which tell hardly more than 100.
        queries = 15 if self.ways < 20 else 5
        counts = {"ways": self.ways, "shots": self.shots, "queries": queries, "episodes": EPISODES}
        return ["--data", self.tested, *(word for k, v in counts.items() for word in (f"--{k}", str(v)))]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table."""

    name: str
    train: str
    """What follows `innerloop train`."""
    plan: str = "--plan loop --layout channels_last"
    """The fastest on one core; pinned, because this may run beside other things."""
    fixed: bool = False
    """Its network has one output a class: a training for every number of ways."""
    start: str = ""
    """The training (what follows `innerloop train`) whose parameters it takes as they are."""
    free: bool = False
    """Nothing is trained."""


SETTINGS = (
    Setting(title="5w1s", trained="omniglot", tested="omniglot", ways=5, shots=1),
    Setting(title="5w5s", trained="omniglot", tested="omniglot", ways=5, shots=5),
    Setting(title="20w1s", trained="omniglot", tested="omniglot", ways=20, shots=1),
    Setting(title="20w5s", trained="omniglot", tested="omniglot", ways=20, shots=5),
    Setting(title="kanji 5w1s", trained="kanji", tested="kanji", ways=5, shots=1),
    Setting(title="kanji to Omniglot 5w1s", trained="kanji", tested="omniglot", ways=5, shots=1),
)
_TWICE = "--plan loop --layout mixed"
"""The fastest for second derivatives."""
ENTRIES = (
    Entry(name="pixels, nearest centroid", train="nearest_centroid", free=True),
    Entry(name="untrained encoder, nearest centroid", train="nearest_centroid --network conv4", free=True),
    Entry(name="ProtoNet", train="protonet"),
    Entry(name="MAML", train="maml", fixed=True, plan=_TWICE),
    Entry(name="R2-D2", train="r2d2"),
    Entry(name="pre-training, SimpleShot", train="simple_shot"),
    Entry(name="the same, logistic regression", train="linear_probe", start="simple_shot"),
    Entry(name="the same, fine-tuned head", train="fine_tune", start="simple_shot"),
    Entry(name="multi-task training", train="multi_task"),
    Entry(name="Matching Networks", train="matching"),
    Entry(name="Gaussian memory", train="gaussian_memory"),
    Entry(name="first-order MAML", train="maml --first-order", fixed=True),
    Entry(name="Reptile", train="reptile", fixed=True),
    Entry(name="Meta-SGD", train="meta_sgd", fixed=True, plan=_TWICE),
    Entry(name="ANIL", train="anil", fixed=True, plan=_TWICE),
    Entry(name="LR-D2", train="logistic"),
    Entry(name="Relation Networks", train="relation"),
    Entry(name="Siamese, contrastive", train="siamese"),
    Entry(name="SimCLR, nearest centroid", train="self_supervised"),
    Entry(name="UMTRA tasks, ProtoNet", train="protonet --unsupervised"),
    Entry(name="self-training from ProtoNet, without unlabelled examples", train="self_training", start="protonet"),
    Entry(name="soft k-means, without unlabelled examples", train="soft_kmeans"),
    Entry(name="ProtoNet, cosine", train="protonet --distance cosine"),
    Entry(name="ProtoNet, Mahalanobis", train="protonet --distance mahalanobis"),
    Entry(name="Matching Networks, full context", train="matching --fce-steps 5"),
    Entry(name="Siamese, weighted L1", train="siamese --distance weighted_l1"),
    Entry(name="implicit MAML", train="imaml", fixed=True),
)


@dataclass(frozen=True)
class Job:
    """One training and its tests."""

    entry: Entry
    trained: str
    ways: int
    """0: any."""

    @property
    def key(self) -> str:
        words = self.entry.train.replace("--", "").replace(" ", "-")
        return f"{self.trained}/{words}{f'-{self.ways}w' if self.ways else ''}"

    @property
    def settings(self) -> list[Setting]:
        return [s for s in SETTINGS if s.trained == self.trained and self.ways in (0, s.ways)]

    def command(self, runs: Path, minutes: float) -> list[str]:
        words = ["innerloop", "train", *self.entry.train.split(), "--data", self.trained]
        if self.ways:
            words += ["--ways", str(self.ways)]
        if self.entry.start:
            words += ["--start", str(runs / self.trained / self.entry.start), "--steps", "0"]
        elif not self.entry.free:
            # As many steps as the time allows; the rate falls to zero within it.
            words += [
                "--cpu-minutes",
                f"{minutes:g}",
                "--steps",
                "1000000",
                "--schedule",
                "cosine",
                *self.entry.plan.split(),
            ]
        return [*words, "--out", str(runs / self.key)]


def jobs() -> list[Job]:
    """Every training, those that others start from before them."""
    found = []
    for trained in dict.fromkeys(s.trained for s in SETTINGS):
        ways = sorted({s.ways for s in SETTINGS if s.trained == trained})
        found += [Job(entry, trained, w) for entry in ENTRIES for w in (ways if entry.fixed else [0])]
    return found


def measure(job: Job, runs: Path, minutes: float, core: int) -> dict[str, Any]:
    """Train, then test in every setting."""
    command = job.command(runs, minutes)
    before = _speed(core)
    made = _innerloop(command, core)
    row: dict[str, Any] = {
        "date": str(date.today()),
        "machine": machine.describe(),
        "sgemm": (before + _speed(core)) / 2,
        "minutes": minutes,
        "command": shlex.join(command),
        "steps": made["steps"],
        "scores": {},
    }
    for setting in job.settings:
        words = ["innerloop", "test", str(runs / job.key), *setting.options, "--no-baselines", "--no-curve"]
        found = _innerloop(words, core)
        row["scores"][setting.title] = {k: found[k] for k in ("mean", "ci95")}
        row["scores"][setting.title]["command"] = shlex.join(words)
    return row


def _speed(core: int) -> float:
    """What float32 matrices reach on this core now; a shared machine changes by the hour."""
    return float(_alone([sys.executable, "-c", "from benchmarks import machine; print(machine.sgemm())"], core))


def _innerloop(words: list[str], core: int) -> dict[str, Any]:
    """One command's JSON."""
    return json.loads(_alone([str(Path(sys.executable).with_name(words[0])), *words[1:], "--json"], core))


def _alone(words: list[str], core: int) -> str:
    """One command on one core, after everything else that wants it; its last line."""
    place = ["nice", "-n", "19", *(["taskset", "-c", str(core)] if shutil.which("taskset") else [])]
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*place, *words], env=one, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.splitlines()[-1]


def page(rows: dict[str, Any]) -> str:
    """The tables, as Markdown; only rows that have a number."""
    lines = [f"| learner | {' | '.join(s.title for s in SETTINGS)} | CPU minutes |"]
    lines.append("| --- " * (len(SETTINGS) + 2) + "|")
    for entry in ENTRIES:
        found = [(s, rows.get(Job(entry, s.trained, s.ways if entry.fixed else 0).key)) for s in SETTINGS]
        measured = [(s, row) for s, row in found if row and s.title in row["scores"]]
        if not measured:
            continue
        scores = {s.title: row["scores"][s.title] for s, row in measured}
        cells = [_percent(scores[s.title]) if s.title in scores else "" for s in SETTINGS]
        minutes = "" if entry.free else f"{measured[0][1]['minutes']:g}"
        lines.append(f"| {entry.name} | {' | '.join(cells)} | {minutes} |")
    order = {job.key: i for i, job in enumerate(jobs())}
    commands = [f"$ {rows[key]['command']}{_remark(rows[key])}" for key in sorted(rows, key=order.__getitem__)]
    return "\n".join([*lines, "", _provenance(rows), "", _NOT_RUN, "```console", *commands, "```"])


def _provenance(rows: dict[str, Any]) -> str:
    """When and on what the rows were measured: most of them, and by name those that were measured otherwise."""
    names = {job.key: job.entry.name for job in jobs()}
    groups: dict[str, list[str]] = {}
    for key, row in rows.items():
        m = row["machine"]
        where = f"one core of {m['processor']}, {m['cores']} cores, torch {m['torch']}"
        groups.setdefault(f"{row['date']} on {where}", []).append(names.get(key, key))
    most, *others = sorted(groups, key=lambda group: -len(groups[group]))
    said = [f"; {', '.join(dict.fromkeys(groups[group]))} on {group}" for group in others]
    return f"{ONE_TRAINING}; measured on {most}{''.join(said)}."


def _remark(row: dict[str, Any]) -> str:
    """What the training came to in its time."""
    if not row["steps"]:
        return ""
    speed = f", {row['sgemm'] / 1e9:.0f} GFLOP/s" if "sgemm" in row else ""
    return f"  # {row['steps']:,} steps{speed}"


def _percent(score: dict[str, float]) -> str:
    return f"{100 * score['mean']:.1f} ± {100 * score['ci95']:.1f}"


def draw(rows: dict[str, Any]) -> None:
    """Bring the tables into the page."""
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{page(rows)}\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yardstick", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="of processor time for every training")
    parser.add_argument("--runs", type=Path, default=Path("runs/yardstick"), help="where run folders are kept")
    parser.add_argument("--only", default="", help="trainings whose name starts with one of these words")
    parser.add_argument("--report", action="store_true", help="measure nothing: draw the tables again")
    given = parser.parse_args()
    rows, lock = results.read(PLACE), threading.Lock()
    words = tuple(word for word in given.only.split(",") if word)
    cores: queue.SimpleQueue[int] = queue.SimpleQueue()
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    for core in available:
        cores.put(core)

    def work(job: Job) -> None:
        core = cores.get()
        try:
            row = measure(job, given.runs, given.minutes, core)
        except RuntimeError as error:
            print(f"{job.key}: {error}", file=sys.stderr)
            return
        finally:
            cores.put(core)
        with lock:
            rows[job.key] = row
            results.write(rows, PLACE)
            draw(rows)
        print(f"{job.key}: {row['scores']}", file=sys.stderr)

    if not given.report:
        waiting = [job for job in jobs() if job.key not in rows and (not words or job.key.startswith(words))]
        for started in (True, False):  # those that start from others come last
            with ThreadPoolExecutor(len(available)) as pool:
                list(pool.map(work, [job for job in waiting if bool(job.entry.start) != started]))
    draw(rows)


if __name__ == "__main__":
    main()
