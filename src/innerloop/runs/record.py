"""What a run folder says about where its tasks came from, and the command that makes it again."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from innerloop.core.config import decode
from innerloop.core.errors import InputError
from innerloop.runs.defaults import defaults
from innerloop.runs.options import Options
from innerloop.tasks import Pool


def record(options: Options, train: Pool | None) -> dict[str, Any]:
    """Plain JSON for `config.json`; no paths but those of the data and of the run that was begun with.

    Args:
        options: Of the run.
        train: The meta-training classes, where there are any.
    """
    entries: dict[str, Any] = {
        "learner": options.learner,
        "task": asdict(options.task),
        "network": asdict(options.network),
    }
    if train is not None:
        entries |= {
            "dataset": train.dataset,
            "train_classes": len(train),
            "train_class_hash": train.class_hash,
            "shape": list(train.shape),
            "preprocessing": train.preprocessing,
        }
    return entries


def trained_on(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By `record`, the data whose classes a run has seen: its own, then those of the run it was begun with."""
    task = made.get("task")
    own = [{"data": task["data"], "split_scheme": task["split_scheme"], "dataset": made.get("dataset")}] if task else []
    return own + (made.get("start") or {}).get("trained_on", [])


def command(config: Mapping[str, Any]) -> str | None:
    """The `innerloop train` command of a run's `config.json`: only what differs from the defaults.

    None for runs that `build` did not make.
    """
    made = config.get("record") or {}
    try:
        usual = defaults(made["learner"], made["task"]["data"])
        fields = config["learner"]["fields"]
        given = [
            *_changed(asdict(usual.task) | {"data": None}, made["task"]),
            *_changed(asdict(usual.network), made["network"]),
            *_changed(usual.fields, {k: decode(fields[k]) for k in usual.fields if k in fields}),
            *_changed(asdict(usual.train), config["train"]),
        ]
    except (InputError, KeyError, TypeError):
        return None
    return shlex.join(["innerloop", "train", made["learner"], *given])


def _changed(usual: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if name not in usual or usual[name] == value:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield f"--{option}"
            yield from (map(str, value) if isinstance(value, list | tuple) else [str(value)])
