"""Traces: the spans of a request nest as it goes, reach a real collector, and never hold a request up."""

import contextlib
import json
import logging
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.service import logs, stages, tracing
from innerloop.service.http import work
from innerloop.service.store import keys
from tests.service.live import free_port
from tests.service.served import served_by, serving, teach

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs innerloop[telemetry]")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ABOVE = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
ASK = "/api/tasks/t/predict"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No variable of this machine counts, and loggers are left as they were."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    theirs = logging.getLogger("opentelemetry")
    before = theirs.handlers, theirs.propagate
    yield
    theirs.handlers, theirs.propagate = before


def heard(client) -> Any:
    """Where a service keeps its spans from now on."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from innerloop.service.spans import Traces

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    served_by(client).traces = Traces(provider)
    return exporter


def below(spans, parent):
    """Spans right below one, by their beginning; each lies in it."""
    found = [one for one in spans if one.parent is not None and one.parent.span_id == parent.context.span_id]
    assert all(parent.start_time <= one.start_time <= one.end_time <= parent.end_time for one in found)
    return sorted(found, key=lambda one: one.start_time)


def names(spans):
    return [one.name for one in spans]


@contextlib.contextmanager
def collecting(answers=None, port=0):
    """A collector, and what it was sent; `answers`: it waits for that."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if answers is not None:
                answers.wait(60)
            got.append((self.path, self.headers["content-type"], ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()


def flush(client):
    served_by(client).traces._provider.force_flush()


def test_spans_nest_as_a_request_goes(place):
    _, token = keys.add(place, "write")
    with serving(place, demand_keys=True) as client:
        client.headers = {"authorization": f"Bearer {token}"}
        teach(client)
        spans = heard(client)
        served_by(client)._adapted.forget(lambda *_: True)
        assert client.post(ASK, json={"texts": ["aab", "secret"]}, headers=ABOVE).status_code == 200
        (root,) = [one for one in spans.get_finished_spans() if one.kind.name == "SERVER"]
        assert root.name == "POST /api/tasks/{name}/predict" and root.status.status_code.name == "UNSET"
        assert root.parent.is_remote and f"{root.parent.span_id:016x}" == PARENT
        assert {f"{one.context.trace_id:032x}" for one in spans.get_finished_spans()} == {TRACE}
        about = dict(root.attributes)
        assert len(about.pop("innerloop.request")) == 16
        assert about == {
            "http.request.method": "POST",
            "http.route": "/api/tasks/{name}/predict",
            "http.response.status_code": 200,
            "innerloop.task": "t",
            "innerloop.key": 1,
        }
        every = spans.get_finished_spans()
        first = below(every, root)
        # The key is looked up, and where hosts share a store, the rate is counted in it.
        counted = ["store write"] * served_by(client).store.database.shared
        assert names(first)[0] == "guard" and names(below(every, first[0])) == ["store read", *counted]
        assert names(first)[-4:] == ["adapt", "queue", "encoder", "answer"]
        assert names(first)[1] == "turn" and set(names(first)[2:-4]) == {"store read"}
        adapt, queue, encoder, answer = first[-4:]
        assert set(names(below(every, adapt))) == {"store read"}
        assert queue.end_time <= encoder.start_time <= encoder.end_time <= answer.start_time
        assert dict(encoder.attributes) == {"innerloop.batch.items": 2, "innerloop.batch.requests": 1}
        spans.clear()
        body = {"examples": [{"label": "a", "text": "secret"}]}
        assert client.post("/api/tasks/t/examples", json=body).status_code == 201
        every = spans.get_finished_spans()
        (root,) = [one for one in every if one.parent is None]
        assert {"guard", "encoder", "store write"} <= set(names(below(every, root)))
        assert "secret" not in "".join(one.to_json() for one in every)


def test_errors_are_marked_by_their_class_alone(tmp_path, monkeypatch):
    with serving(tmp_path) as client:
        teach(client)
        spans = heard(client)

        def broken(source, raw):
            raise ValueError(f"cannot read {raw}")

        assert client.get("/api/tasks/none").status_code == 404
        assert [one.status.status_code.name for one in spans.get_finished_spans() if one.kind.name == "SERVER"] == [
            "UNSET"
        ], "what a client did wrong is no failure of the service"
        spans.clear()
        monkeypatch.setattr(work, "encode", broken)
        assert client.post(ASK, json={"texts": ["secret"]}).status_code == 500
        every = spans.get_finished_spans()
        marked = {one.name: one.attributes["error.type"] for one in every if one.status.status_code.name == "ERROR"}
        assert marked == {"encoder": "ValueError", "POST /api/tasks/{name}/predict": "ValueError"}
        assert "secret" not in "".join(one.to_json() for one in every) and not any(one.events for one in every)
        spans.clear()
        served_by(client).batcher.close()
        assert client.post(ASK, json={"texts": ["secret"]}).status_code == 503
        marked = {one.name: one.attributes.get("error.type") for one in spans.get_finished_spans()}
        assert marked["queue"] == "HTTPError" and marked["POST /api/tasks/{name}/predict"] == "503"


def test_the_log_has_the_same_ids_and_what_is_not_sampled_makes_no_span(tmp_path):
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(logs.Json().format(record)))

    access, handler = logging.getLogger("innerloop.access"), Handler()
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    with serving(tmp_path, log="json") as client:
        spans = heard(client)
        for headers in ({}, ABOVE, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}):
            answer = client.get("/api/tasks", headers=headers)
            (root,) = [one for one in spans.get_finished_spans() if one.kind.name == "SERVER"]
            assert lines[-1]["trace"] == f"{root.context.trace_id:032x}" != "0" * 32
            request = root.attributes["innerloop.request"]
            assert lines[-1]["request"] == answer.headers["x-request-id"] == request
            assert (root.parent is not None) == (headers is ABOVE)
            spans.clear()
        assert client.get("/api/tasks", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"}).status_code == 200
        assert not spans.get_finished_spans() and lines[-1]["trace"] == TRACE
    access.removeHandler(handler)


@pytest.mark.parametrize("asked", ["option", "variable"])
def test_they_reach_a_collector(tmp_path, monkeypatch, asked):
    with collecting() as (url, got):
        if asked == "variable":
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            monkeypatch.setenv("OTEL_SERVICE_NAME", "desk")
        with serving(tmp_path, traces=url if asked == "option" else None) as client:
            teach(client)
            assert client.post(ASK, json={"texts": ["aab"]}, headers=ABOVE).status_code == 200
            flush(client)
        assert {(path, kind) for path, kind, _ in got} == {("/v1/traces", "application/x-protobuf")}
        spans = [s for _, _, sent in got for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
        ours = [span for span in spans if span.trace_id.hex() == TRACE]
        (root,) = [span for span in ours if span.parent_span_id.hex() == PARENT]
        assert root.name == "POST /api/tasks/{name}/predict"
        assert {"guard", "queue", "encoder", "answer"} <= {s.name for s in ours if s.parent_span_id == root.span_id}
        about = {a.key: a.value.string_value for a in got[0][2].resource_spans[0].resource.attributes}
        assert about["service.name"] == ("innerloop" if asked == "option" else "desk") and about["service.version"]


def test_a_collector_that_is_down_is_told_once_and_once_that_it_is_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    caplog.set_level(logging.INFO, "innerloop.service")
    port = free_port()

    def told():
        return [r.getMessage() for r in caplog.records if "traces" in r.getMessage()]

    with serving(tmp_path, traces=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.get("/api/tasks").status_code == 200
            flush(client)
        (down,) = told()
        assert down.startswith(f"traces do not reach http://127.0.0.1:{port}/v1/traces and are dropped until")
        assert not [r for r in caplog.records if r.name.startswith("opentelemetry")]
        monkeypatch.undo()
        with collecting(port=port) as (_, got):
            for _ in range(2):
                assert client.get("/api/tasks").status_code == 200
                flush(client)
            assert got
        assert told()[1:] == [f"traces reach http://127.0.0.1:{port}/v1/traces again"]


def test_a_collector_that_does_not_answer_holds_nothing_up(tmp_path, monkeypatch, caplog):
    for name, value in {"MAX_QUEUE_SIZE": "8", "MAX_EXPORT_BATCH_SIZE": "4", "SCHEDULE_DELAY": "50"}.items():
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    answers = threading.Event()
    with collecting(answers) as (url, got):
        before = set(threading.enumerate())
        with serving(tmp_path, traces=url) as client:
            assert all(client.get("/api/tasks").status_code == 200 for _ in range(20))
        waiting = [t for t in set(threading.enumerate()) - before if "Otel" in t.name]
        assert waiting and not got, "the service is closed, and the last batch is on its way still"
        assert len([r for r in caplog.records if "some are dropped" in r.getMessage()]) == 1
        answers.set()
        for thread in waiting:
            thread.join(30)


def test_nobody_is_asked_unless_somebody_wants_it(tmp_path, monkeypatch, caplog):
    with serving(tmp_path) as client:
        assert served_by(client).traces is None
        teach(client)
        assert stages.stage("encoder") is stages.elsewhere(), "the one that does nothing"
    assert tracing.started(None) is None
    for variables, address in (
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x"}, "https://c/x"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert tracing._asked() == address
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    assert tracing.started(None) is None and "'collector:4317' is no address" in caplog.text
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert tracing.started(None) is None and "OTEL_EXPORTER_OTLP_PROTOCOL is grpc" in caplog.text


def test_what_cannot_be_is_refused_by_name_before_anything_is_made(tmp_path, capsys, monkeypatch):
    for url in (
        "collector:4318",
        "ftp://c",
        "http://",
        "http://c:99999",
        "http://[c",
        "http://u:secret@c",
        "http://c?x=1",
    ):
        assert main(["serve", "--store", str(tmp_path / "s"), "--traces", url]) == 2
        said = capsys.readouterr().err
        assert "give one such as http://localhost:4318" in said and "secret" not in said
    assert (
        tracing._address("http://c:4318") == "http://c:4318/v1/traces"
        and tracing._address("http://c/x") == "http://c/x"
    )
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "innerloop.service.spans", raising=False)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[telemetry\]'"):
        tracing.check("http://c:4318")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(InputError, match="OTEL_SDK_DISABLED forbids"):
        tracing.check("http://c:4318")
    assert not (tmp_path / "s").exists()
