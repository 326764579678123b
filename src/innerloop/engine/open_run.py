"""The folder of a run, when its training begins or goes on."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.config import encode
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.plain import plain as plain_value
from innerloop.engine import checkpoint
from innerloop.engine.config import TrainConfig

PLAN = ("plan", "chunk", "threads", "layout", "precision", "recompute")
"""Settings that say how tasks are run."""
_DEFAULT = "the default one"
"""How a message calls the update of a run whose config names none."""


def open_run(
    run: Path, learner: Learner, config: TrainConfig, record: dict[str, Any], update: Any
) -> dict[str, Any] | None:
    """Prove that the folder can be written, and that what it holds is this run or nothing.

    Returns:
        The settings that the run was trained with before; None where there was none.
    """
    files.writable(run)
    train = asdict(config)
    if not (run / "config.json").exists():
        checkpoint.write_config(run, learner, train, record, update)
        return None
    kept = checkpoint.read_config(run)
    before = kept.get("train") or {}
    ignored = set() if config.schedule in ("cosine", "linear") else {"steps", "cpu_minutes"}
    ignored |= {"checkpoint_every", "unchecked", "retime", *PLAN} - {"precision"}  # rounding apart, no difference
    pairs = {
        "learner": (kept["learner"], encode(learner)),
        "record": (with_new(kept.get("record"), record), record),
    }
    pairs["update"] = (kept.get("update", _DEFAULT), _DEFAULT if update is None else update)
    # What an earlier release had no word for was as the default is.
    pairs |= {k: (before.get(k, getattr(TrainConfig, k)), v) for k, v in train.items() if k not in ignored}
    refuse_other(run, pairs)
    checkpoint.write_config(run, learner, train, record, update)
    return before


def refuse_other(run: Path, entries: Mapping[str, tuple[Any, Any]]) -> None:
    """Nothing, where a folder holds what is asked for.

    Args:
        run: The folder.
        entries: What it holds and what is asked for, by what messages call it.

    Raises:
        InputError: They differ; the message names the first entry that does.
    """
    for name, (old, new) in entries.items():
        if old != new:
            entry, was, now = _where(name, old, new)
            raise InputError(
                f"{run} holds another run: its {entry} is {_short(was)}, now {_short(now)} is asked for. "
                "Choose another folder, remove this one, or ask for the same to go on with it"
            )


def with_new(old: Any, new: Any) -> Any:
    """Nested JSON with what an earlier release had no option for, which was off."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old
    off = {k: v for k, v in new.items() if k not in old and not v}
    return {k: with_new(v, new.get(k)) for k, v in old.items()} | off


def plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record as it comes back from the run's config, so that a run knows itself again.

    Raises:
        InputError: It holds what JSON does not.
    """
    try:
        return json.loads(json.dumps(record, default=_number))
    except (TypeError, ValueError) as error:
        raise InputError(f"record must be plain JSON values, which are kept with the run: {error}") from error


def _number(value: Any) -> Any:
    if (new := plain_value(value)) is value:
        raise TypeError(f"a {type(value).__name__} is none")
    return new


def _where(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first entry in which nested JSON differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(k for k in (*new, *old) if old.get(k) != new.get(k))
        return _where(f"{name}.{key}", old.get(key), new.get(key))
    return name, old, new


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
