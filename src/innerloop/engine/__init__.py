"""How learners are run: meta-gradients, meta-training, run folders."""

from innerloop.engine.checkpoint import load
from innerloop.engine.step import meta_gradient
from innerloop.engine.train import Interrupted, TrainConfig, meta_train
from innerloop.engine.updates import Update
from innerloop.engine.watchers import Stop, Watcher

__all__ = ["Interrupted", "Stop", "TrainConfig", "Update", "Watcher", "load", "meta_gradient", "meta_train"]
