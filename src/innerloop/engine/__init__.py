"""How learners are run: meta-gradients, meta-training, run folders.

A name is imported when it is asked for: who teaches a task or reads a run folder needs nothing that trains.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.engine.checkpoint import load
    from innerloop.engine.step import meta_gradient
    from innerloop.engine.train import Interrupted, TrainConfig, meta_train
    from innerloop.engine.updates import Update
    from innerloop.engine.watchers import Stop, Watcher

_MODULES = {
    "Interrupted": "train",
    "Stop": "watchers",
    "TrainConfig": "train",
    "Update": "updates",
    "Watcher": "watchers",
    "load": "checkpoint",
    "meta_gradient": "step",
    "meta_train": "train",
}

__all__ = ["Interrupted", "Stop", "TrainConfig", "Update", "Watcher", "load", "meta_gradient", "meta_train"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"innerloop.engine.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
