"""Lines of the service's log: for people, or as JSON with the id of the request that each is about."""

import json
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["text", "json"]
HEADER = "x-request-id"
"""Header with the id of a request, as clients and proxies give it, and as it is answered."""
_ABOUT = "about"
_ID = re.compile(r"[\w.:/+=-]{1,100}", re.ASCII)
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_ACCESS = logging.getLogger("innerloop.access")
REQUEST: ContextVar[Mapping[str, str] | None] = ContextVar("request", default=None)
"""Ids of the request that is being answered: `request`, and `trace` where it is a part of one (W3C)."""


class Json(logging.Formatter):
    """A line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {**(REQUEST.get() or {}), **getattr(record, _ABOUT, {})}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)  # ASCII: half of a character in a path cannot end the log


def set_up(kind: Kind) -> None:
    """Have this process log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if kind == "json" else logging.Formatter("%(asctime)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=kind == "json")


def ids(headers: Mapping[str, str]) -> dict[str, str]:
    """Ids of a request: those that it came with, where they are such; otherwise a new one."""
    own, trace = headers.get(HEADER, ""), _TRACE.fullmatch(headers.get("traceparent", ""))
    named = {"request": own if _ID.fullmatch(own) else secrets.token_hex(8)}
    return named if trace is None else named | {"trace": trace[1]}


def answered(method: str, path: str, status: int, seconds: float, client: str) -> None:
    """Log a request that was answered: neither what it asked for after the path, nor what it sent."""
    about = {"method": method, "path": path[:200], "status": status, "seconds": round(seconds, 6), "client": client}
    _ACCESS.info("%s %s", method, path[:200], extra={_ABOUT: about})
