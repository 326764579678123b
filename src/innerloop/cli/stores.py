"""`innerloop serve migrate`, `innerloop serve backup` and `innerloop serve copy`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Said, emit, parse, print


@dataclass(frozen=True, kw_only=True)
class MigrateCommand:
    """Options of `innerloop serve migrate`."""

    store: tyro.conf.Positional[str]
    """Folder of the store, or its address in PostgreSQL."""
    dry_run: bool = False
    """Try all of it, and take it back."""
    common: Said = field(default_factory=Said)


@dataclass(frozen=True, kw_only=True)
class BackupCommand:
    """Options of `innerloop serve backup`."""

    store: tyro.conf.Positional[str]
    """Folder of the store, or its address in PostgreSQL; it may be served meanwhile."""
    out: tyro.conf.Positional[str]
    """New folder, which is a store itself: to restore it, serve it. Of PostgreSQL, a new file for `pg_restore`."""
    common: Said = field(default_factory=Said)


@dataclass(frozen=True, kw_only=True)
class CopyCommand:
    """Options of `innerloop serve copy`."""

    source: tyro.conf.Positional[str]
    """Folder of a store, or its address in PostgreSQL; it may be served meanwhile."""
    target: tyro.conf.Positional[str]
    """Folder or address of an empty one; made if it is not there."""
    common: Said = field(default_factory=Said)


def migrate(argv: list[str]) -> int:
    """Bring a store of an earlier release up to date, in one transaction; there is no way back but a backup."""
    options = parse(MigrateCommand, argv, "serve migrate", migrate.__doc__ or "")
    from innerloop.service.store import upkeep
    from innerloop.service.store.schema import SCHEMA

    version, steps = upkeep.migrate(options.store, options.dry_run)
    if options.common.json:
        done = [{"to": step.to, "what": step.what} for step in steps]
        emit({"version": version, "newest": SCHEMA, "steps": done, "dry_run": options.dry_run})
        return 0
    for step in steps:
        print(f"{step.to - 1 if step.to > 2 else version} to {step.to}: {step.what}")
    if not steps:
        print(f"the store is of version {version}, the newest: there is nothing to do")
    else:
        last = "would go through; nothing was changed" if options.dry_run else "is done"
        print(f"from version {version} to {SCHEMA}: it {last}")
    return 0


def backup(argv: list[str]) -> int:
    """Copy a store while it is served."""
    options = parse(BackupCommand, argv, "serve backup", backup.__doc__ or "")
    from innerloop.service.store import upkeep

    made = upkeep.backup(options.store, options.out)
    if options.common.json:
        emit(made._asdict() | {"path": str(made.path)})
        return 0
    what = f"`innerloop serve --store {made.path}`" if made.path.is_dir() else "see `pg_restore`"
    print(f"{made.path}: {made.tasks:,} tasks, {made.bytes / 1e6:.1f} MB; {what}")
    return 0


def copy(argv: list[str]) -> int:
    """Copy a store with all its history, keys and people from SQLite to PostgreSQL, or back; compared row by row."""
    options = parse(CopyCommand, argv, "serve copy", copy.__doc__ or "")
    from innerloop.service.store import copies
    from innerloop.service.store.address import shown

    copied = copies.copy(options.source, options.target)
    if options.common.json:
        emit(copied._asdict())
        return 0
    told = ", ".join(f"{count:,} {table}" for table, count in copied.rows.items() if count)
    print(f"{shown(options.target)} holds what {shown(options.source)} does: {told or 'nothing'}")
    print(f"sha256 of both: {copied.digest}")
    return 0
