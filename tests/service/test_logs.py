"""The log as JSON: a line for every request, with its id, and nothing of what was sent."""

import contextlib
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import time

import pytest

from innerloop.service import logs
from tests.service.live import free_port
from tests.service.served import served_by, serving, teach

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def lines(caplog):
    """What is logged, as the lines would be written."""

    def read():
        return [json.loads(line) for line in written]

    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(logs.Json().format(record))

    handler, loggers = Handler(), [logging.getLogger(f"innerloop.{name}") for name in ("access", "service")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield read
    for logger in loggers:
        logger.removeHandler(handler)


def test_every_request_is_a_line_with_its_id(tmp_path, lines):
    with serving(tmp_path, log="json") as client:
        teach(client)
        own = {"x-request-id": "from-the-proxy", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        answer = client.post("/api/tasks/t/predict?secret=1", json={"texts": ["secret"]}, headers=own)
        assert answer.headers["x-request-id"] == "from-the-proxy"
        line = lines()[-1]
        assert (line["request"], line["trace"]) == ("from-the-proxy", TRACE)
        assert (line["method"], line["path"], line["status"]) == ("POST", "/api/tasks/t/predict", 200)
        assert line["seconds"] > 0 and line["client"] and line["level"] == "info"
        assert "secret" not in json.dumps(lines())
        for wrong in ({}, {"x-request-id": "a b\\"}, {"x-request-id": "x" * 101}, {"traceparent": "00-zz-1-1"}):
            answer = client.get("/api/tasks/none", headers=wrong)
            line = lines()[-1]
            assert answer.status_code == line["status"] == 404 and len(line["request"]) == 16
            assert answer.headers["x-request-id"] == line["request"] and "trace" not in line
    assert len({line["request"] for line in lines()}) == len(lines())


def test_a_failure_is_a_line_with_the_id_of_its_request(tmp_path, lines, monkeypatch):
    with serving(tmp_path, log="json") as client:
        monkeypatch.setattr(served_by(client).store, "tasks", None)
        answer = client.get("/api/tasks")
        failure, access = lines()[-2:]
    assert answer.status_code == access["status"] == 500 and failure["level"] == "error"
    assert failure["request"] == access["request"] == answer.headers["x-request-id"]
    assert "Traceback" in failure["error"] and "\n" not in logs.Json().format(
        logging.LogRecord("x", logging.INFO, "", 0, "two\nlines \ud800", None, None)
    )


def test_it_is_for_people_unless_asked_otherwise(tmp_path, lines):
    with serving(tmp_path) as client:
        assert "x-request-id" not in client.get("/healthz", headers={"x-request-id": "mine"}).headers
    assert lines() == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_of_a_service_is_json(tmp_path, workers):
    port = free_port()
    command = [sys.executable, "-m", "innerloop.cli.main", "serve", "--store", str(tmp_path / "store"), "--port"]
    with (tmp_path / "log").open("w") as log:
        command += [str(port), "--log", "json", "--workers", workers]
        with subprocess.Popen(command, stderr=log) as process:
            for _ in range(600):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    connection.request("GET", "/healthz")
                    if connection.getresponse().status == 200:
                        break
                time.sleep(0.1)
            with socket.create_connection(("127.0.0.1", port), timeout=10) as odd:
                odd.sendall(b"garbage \0\r\n\r\n")
                assert b" 400 " in odd.recv(300)
            while "serving on" not in (tmp_path / "log").read_text():
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    messages = " ".join(line["message"] for line in lines)
    assert "serving on" in messages and "Invalid HTTP request" in messages and "GET /healthz" in messages
