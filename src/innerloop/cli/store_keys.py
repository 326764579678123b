"""`innerloop serve keys`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.table import Table

from innerloop.cli.options import Said, emit, parse, print, refuse_given
from innerloop.core.complaints import complain

if TYPE_CHECKING:
    from innerloop.service.store.keys import Key
    from innerloop.service.store.quotas import Used

_ALWAYS = ("what", "store", "common")
_LIMITS = ("requests_a_day", "most_examples", "most_megabytes")
_TAKES = {"add": ("scope", "name", "task", *_LIMITS), "list": (), "limit": ("id", *_LIMITS), "revoke": ("id",)}


@dataclass(frozen=True, kw_only=True)
class KeysCommand:
    """Options of `innerloop serve keys`."""

    what: tyro.conf.Positional[Literal["add", "list", "limit", "revoke"]]
    id: tyro.conf.Positional[int | None] = None
    """Which key to limit or to revoke, as `list` shows it."""
    store: str
    """Folder of the store, or its address."""
    scope: Literal["read", "write"] | None = None
    """read, as without it: look and predict; write: everything."""
    name: str = ""
    """What it is for, so that you know it again."""
    task: tuple[str, ...] = ()
    """Names of the tasks and taggers that it reaches; none: all, and runs, recommenders and metrics as well."""
    requests_a_day: int | Literal["unlimited"] | None = None
    """Requests that it may make in a day of UTC, on all hosts together."""
    most_examples: int | Literal["unlimited"] | None = None
    """Examples that it may have stored at the same time."""
    most_megabytes: float | Literal["unlimited"] | None = None
    """Megabytes that these, and files and taggers that it brings, may take."""
    common: Said = field(default_factory=Said)


def run(argv: list[str]) -> int:
    """Make, list, limit and revoke the API keys of a store.

    `limit ID` changes those limits of a key that are named, `unlimited` takes one away; the server need not be stopped.
    """
    options = parse(KeysCommand, argv, "serve keys", run.__doc__ or "")
    from innerloop.service.store import keys
    from innerloop.service.store.database import is_there

    refuse_given(f"not for `keys {options.what}`", options, keep=(*_ALWAYS, *_TAKES[options.what]))
    limits = _limits(options)
    if options.what == "add":
        new = not is_there(options.store)
        key, token = keys.add(options.store, options.scope or "read", options.name, options.task, keys.Quota(**limits))
        if options.common.json:
            about = {"id": key.id, "scope": key.scope, "name": key.name, "tasks": key.tasks}
            emit(about | {"quota": key.quota._asdict(), "key": token})
            return 0
        if new:  # the folder's name may be mistyped
            complain(f"there was no store in {options.store}: a new one was made")
        print(f"key {key.id}, scope {key.scope}: kept only as a hash, so it cannot be shown again", stderr=True)
        # Alone on standard output, for scripts.
        print(token)
        return 0
    if options.what == "limit":
        key, used = keys.limit(options.store, options.id, limits)
        if options.common.json:
            emit(_entry(key, used))
        else:
            print(f"key {key.id} may use, from now on: {_told(key, used) or 'as much as the server allows'}")
        return 0
    if options.what == "revoke":
        keys.revoke(options.store, options.id)
        print(f"key {options.id} is refused from now on", stderr=True)
        return 0
    entries = keys.used(options.store)
    if options.common.json:
        emit([_entry(key, used) for key, used in entries])
        return 0
    table = Table("id", "name", "scope", "tasks", "made", "revoked", "uses")
    for key, used in entries:
        tasks = ", ".join(key.tasks or ("all",))
        table.add_row(str(key.id), key.name, key.scope, tasks, key.created, key.revoked or "", _told(key, used))
    print(table)
    return 0


def _limits(options: KeysCommand) -> dict[str, int | None]:
    """Those that were named; None: no limit."""
    from innerloop.service.store.quotas import bytes_of

    size = options.most_megabytes
    named: dict[str, int | Literal["unlimited"] | None] = {
        "requests": options.requests_a_day,
        "examples": options.most_examples,
        "bytes": bytes_of(size) if isinstance(size, int | float) else size,
    }
    return {name: None if value == "unlimited" else value for name, value in named.items() if value is not None}


def _entry(key: "Key", used: "Used") -> dict[str, Any]:
    return vars(key) | {"quota": key.quota._asdict(), "used": used._asdict()}


def _told(key: "Key", used: "Used") -> str:
    each = zip(used._fields, key.quota, used, strict=True)
    return ", ".join(f"{now:,} of {most:,} {of}" for of, most, now in each if most)
