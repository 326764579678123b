"""Processes that are killed at any moment, workers side by side, and a PostgreSQL that goes away.

CI kills a study twice, one worker and then two. Ten times, of twelve trials, take two minutes and more:

    INNERLOOP_KILLS=10 python -m pytest -n 0 -m slow tests/studies/test_killed.py -k killed
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from innerloop.core.context import Context
from innerloop.studies import storage
from innerloop.studies.claims import OUTCOME, REASON
from innerloop.studies.final import rows_of
from innerloop.studies.study import open_, tune, work
from tests.studies.small import options, settings

pytest.importorskip("optuna")
KILLS = int(os.environ.get("INNERLOOP_KILLS", "2"))
TRIALS = min(KILLS + 2, 12)
MOST = 2
"""Workers of one command."""


def start(out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The same study in a process group of its own, which ends as one."""
    code = (
        "from tests.studies.small import options, settings\n"
        "from innerloop.studies.study import tune\n"
        "if __name__ == '__main__':\n"
        f"    tune(options(steps=40), settings(trials={TRIALS}, workers={workers}), {str(out)!r})\n"
    )
    script = out.parent / f"{out.name}-{workers}.py"
    script.write_text(code)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(script)]
    # In a file, which outlives who is killed: a pipe would fill, and nobody reads it.
    with (out.parent / "stderr").open("ab") as stderr:
        return subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ends(out: Path) -> list[int]:
    """The slots of all attempts in the storage that came to an end."""
    study = open_(options(steps=40), settings(trials=TRIALS), out)
    ended = [
        slot
        for slot, attempts in study.board.slots().items()
        for t in attempts
        if t.state.is_finished() and (t.state.name != "FAIL" or t.user_attrs.get(REASON))
    ]
    return sorted(ended)


def whole(out: Path) -> None:
    """As many trials as were asked for, none twice, and each a run that went through every step once."""
    slots = ends(out)
    assert len(slots) == TRIALS == len(set(slots))
    folders = sorted(path for path in (out / "trials").iterdir() if path.is_dir() and (path / "trial.json").exists())
    assert [int(path.name) for path in folders] == slots
    for path in folders:
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "loss" in line] == list(range(1, 41)), path


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills process groups")
def test_a_study_killed_again_and_again_ends_with_the_trials_asked_for(tmp_path):
    out, draws = tmp_path / "s", random.Random(5)
    for i in range(KILLS):
        process = start(out, 1 + i % MOST)
        if i == 0:
            wait_for(lambda: (out / "trials").exists())
        # Never so late that all is done: every worker may still end a trial until it is killed.
        until, most = time.monotonic() + draws.uniform(0.5, 5), min(i, TRIALS - MOST - 1)
        while time.monotonic() < until and len([*out.glob(f"trials/*/{OUTCOME}")]) <= most:
            time.sleep(0.02)
        kill(process)
    assert len(ends(out)) < TRIALS, "it was killed while there was work"
    assert start(out, MOST).wait(timeout=300) == 0, (out.parent / "stderr").read_text()[-3000:]
    whole(out)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills process groups")
def test_two_commands_on_one_file_share_the_trials(tmp_path):
    out = tmp_path / "s"
    both = [start(out, 1), start(out, 1)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    whole(out)


def wait_for(what: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


class Server:
    """A PostgreSQL on a socket in a folder, which can be stopped and started."""

    def __init__(self, folder: Path, bin: Path):
        self.folder, self.bin = folder, bin
        self.data, self.place = folder / "data", folder / "socket"
        self.place.mkdir()
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            for path in (folder, *folder.parents):
                if path == Path("/") or path.owner() != "root" or path == Path("/tmp"):
                    break
                path.chmod(0o755)
            shutil.chown(folder, "postgres")
            shutil.chown(self.place, "postgres")
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres")
        self.start()

    def start(self) -> None:
        options = f"-k {self.place} -h ''"
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-w", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.place}"

    def _run(self, name: str, *words: str) -> None:
        subprocess.run([*self.user, str(self.bin / name), *words], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture
def server():
    import tempfile

    pytest.importorskip("psycopg")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not places[-1].is_file():
        pytest.skip("there is no PostgreSQL server on this machine")
    if os.getuid() == 0 and (shutil.which("runuser") is None or not _is_user("postgres")):
        pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a path of a socket may be short alone
        one = Server(Path(folder), places[-1].parent)
        yield one
        one.stop()


def _is_user(name: str) -> bool:
    import pwd

    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sockets in folders")
def test_postgresql_of_two_machines_that_goes_away_in_mid_study(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(storage, "_PAUSE", 0.2)
    asked = settings(trials=6, storage=server.url, name="shared")
    here = open_(options(steps=30), asked, tmp_path / "a")
    there = open_(options(steps=30), asked, tmp_path / "b")
    thread = threading.Thread(target=lambda: work(there, Context()))
    thread.start()
    wait_for(lambda: (tmp_path / "b" / "trials").exists())
    server.stop()
    thread_here = threading.Thread(target=lambda: work(here, Context()))
    thread_here.start()
    time.sleep(2)
    server.start()
    thread.join(120)
    thread_here.join(120)
    rows = rows_of(here)
    assert len(rows) == 6 and all(row.complete for row in rows)
    assert "does not answer; waiting" in capsys.readouterr().err
    assert len(rows_of(tune(options(steps=30), asked, tmp_path / "a"))) == 6
