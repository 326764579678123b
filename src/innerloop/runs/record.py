"""What a run folder says about where its tasks came from, and the command that makes it again."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from innerloop.core.config import decode
from innerloop.core.errors import InputError
from innerloop.core.importing import is_import_path
from innerloop.runs.defaults import defaults
from innerloop.runs.options import Options


def record(options: Options, about: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON for `config.json`; no paths but those of the data and of the run that was begun with.

    Args:
        options: Of the run.
        about: What the problem says of its data.
    """
    before = {"generator": asdict(options.generator)} if options.generator.generator is not None else {}
    parts = {"learner": options.learner, "task": asdict(options.task), "network": asdict(options.network)}
    return parts | before | dict(about)


def command(config: Mapping[str, Any]) -> str | None:
    """The `innerloop train` command of a run's `config.json`: only what differs from the defaults.

    None for runs that `build` did not make.
    """
    record = config.get("record") or {}
    try:
        usual = defaults(record["learner"], record["task"]["data"], [k for k, v in record["task"].items() if v is True])
        before, fields = record.get("generator"), config["learner"]["fields"]
        if before is not None:
            fields = fields["learner"]["fields"]
        arguments = [
            # The data are named even where they are the default, so that the command says what it is about; and flags
            # that other defaults follow from.
            *changed(asdict(usual.task) | {"data": None, **dict.fromkeys(usual.task.turns, False)}, record["task"]),
            *changed(asdict(usual.network), record["network"]),
            *changed(asdict(usual.generator), before or {}),
            # As the learner was trained: options may have left a value open.
            *changed(usual.fields, {k: decode(fields[k]) for k in usual.fields if k in fields}),
            *changed(asdict(usual.train), config["train"]),
            *allowed(record["network"].get("network", ""), record["task"]["data"]),
        ]
    # Another release, or a learner or kind of problem of someone else's: no command is better than a wrong one.
    except (InputError, KeyError, TypeError):
        return None
    return shlex.join(["innerloop", "train", record["learner"], *arguments])


def allowed(*named: str) -> list[str]:
    """Options that let networks and environments of somebody's own run."""
    packages = {name.partition(":")[0].partition(".")[0]: None for name in named if is_import_path(name)}
    return ["--allow", *own] if (own := [package for package in packages if package != "innerloop"]) else []


def changed(usual: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Options on the command line of what is not as usual."""
    for name, value in now.items():
        if name not in usual or usual[name] == value:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield f"--{option}"
            yield from (map(str, value) if isinstance(value, list | tuple) else [str(value)])
