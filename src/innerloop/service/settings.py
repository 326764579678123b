"""How one service is run."""

import ipaddress
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from innerloop.service.limits import Limits
from innerloop.service.logs import Kind

ENVIRONMENT = "INNERLOOP_SERVE"
"""Variable that brings the settings to workers, as JSON."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `innerloop serve` is told; plain JSON, so that it reaches every worker."""

    store: str
    """Folder of the store, or its address in PostgreSQL."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    workers: int = 1
    """Processes."""
    sources: tuple[str, ...] = ()
    """What tasks may be taught to, and `.fewshot` files and runs on ratings to serve; empty: what ships and the
    installed encoders."""
    runs: str | None = None
    """Folder of run folders, to look at and to teach."""
    allow: tuple[str, ...] = ()
    """Module prefixes besides `innerloop.` that sources may name."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names it is reached by; on loopback others than these and localhost are refused."""
    proxy: tuple[str, ...] = ()
    """Addresses and networks of proxies, whose `X-Forwarded-For` is believed."""
    label_studio: str | None = None
    """Address of Label Studio, whose files may be fetched."""
    log: Kind = "text"
    """Lines of the log: for people, or JSON with a line for every request."""
    traces: str | None = None
    """Address of a collector that takes traces of requests; None: as the variables of OpenTelemetry say."""
    demand_keys: bool = False
    """Demand API keys on loopback as well, as behind a proxy."""
    limits: Limits = field(default_factory=Limits)

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return loopback(self.host)

    @property
    def keys(self) -> bool:
        """Whether a client must show a key."""
        return self.demand_keys or not self.local

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        limits = Limits(**values.pop("limits"))
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**values, limits=limits)

    @property
    def run_folder(self) -> Path | None:
        """`runs` as a path."""
        return None if self.runs is None else Path(self.runs).expanduser()


def loopback(host: str) -> bool:
    """Whether an address or a name is of this machine alone."""
    if host == "localhost":
        return True
    # A name may lead anywhere tomorrow; no name is looked up here.
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
