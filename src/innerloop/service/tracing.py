"""Whether traces of requests are sent, and where to: `serve --traces`, or the variables of OpenTelemetry."""

import importlib
import logging
import os
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from innerloop.core.errors import InputError

if TYPE_CHECKING:
    from innerloop.service.spans import Traces

_LOG = logging.getLogger("innerloop.service")
_PATH = "/v1/traces"
_OWN, _ALL = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_USUAL = "http://localhost:4318/v1/traces"


def check(url: str | None) -> None:
    """Refuse what `started` would, before anything is started.

    Raises:
        InputError: It is no address of a collector, or a package is missing.
    """
    if url is not None:
        _address(url)
        _spans()


def started(url: str | None) -> "Traces | None":
    """What traces requests; None: nobody asked for it, and nothing leaves the machine.

    Args:
        url: Of a collector that takes OTLP over HTTP; None: as OTEL_EXPORTER_OTLP_ENDPOINT and the like say. What is
            wrong with these, which may be meant for other programs, is told in the log, and nothing is traced.

    Raises:
        InputError: Something is wrong with the address, or a package is missing.
    """
    try:
        address = _asked() if url is None else _address(url)
        return None if address is None else _spans().traces(address)
    except InputError as error:
        if url is not None:
            raise
        _LOG.warning("no traces are sent: %s", error)
        return None


def _asked() -> str | None:
    """Where the environment has traces sent; None: nowhere."""
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").lower().split(",")
    if _disabled() or "otlp" not in map(str.strip, exporters):
        return None
    own, every = os.environ.get(_OWN), os.environ.get(_ALL)
    if not own and not every and "OTEL_TRACES_EXPORTER" not in os.environ:
        return None
    for name in _PROTOCOLS:
        protocol = os.environ.get(name, "")
        if protocol not in ("", "http/protobuf"):
            raise InputError(f"{name} is {protocol}, and they go by http/protobuf: give {_OWN} and that protocol")
    # As the specification has it: one that is for traces alone is taken as it is.
    if own:
        return _checked(own)
    return _checked(every).rstrip("/") + _PATH if every else _USUAL


def _address(url: str) -> str:
    """Where a collector takes traces; an address without a path is that of the collector."""
    if _disabled():
        raise InputError("--traces asks for traces, and OTEL_SDK_DISABLED forbids them: leave one of them out")
    url = _checked(url)
    return url.rstrip("/") + _PATH if urlsplit(url).path in ("", "/") else url


def _checked(url: str) -> str:
    fault = None
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            fault = f"'{url[:100]}' is no address of a collector"
        elif parts.username is not None or parts.query or parts.fragment:
            fault = f"the address of the collector at {parts.hostname} has more than host, port and path"
    except ValueError:  # a port that is none, half of an IPv6 address
        fault = f"'{url[:100]}' is no address of a collector"
    if fault is not None:
        raise InputError(f"{fault}: give one such as http://localhost:4318, and keys in OTEL_EXPORTER_OTLP_HEADERS")
    return url


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _spans() -> ModuleType:
    try:
        return importlib.import_module("innerloop.service.spans")
    except ImportError as error:
        raise InputError(
            f"traces need OpenTelemetry ({error.name} is missing): pip install 'innerloop[telemetry]'"
        ) from error
