"""`innerloop serve`, and what it does with keys and stores."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from innerloop.cli import store_audit, store_keys, stores
from innerloop.cli.options import parse
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop serve`."""

    served: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders on ratings, each a recommender that is served, and others as of --source."""
    store: str
    """Folder of the store: all tasks, examples and versions; made if it is not there. Several hosts share one in
    PostgreSQL: postgresql://user@host/database."""
    port: int = 8000
    host: str = "127.0.0.1"
    """Address to listen on; any but loopback demands API keys (`innerloop serve keys add`)."""
    workers: int = 1
    """Processes; they share the store."""
    source: tuple[str, ...] = ()
    """What tasks may be taught to, `.fewshot` files, each a task that is served, and run folders on ratings; none: the
    shipped runs and the encoders that are installed."""
    runs: str | None = None
    """Folder of run folders, to look at and to teach."""
    allow: tuple[str, ...] = ()
    """Packages besides innerloop that sources may name; importing them runs their code."""
    allowed_hosts: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--names",))] = ()
    """Host names that it is reached by, as behind a proxy; others are refused."""
    proxy: tuple[str, ...] = ()
    """Addresses or networks (10.0.0.0/8) of proxies: who asks through them is read from X-Forwarded-For."""
    label_studio: str | None = None
    """Address of Label Studio, whose pictures and sounds may be fetched, with the token in LABEL_STUDIO_API_KEY."""
    log: Literal["text", "json"] = "text"
    """json: a line of JSON for every request and event, with the request's id and the client's trace."""
    traces: str | None = None
    """Address of a collector of OpenTelemetry (http://localhost:4318) that traces of requests are sent to; without it,
    OTEL_EXPORTER_OTLP_ENDPOINT says where, and where neither does, nothing is sent."""
    demand_keys: bool = False
    """Demand API keys on loopback as well."""
    limits: Limits = field(default_factory=Limits)


def run(argv: list[str]) -> int:
    """Serve tasks over HTTP, with a page: make them, teach them, ask them, go back; and recommend.

    API keys: `innerloop serve keys add --store DIR --scope read`, then `list`, `limit ID` and `revoke ID`. The store:
    `innerloop serve backup DIR OUT` copies it while it is served, `innerloop serve migrate DIR` brings an old one up to
    date, `innerloop serve copy DIR postgresql://...` moves it to a database that several hosts share, and back,
    `innerloop serve audit DIR` lists who changed what.
    """
    if argv and argv[0] in VERBS:
        return VERBS[argv[0]](argv[1:])
    options = parse(Command, argv, "serve", run.__doc__ or "")
    # Keys and --help need no web server, which takes time to load.
    from innerloop.service.http.running import serve

    serve(
        Settings(
            store=options.store,
            host=options.host,
            port=options.port,
            workers=options.workers,
            sources=(*options.served, *options.source),
            runs=options.runs,
            allow=options.allow,
            allowed_hosts=options.allowed_hosts,
            proxy=options.proxy,
            label_studio=options.label_studio,
            log=options.log,
            traces=options.traces,
            demand_keys=options.demand_keys,
            limits=options.limits,
        )
    )
    return 0


VERBS = {
    "keys": store_keys.run,
    "migrate": stores.migrate,
    "backup": stores.backup,
    "copy": stores.copy,
    "audit": store_audit.run,
}
"""Second words that do not serve."""
