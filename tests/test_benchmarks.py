"""The benchmarks' own arithmetic; nothing here is timed, and no peer is needed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import contest, report, results, shipped, yardstick
from benchmarks.__main__ import WORKLOADS, picked
from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender, Rules, compete

OURS, THEIRS = Contender(name="ours", make="tests.test_benchmarks:work"), Contender(name="theirs", make="a:b")
CLAIM = Claim(said="theirs", ours="ours", others=("theirs", "absent"), least=2, aim=4)
WORKLOAD = Workload(name="W", title="work", contenders=(OURS, THEIRS), claims=(CLAIM,))


def facts(*seconds: float, **more: object) -> dict[str, object]:
    plain = {"plan": "", "allocator": "default", "threads": None, "said": "", "ready": 0.0, "value": 1.0, "peak": 1e6}
    return plain | {"seconds": list(seconds), "values": []} | more


def row(**contenders: object) -> results.Row:
    about = {"processor": "some", "cores": "2", "torch": "2"}
    head = {"date": "2026-01-01", "machine": about, "command": "c", "elsewhere": 0.0, "flops": 1e9, "sgemm": 1e11}
    return head | {"contenders": contenders}


def test_ratios_are_paired_by_round() -> None:
    found = results.ratio(row(ours=facts(1, 2, 1), theirs=facts(3, 4, 5)), WORKLOAD, CLAIM)
    assert found is not None
    assert (found.theirs, found.found) == ("theirs", results.Spread(2, 3, 5))
    assert results.reached(CLAIM, found.found) == "yes"


def test_memory_and_time_are_to_be_at_most() -> None:
    claim = Claim(said="", ours="ours", others=("theirs",), least=1.3, aim=1.1, what="memory")
    found = results.ratio(row(ours=facts(1, peak=120), theirs=facts(1, peak=100)), WORKLOAD, claim)
    assert found is not None
    assert results.reached(claim, found.found) == "yes"
    assert results.reached(claim, results.Spread(1, 1.4, 2)) == "**no**"


def test_a_report_says_why_a_peer_is_missing(tmp_path: Path) -> None:
    place = tmp_path / "RESULTS.md"
    report.write({"W": row(ours=facts(1), theirs={"error": "not installed", **facts()})}, (WORKLOAD,), place)
    assert "not installed" in place.read_text()


def test_a_loss_that_differs_is_told(tmp_path: Path) -> None:
    place = tmp_path / "RESULTS.md"
    report.write({"W": row(ours=facts(1), theirs=facts(1, value=1.5))}, (WORKLOAD,), place)
    assert "another loss" in place.read_text()


def test_a_race_counts_only_who_arrives() -> None:
    found = row(ours=facts(1, 2, values=[0.5, 0.95]), theirs=facts(4, 5, values=[0.5, 0.8]))
    assert results.speed(found, "ours", 0.9) == results.Spread(3, 3, 3)
    assert results.speed(found, "theirs", 0.9) is None


def test_contenders_take_turns_and_failures_are_told() -> None:
    lost = Contender(name="lost", make="benchmarks.nowhere:nothing")
    work = Contender(name="work", make="tests.test_benchmarks:work", threads=1)
    found = compete((lost, work), Rules(rounds=2, budget=60), lambda said: None)
    assert "ModuleNotFoundError" in found["contenders"]["lost"]["error"]
    assert len(found["contenders"]["work"]["seconds"]) == 2
    json.dumps(found)


def test_a_round_beside_others_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.5, 0.0, 0.3, 0.1])
    monkeypatch.setattr("benchmarks.machine.share", lambda *_: next(shares))
    work = Contender(name="work", make="tests.test_benchmarks:work", threads=1)
    found = compete((work,), Rules(rounds=2, budget=60, beside=1), lambda said: None)
    assert len(found["contenders"]["work"]["seconds"]) == 2
    assert (found["redrawn"], found["elsewhere"]) == (2, 0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_what_takes_a_core_is_ended_whatever_ends_us(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr("benchmarks.contest.subprocess.Popen", Recorded)

    def burned() -> None:
        with contest.busy(2) as spent:
            while not spent():
                assert all(one.poll() is None for one in started)
                time.sleep(0.01)
            raise error

    with pytest.raises(error):
        burned()
    assert len(started) == 2 and all(one.returncode == -signal.SIGKILL for one in started)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_takes_a_core_ends_where_we_are_killed() -> None:
    command = [sys.executable, "-S", "-c", contest.BURN]
    starting = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([*sys.argv[1:], str(os.getpid())], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", starting, *command], stdout=subprocess.PIPE, text=True) as us:
        assert us.stdout is not None
        burner = int(us.stdout.readline())
        assert alive(burner)
        us.kill()
    until = time.monotonic() + 60
    while alive(burner) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(burner)


def test_a_row_with_one_core_taken_stands_beside_the_other(tmp_path: Path) -> None:
    rows: dict[str, results.Row] = {}
    results.put(rows, "W", row(ours=facts(1), theirs=facts(9)), busy=True)
    results.put(rows, "W", row(ours=facts(1), theirs=facts(3)), busy=False)
    report.write(rows, (WORKLOAD,), tmp_path / "RESULTS.md")
    idle, taken = (tmp_path / "RESULTS.md").read_text().split("with one core taken by another process")
    assert "3.00x" in idle and "9.00x" in taken


def work() -> object:
    from benchmarks.child import Work

    return Work(run=lambda: 1.0, single=True)


def test_workloads_are_named_once_and_claims_name_contenders() -> None:
    assert len({w.name for w in WORKLOADS}) == len(WORKLOADS)
    for workload in WORKLOADS:
        names = {c.name for c in workload.contenders}
        assert len(names) == len(workload.contenders)
        for claim in workload.claims:
            assert claim.missing or {claim.ours, *claim.others, *claim.alternatives} <= names, workload.name
        assert workload.flops in names | {""}


def test_only_takes_groups_and_names() -> None:
    assert [w.name for w in picked("w3")] == ["W3.1", "W3.5"]
    assert [w.name for w in picked("W1.5")] == ["W1.5"]
    with pytest.raises(SystemExit, match="no workload w9"):
        picked("W9")


def test_the_yardstick_in_the_docs_is_the_one_that_was_measured() -> None:
    rows = results.read(yardstick.PLACE)
    assert set(rows) <= {job.key for job in yardstick.jobs()}
    assert yardstick.page(rows) in yardstick.PAGE.read_text()


def test_what_ships_is_calibrated_again_with_the_same_weights(tmp_path, monkeypatch):
    name, place = "kanji-protonet", tmp_path / "shipped"
    before = shutil.copytree(shipped.SHIPPED / name, place / name)
    weights, card = (before / "params.safetensors").read_bytes(), (before / "card.md").read_text()
    monkeypatch.setattr(shipped, "SHIPPED", place)
    monkeypatch.setattr(
        shipped, "_tested", lambda *_: {"mean": 0.5, "ci95": 0.01, "hash": "0" * 16, "protocol": {"episodes": 600}}
    )
    monkeypatch.setattr(shipped, "_photographs", lambda _: "29.7 ± 0.9")
    calibrated = []

    def calibrate(run):
        calibrated.append(run)
        content = json.loads((before / "calibration.json").read_text())
        (run / "calibration.json").write_text(json.dumps(content | {"coverage": 0.42}))

    monkeypatch.setattr(shipped, "calibrate", calibrate)
    shipped.make(name, tmp_path / "work", keep_weights=True)
    assert calibrated == [tmp_path / "work" / name]
    assert (place / name / "params.safetensors").read_bytes() == weights
    again = (place / name / "card.md").read_text()
    assert "42% of those that are of one are accepted" in again and "50.0 ± 1.0" in again
    assert shipped.shipped_steps(place / name) == 3326 and f"{3326:,} steps" in card
    head = "## Where it fails"
    assert again[again.index(head) :] == card[card.index(head) :]
