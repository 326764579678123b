"""`innerloop serve audit`."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.table import Table

from innerloop.cli.options import Said, emit, parse, print


@dataclass(frozen=True, kw_only=True)
class AuditCommand:
    """Options of `innerloop serve audit`."""

    store: tyro.conf.Positional[str]
    """Folder of the store, or its address in PostgreSQL; it may be served meanwhile."""
    since: str | None = None
    """The first moment, as 2026-11-29 or 2026-11-29T08:00Z."""
    task: str | None = None
    """Only changes of the task, tagger or recommender of this name."""
    key: str | None = None
    """Only changes by the API key of this name or number."""
    out: str | None = None
    """File for all of it, a line of JSON each; one that is there is replaced."""
    common: Said = field(default_factory=Said)


def run(argv: list[str]) -> int:
    """List who changed what in a store: key, verb, task, version before and after, time, request."""
    options = parse(AuditCommand, argv, "serve audit", run.__doc__ or "")
    from innerloop.core import files
    from innerloop.service.store import audit

    entries = audit.listed(options.store, options.since, options.task, options.key)
    if options.out is not None:
        lines = [audit.line(entry) for entry in entries]
        path = files.expanded(options.out)
        with files.writing(path):
            files.write(Path(path), "".join(lines))
        summary = {"path": str(path), "entries": len(lines)}
        emit(summary) if options.common.json else print(f"{path}: {len(lines):,} changes")
        return 0
    if options.common.json:
        emit([entry._asdict() for entry in entries])
        return 0
    table = Table("time", "key", "verb", "of", "before", "after", "request")
    for one in entries:
        key = "" if one.key is None else f"{one.key} {one.name}".strip()
        versions = ["" if version is None else str(version) for version in (one.before, one.after)]
        table.add_row(one.time, key, one.verb, f"{one.kind} {one.of}", *versions, one.request or "")
    print(table)
    return 0
