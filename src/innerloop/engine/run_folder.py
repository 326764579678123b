"""The run folder as a training finds it: empty, or with a run that must be the one that is asked for."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.config import encode
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.engine import checkpoint
from innerloop.engine.config import TrainConfig

_DEFAULT = "the default one"
"""How a message calls the update of a run whose config names none."""
HOW = ("plan", "chunk", "threads", "layout", "precision", "recompute")
"""Settings that say how tasks are run."""


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
    ignored = set() if config.schedule in ("cosine", "linear") else {"steps", "cpu_minutes"}
    ignored |= {"checkpoint_every", "unchecked", *HOW} - {"precision"}  # rounding apart, no difference
    pairs = {"learner": (kept["learner"], encode(learner)), "record": (kept["record"], record)}
    pairs["update"] = (kept.get("update", _DEFAULT), _DEFAULT if update is None else update)
    pairs |= {k: (kept["train"].get(k), v) for k, v in train.items() if k not in ignored}
    for name, (old, new) in pairs.items():
        if old != new:
            entry, was, now = _where(name, old, new)
            raise InputError(
                f"{run} holds another run: its {entry} is {_short(was)}, now {_short(now)} is asked for. "
                "Choose another folder, remove this one, or ask for the same to go on with it"
            )
    checkpoint.write_config(run, learner, train, record, update)
    return kept["train"]


def _where(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """The first entry in which nested JSON differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(k for k in (*new, *old) if old.get(k) != new.get(k))
        return _where(f"{name}.{key}", old.get(key), new.get(key))
    return name, old, new


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
