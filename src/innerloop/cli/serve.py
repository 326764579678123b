"""`innerloop serve`, and what it does with keys and stores."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from rich.table import Table

from innerloop.cli import store_audit, stores
from innerloop.cli.options import Said, emit, parse, print
from innerloop.core.complaints import complain
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
    demand_keys: bool = False
    """Demand API keys on loopback as well."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class KeysCommand:
    """Options of `innerloop serve keys`."""

    what: tyro.conf.Positional[Literal["add", "list", "revoke"]]
    id: tyro.conf.Positional[int | None] = None
    """Which key to revoke, as `list` shows it."""
    store: str
    """Folder of the store, or its address."""
    scope: Literal["read", "write"] = "read"
    """read: look and predict; write: everything."""
    name: str = ""
    """What it is for, so that you know it again."""
    task: tuple[str, ...] = ()
    """Names of the tasks and taggers that it reaches; none: all, and runs, recommenders and metrics as well."""
    requests_a_day: int | None = None
    """Requests that it may make in a day of UTC, on all hosts together."""
    most_examples: int | None = None
    """Examples that it may have stored at the same time."""
    most_megabytes: float | None = None
    """Megabytes that these, and files and taggers that it brings, may take."""
    common: Said = field(default_factory=Said)


def run(argv: list[str]) -> int:
    """Serve tasks over HTTP, with a page: make them, teach them, ask them, go back; and recommend.

    API keys: `innerloop serve keys add --store DIR --scope read`, then `list` and `revoke ID`. The store: `innerloop
    serve backup DIR OUT` copies it while it is served, `innerloop serve migrate DIR` brings an old one up to date,
    `innerloop serve copy DIR postgresql://...` moves it to a database that several hosts share, and back, `innerloop
    serve audit DIR` lists who changed what.
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
            demand_keys=options.demand_keys,
            limits=options.limits,
        )
    )
    return 0


def _keys(argv: list[str]) -> int:
    options = parse(KeysCommand, argv, "serve keys", "Make, list and revoke the API keys of a store.")
    from innerloop.service.store import keys
    from innerloop.service.store.database import is_there

    if options.what == "add":
        new = not is_there(options.store)
        size = None if options.most_megabytes is None else math.floor(options.most_megabytes * 1e6)
        quota = keys.Quota(options.requests_a_day, options.most_examples, size)
        key, token = keys.add(options.store, options.scope, options.name, options.task, quota)
        if options.common.json:
            about = {"id": key.id, "scope": key.scope, "name": key.name, "tasks": key.tasks}
            emit(about | {"quota": quota._asdict(), "key": token})
            return 0
        if new:  # the folder's name may be mistyped
            complain(f"there was no store in {options.store}: a new one was made")
        print(f"key {key.id}, scope {key.scope}: kept only as a hash, so it cannot be shown again", stderr=True)
        # Alone on standard output, for scripts.
        print(token)
        return 0
    if options.what == "revoke":
        keys.revoke(options.store, options.id)
        print(f"key {options.id} is refused from now on", stderr=True)
        return 0
    entries = keys.used(options.store)
    if options.common.json:
        emit([vars(key) | {"quota": key.quota._asdict(), "used": used._asdict()} for key, used in entries])
        return 0
    table = Table("id", "name", "scope", "tasks", "made", "revoked", "uses")
    for key, used in entries:
        tasks = ", ".join(key.tasks or ("all",))
        each = zip(used._fields, key.quota, used, strict=True)
        limits = [f"{now:,} of {most:,} {of}" for of, most, now in each if most]
        table.add_row(str(key.id), key.name, key.scope, tasks, key.created, key.revoked or "", ", ".join(limits))
    print(table)
    return 0


VERBS = {
    "keys": _keys,
    "migrate": stores.migrate,
    "backup": stores.backup,
    "copy": stores.copy,
    "audit": store_audit.run,
}
"""Second words that do not serve."""
