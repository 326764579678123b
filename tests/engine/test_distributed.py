"""Real processes, started by torchrun on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.engine import Interrupted, distributed, load, meta_gradient
from innerloop.engine.distributed import World, join, only_first_prints
from innerloop.engine.plan import cores
from tests.compared import distance
from tests.engine import worker

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
MINUTE = 60


def torchrun(processes: int, *command: str | Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in distributed.VARIABLES} | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*TORCHRUN, str(processes), "-m", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def trained(processes: int, folder: Path, *changes: dict) -> None:
    folder.mkdir()
    process = torchrun(processes, "tests.engine.worker", folder, *map(json.dumps, changes))
    said, errors = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 0, said + errors


def metrics(run: Path) -> list[dict]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {
            k: pytest.approx(v, rel=1e-9, abs=1e-9)
            for k, v in (entry.get("validation") or entry).items()
            if k[:5] != "tasks" and not isinstance(v, str)
        }
        for entry in found
    ]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def world(rank: int, size: int) -> World:
    one = World()
    one.rank, one.size = rank, size
    return one


@pytest.mark.parametrize(("count", "size"), [(8, 2), (5, 2), (2, 3), (0, 2), (7, 1), (100, 7)])
def test_shares_are_even_and_leave_nothing_out(count, size):
    shares = [world(rank, size).share(count) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(count))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


def test_alone_nothing_is_done(monkeypatch, capsys):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    gradient, values = {"w": torch.ones(2)}, {"loss": torch.ones(())}
    with join() as alone, only_first_prints():
        found = alone.mean(gradient, values, 1.0, True)
        print("heard")
    assert found[0] is gradient and found[1] is values and found[2] is True
    assert alone.on_rank_zero(lambda: 3) == 3 and not torch.distributed.is_initialized()
    assert capsys.readouterr().out == "heard\n"


GIVEN = dict(zip(distributed.VARIABLES, ("0", "2", "0", "2", "localhost", "1"), strict=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict.fromkeys(("RANK", "MASTER_ADDR"), ""), "no RANK, MASTER_ADDR: start .*torchrun"),
        ({"WORLD_SIZE": "", "RANK": "1"}, "no WORLD_SIZE"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two in the environment makes no sense"),
        ({"RANK": "2"}, "RANK=2, WORLD_SIZE=2"),
        ({"LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE=0"),
    ],
)
def test_half_an_environment_is_refused(monkeypatch, tmp_path, change, says):
    for name, value in (GIVEN | change).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=says):
        worker.train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_processes_of_a_host_share_its_cores(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    every = cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert cores() == max(1, every // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000000")
    assert cores() == 1


CASES: tuple[dict[str, Any], ...] = (
    {"steps": 1, "meta_lr": 1.0},
    {"meta_batch_size": 2},
    {"plan": "vmap", "chunk": 2},
    {"plan": "auto"},
)


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_are_one(tmp_path, processes):
    """Shares of 3 + 2, 1 + 1, 2 + 2 + 1 and 1 + 1 + 0 tasks."""
    trained(processes, tmp_path / "many", *CASES)
    start = worker.LEARNER.init(0)
    step = load(tmp_path / "many" / "0", allow=("tests",))[1]
    gradient, _ = meta_gradient(worker.LEARNER, start, worker.Tasks().episodes(0, 5), "loop")
    assert distance({k: start[k] - step[k] for k in start}, gradient) < 1e-12

    for i, changes in enumerate(CASES):
        expected = worker.train(tmp_path / "one" / str(i), **changes)
        run, alone = tmp_path / "many" / str(i), tmp_path / "one" / str(i)
        assert distance(load(run, allow=("tests",))[1], expected) < 1e-10
        assert metrics(run) == metrics(alone)
        every = [torch.load(tmp_path / "many" / f"{i}.{rank}.pt") for rank in range(processes)]
        assert all(same(params, every[0]) for params in every), "not the same bits in all processes"
        assert sorted(os.listdir(run)) == sorted(os.listdir(alone)), "only one process writes"
        assert torch.load(run / "state.pt", weights_only=True)["world_size"] == processes


LONG = {"steps": 150, "meta_lr": 0.05, "checkpoint_every": 10, "validate_every": 10}


class Job:
    """A training on two processes that can be disturbed once it has begun."""

    def __init__(self, folder: Path, **changes):
        folder.mkdir(exist_ok=True)
        self.folder, self.run = folder, folder / "0"
        self.process = torchrun(2, "tests.engine.worker", folder, json.dumps(LONG | {"pause": 0.02} | changes))

    def disturb(self, rank: int, number: signal.Signals) -> None:
        deadline = time.monotonic() + MINUTE
        # What a checkpoint writes last.
        while not (self.run / "state.pt").exists():
            assert time.monotonic() < deadline and self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        os.kill(int((self.folder / f"{rank}.pid").read_text()), number)

    def end(self) -> tuple[float, list[str], str]:
        """Seconds until it ended, what innerloop said, and everything on standard error."""
        began = time.monotonic()
        said, errors = self.process.communicate(timeout=2 * MINUTE)
        return time.monotonic() - began, [line for line in said.splitlines() if line.startswith("innerloop:")], errors

    @property
    def step(self) -> int:
        return torch.load(self.run / "state.pt", weights_only=True)["step"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job_and_another_number_goes_on(tmp_path, rank):
    job = Job(tmp_path / "job")
    job.disturb(rank, signal.SIGKILL)
    seconds, said, errors = job.end()
    assert seconds < MINUTE and job.process.returncode == 1
    assert len(said) == 1 and f"rank {rank} is gone" in said[0] and "at step" in said[0], (said, errors)
    assert "Start the same command again" in said[0]
    assert job.step % 10 == 0 and job.step > 0
    assert load(job.run, allow=("tests",))[1], "what has its name is whole"
    expected = worker.train(tmp_path / "unbroken", **LONG)
    assert distance(worker.train(job.run, **LONG), expected) < 1e-8
    assert metrics(job.run) == metrics(tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.exact
@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGTERM), (1, signal.SIGTERM), (1, signal.SIGINT)])
def test_a_signal_to_one_process_saves_and_the_job_goes_on_bit_for_bit(tmp_path, rank, number):
    job = Job(tmp_path / "job")
    job.disturb(rank, number)
    seconds, said, errors = job.end()
    assert seconds < MINUTE and said == [f"innerloop: {Interrupted(job.step)}"], (said, errors)
    trained(2, tmp_path / "unbroken", LONG)
    assert Job(tmp_path / "job", pause=0).process.wait(timeout=MINUTE) == 0
    found, expected = (load(tmp_path / name / "0", allow=("tests",))[1] for name in ("job", "unbroken"))
    assert same(found, expected)


@pytest.mark.slow
def test_a_process_that_only_went_silent_ends_the_job(tmp_path):
    """As a host without power does: its connections stay open."""
    job = Job(tmp_path / "job")
    job.disturb(1, signal.SIGSTOP)
    deadline, first = time.monotonic() + MINUTE, int((job.folder / "0.pid").read_text())
    while Path(f"/proc/{first}").exists():
        assert time.monotonic() < deadline, "the first process still waits"
        time.sleep(0.1)
    job.disturb(1, signal.SIGKILL)  # torchrun would, after 30 seconds: a host that is down needs no signal
    _, _, errors = job.end()
    said = [line for line in errors.splitlines() if line.startswith("innerloop:")]
    assert job.process.returncode == 1
    assert len(said) == 1 and "rank 1 has given no sign of life" in said[0], errors


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_crash_in_one_process_is_told_by_that_process(tmp_path, rank):
    job = Job(tmp_path / "job", crash=(rank, 100))
    seconds, said, errors = job.end()
    assert seconds < MINUTE and job.process.returncode == 1
    assert not said and errors.count("KeyError: 'crash'") == 1
    assert job.step == 20


@pytest.mark.slow
def test_what_all_processes_find_is_said_once(tmp_path):
    job = Job(tmp_path / "job", meta_lr=1e308)
    _, said, errors = job.end()
    assert len(said) == 1 and "is not finite" in said[0], (said, errors)
    job = Job(tmp_path / "job")
    _, said, errors = job.end()
    assert len(said) == 1 and "holds another run" in said[0], (said, errors)


@pytest.mark.slow
def test_the_command_line_speaks_once(tmp_path):
    options = ("--data", "digits", "--ways", "2", "--steps", "3", "--width", "4", "--out", str(tmp_path / "run"))
    process = torchrun(2, "innerloop.cli.main", "train", "maml", *options)
    said, errors = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 0, errors
    assert [line.partition(" ")[0] for line in said.splitlines()] == ["maml:", "next:"]
    process = torchrun(2, "innerloop.cli.main", "train", "maml", "--stepz", "3")
    said, errors = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 1 and (said + errors).count("Perhaps you meant") == 1


def test_a_watcher_of_the_first_process_stops_all_of_them(tmp_path):
    trained(2, tmp_path / "two", {"stop": 2, "steps": 6, "validate_every": 0})
    state = torch.load(tmp_path / "two" / "0" / "state.pt", weights_only=True)
    assert state["step"] == 3, "the others hear of it with the next step"
    first, second = (torch.load(tmp_path / "two" / f"0.{rank}.pt") for rank in (0, 1))
    assert same(first, second)
