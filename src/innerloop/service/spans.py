"""Traces of requests as spans of OpenTelemetry, sent in the background: no request waits for a collector.

Spans have times, names of stages, route, status, the task's name, the number of the key and the request's id; nothing
that was sent, no names of people, and of errors their class alone.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from innerloop.service.stages import LISTENER, Stage

_LOG = logging.getLogger("innerloop.service")
_THEIRS = "opentelemetry"
_LAST = 1.0
"""Seconds that a server that stops waits for the last spans to be sent."""
_FAILED = 500
_VERSION = metadata.version("innerloop")


class Request:
    """The span of one request."""

    def __init__(self, span: trace.Span):
        self._span = span
        self.trace = trace.format_trace_id(span.get_span_context().trace_id)
        """Id of the trace that it is a part of."""

    def answered(
        self, method: str, route: str | None, status: int, failure: str | None, about: Mapping[str, str | int | None]
    ) -> None:
        """Say what came of it.

        Args:
            method: Of HTTP, one that is known.
            route: Pattern of its path; None: there is none.
            status: Of the answer.
            failure: Class of the error that nobody expected.
            about: What else is known, without what was sent: `task`, `key`, `request`.
        """
        span = self._span
        span.update_name(method if route is None else f"{method} {route}")
        span.set_attribute("http.response.status_code", status)
        if route is not None:
            span.set_attribute("http.route", route)
        for name, value in about.items():
            if value is not None:
                span.set_attribute(f"innerloop.{name}", value)
        if status >= _FAILED:
            _fail(span, failure or str(status))


class Traces:
    """Makes the spans of one worker.

    Args:
        provider: Where they go; closed with it.
    """

    def __init__(self, provider: TracerProvider):
        self._provider = provider
        self._tracer = provider.get_tracer("innerloop", _VERSION)
        self._context = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Request]:
        """A span around a request, below the one that the client named by `traceparent`."""
        above = self._context.extract({name: headers.get(name, "") for name in ("traceparent", "tracestate")})
        about = {"http.request.method": method}
        span = self._tracer.start_span(method, above, trace.SpanKind.SERVER, about)
        with _around(span):
            # Where it is not kept, as a client or a sampler may ask, stages are not noted either.
            token = LISTENER.set(self if span.is_recording() else None)
            try:
                yield Request(span)
            finally:
                LISTENER.reset(token)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A span around the block."""
        with _around(span := self._tracer.start_span(name)):
            try:
                yield
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise

    def note(self, stage: Stage) -> None:
        """A span of what was done elsewhere."""
        about = {f"innerloop.batch.{name}": value for name, value in stage.about.items()}
        span = self._tracer.start_span(stage.name, start_time=stage.start, attributes=about)
        if stage.error is not None:
            _fail(span, stage.error)
        span.end(stage.end)

    def close(self) -> None:
        """Send what is left, for a moment: a server that stops waits for no collector."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST)


class _Exporter(SpanExporter):
    """Tells once that spans do not arrive, and once that they do again."""

    def __init__(self, exporter: SpanExporter, address: str, heard: "_Heard"):
        self._exporter, self._address, self._heard = exporter, address, heard
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._heard.last = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # whatever it is, requests are answered all the same
            self._heard.last, result = str(error), SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            why = " ".join(self._heard.last.split())[:300]
            _LOG.warning("traces do not reach %s and are dropped until they do (%s)", self._address, why)
        elif self._failing and not failing:
            _LOG.info("traces reach %s again", self._address)
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Heard(logging.Handler):
    """Takes what OpenTelemetry logs at every try, of which one line is told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._full = False

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()
        if "Queue full" in self.last and not self._full:
            self._full = True
            _LOG.warning("more spans come than the collector takes in time: some are dropped")


def traces(address: str) -> Traces:
    """What sends spans to a collector: in batches, from a queue that is bounded, by a thread of its own.

    The variables of OpenTelemetry (OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...) hold.

    Args:
        address: Where it takes OTLP over HTTP.
    """
    theirs, heard = logging.getLogger(_THEIRS), _Heard()
    theirs.handlers, theirs.propagate = [heard], False
    about = {"service.version": _VERSION, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    usual = Resource({"service.name": "innerloop"})
    # What the environment says of the service comes last, and holds.
    resource = usual.merge(Resource.create(about)) if _named() else Resource.create(about).merge(usual)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Exporter(OTLPSpanExporter(address), address, heard)))
    return Traces(provider)


def _named() -> bool:
    named = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in named


def _around(span: trace.Span) -> AbstractContextManager[object]:
    # Without the errors, whose messages may quote what was sent.
    return trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False)


def _fail(span: trace.Span, error: str) -> None:
    span.set_status(trace.StatusCode.ERROR)
    span.set_attribute("error.type", error)
