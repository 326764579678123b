import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from innerloop.apps.text.watch import page
from innerloop.apps.text.watch.run import Input, Output, watch
from innerloop.apps.text.watch.tasks import Tasks, Teaching
from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from tests.apps.text.watch import streams
from tests.apps.text.watch.streams import line, surging, teach, write
from tests.service.live import free_port

ALLOW = Context(allow=("tests",))
QUICK = ["--warmup", "5", "--run-length", "100", "--allow", "tests"]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> tuple[Path, Path]:
    return teach(tmp_path_factory.mktemp("tasks"))


def test_two_tasks_on_one_encoder_encode_a_text_once(tasks):
    both, apart = Tasks(tasks, ALLOW), [Tasks([one], ALLOW) for one in tasks]
    texts = ["ag", "bh", "ch", "ag"]
    streams.encoded.clear()
    found = both(texts)
    assert both.shared and streams.encoded == [4]
    assert found.tolist() == [[0, 0], [1, 1], [2, 1], [0, 0]]
    assert (found == np.concatenate([one(texts) for one in apart], 1)).all()
    assert [subject.name for subject in both.subjects] == ["topic", "mood"]
    assert all(subject.confusion is not None for subject in both.subjects)


def test_tasks_that_cannot_be_watched(tasks, tmp_path):
    rows = FewShotClassifier().fit(np.eye(4, dtype=np.float32), ["x", "x", "y", "y"]).save(tmp_path / "rows.fewshot")
    for names, said in (
        ([], "give one or 2"),
        ([tasks[0]] * 3, "give one or 2"),
        ([tasks[0]] * 2, "given twice"),
        ([rows], "taught texts"),
        (["none.fewshot"], "does not exist"),
    ):
        with pytest.raises(InputError, match=said):
            Tasks(names, ALLOW)


def test_a_table_is_taught_as_adapt_teaches_it(tasks, tmp_path):
    table = tmp_path / "topic.csv"
    table.write_text("text,label\nag,a\nah,a\nbg,b\nbh,b\n")
    read = Tasks([table, tasks[1]], ALLOW, Teaching(source=streams.ENCODER, prior=("none",)))
    assert read(["ag", "bh"]).tolist() == [[0, 0], [1, 1]] and read.shared
    again = Tasks([table, tasks[1]], ALLOW, Teaching(source=streams.ENCODER))
    assert [one.digest for one in again.subjects] == [one.digest for one in read.subjects]
    for names, teaching, said in (
        ([table], Teaching(source=streams.ENCODER, prior=("polarity",)), "makes others"),
        ([table], Teaching(source=streams.ENCODER, prior=("none",) * 3), "3 priors are given for 1 tasks"),
        ([tasks[0]], Teaching(), "was taught before"),
    ):
        with pytest.raises(InputError, match=said):
            Tasks(names, ALLOW, teaching)


def test_the_command_line_alerts_and_goes_on_and_draws_a_page(tasks, tmp_path, capsys):
    lines = surging()
    file, report = write(tmp_path / "in.jsonl", lines[:300]), tmp_path / "page.html"
    words = ["watch", *map(str, tasks), "--input", str(file), "--state", str(tmp_path / "s"), *QUICK]
    words += ["--alerts", str(tmp_path / "a.jsonl")]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["alerts"] == 0
    write(file, [*lines, b"no json"])
    assert main([*words, "--report", str(report), "--finish"]) == 0
    out, err = capsys.readouterr()
    assert out.count("RISE: a is at") == 1 and "RISE: a × h" in out and "561 events" not in out and "560 events" in out
    assert err.count("1 lines that are no JSON object") == 1
    kept = [json.loads(one) for one in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["number"] for one in kept] == [*range(1, len(kept) + 1)] and kept[0]["labels"] == {"topic": "a"}
    html = report.read_text(encoding="utf-8")
    assert kept[0]["sentences"][0]["text"] in html and html.count("<svg") >= 8 and "Do it again" in html
    assert main([*words, "--json"]) == 0, "nothing new"
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["alerts"] == len(kept)
    assert main([*words, "--window", "2h"]) == 2
    assert "window was 1h, now 2h" in capsys.readouterr().err
    other = ["watch", str(tasks[0]), *words[3:]]
    assert main(other) == 2 and "task mood was" in capsys.readouterr().err


def test_an_empty_stream_has_a_page_too(tasks, tmp_path):
    pytest.importorskip("matplotlib", reason="pages need the extra report")
    file = write(tmp_path / "in.jsonl", [line("ag", 0)])
    done = watch(
        tasks,
        Input(place=str(file)),
        output=Output(state=str(tmp_path / "s"), report=str(tmp_path / "p.html")),
        context=ALLOW,
    )
    assert done.report is not None and "nothing" in done.report.read_text(encoding="utf-8")
    assert done.summary.waiting == 1 and any("wait until" in note for note in done.summary.notes)
    assert page.write  # the only place that needs the extra


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Input(place="-", follow=True), "--follow is of files and feeds"),
        (Input(place="none.jsonl"), "does not exist"),
        (Input(place="http", host="0.0.0.0", port=0), "must show a token"),
    ],
)
def test_inputs_that_cannot_be(tasks, tmp_path, source, said, monkeypatch):
    monkeypatch.delenv("INNERLOOP_WATCH_TOKEN", raising=False)
    with pytest.raises(InputError, match=said):
        watch(tasks, source, output=Output(state=str(tmp_path / "s")), context=ALLOW)


@pytest.mark.slow
def test_kill_9_at_any_moment_gives_the_same_alerts_byte_for_byte(tasks, tmp_path):
    """Three kills; `python -m benchmarks.watch kills` makes twenty."""
    file, rng = write(tmp_path / "in.jsonl", surging(hours=24, each=400)), random.Random(0)

    def command(name: str) -> list[str]:
        state, alerts = str(tmp_path / name), str(tmp_path / f"{name}.jsonl")
        words = ["watch", *map(str, tasks), "--input", str(file), "--state", state, "--alerts", alerts, *QUICK]
        return [sys.executable, "-m", "innerloop", *words]

    env = environment()
    assert subprocess.run(command("whole"), env=env, capture_output=True).returncode == 0
    for _ in range(3):
        with subprocess.Popen(command("killed"), env=env, stdout=subprocess.DEVNULL) as process:
            before = _size(tmp_path / "killed")
            end = time.monotonic() + 60
            while _size(tmp_path / "killed") == before and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
    assert subprocess.run(command("killed"), env=env, capture_output=True).returncode == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert whole and (tmp_path / "killed.jsonl").read_bytes() == whole


def environment(**more: str) -> dict[str, str]:
    """What a process needs that reads tasks on the encoder of these tests."""
    root = Path(__file__).parents[4]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])} | more


@pytest.mark.slow
def test_what_was_answered_over_http_outlives_kill_9_and_the_rest_is_taken_from_standard_input(tasks, tmp_path):
    port, lines, state = free_port(), surging(), tmp_path / "s"
    words = [sys.executable, "-m", "innerloop", "watch", *map(str, tasks), "--state", str(state), *QUICK]
    env = environment(INNERLOOP_WATCH_TOKEN="secret")

    def posted(some: list[bytes]) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/events", b"\n".join(some))
        request.add_header("Authorization", "Bearer secret")
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)["lines"]
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)

    ended = []
    for some, signal_sent in ((lines[:300], signal.SIGKILL), (lines[200:], signal.SIGINT)):
        with subprocess.Popen(
            [*words, "--input", "http", "--port", str(port), "--json"],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
            # What a shell runs in its background does not hear of Ctrl-C, and neither do its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            try:
                assert posted(some) == len(some)
                process.send_signal(signal_sent)
                ended.append((process.communicate(timeout=60)[0], process.returncode))
            finally:
                process.kill()
    assert ended[0][1] == -signal.SIGKILL and ended[1][1] == 0
    summary = json.loads(ended[1][0].splitlines()[-1])
    assert summary["tally"]["events"] == len(lines) and summary["tally"]["duplicates"] == 100
    words[words.index(str(state))] = str(tmp_path / "other")
    done = subprocess.run([*words, "--input", "-", "--json"], env=env, input=b"\n".join(lines), capture_output=True)
    assert done.returncode == 0
    alerts = [ended[1][0], done.stdout.decode()]
    told = [[json.loads(one) | {"key": ""} for one in text.splitlines()[:-1]] for text in alerts]
    assert told[0] and told[0] == told[1]


def _size(state: Path) -> int:
    log = state.with_name(f"{state.name}-wal")
    return log.stat().st_size if log.exists() else 0
