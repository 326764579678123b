"""How much memory a task takes, the same on a laptop and a server: counted in tensors, not in pages of the system."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params


def peak_memory(learner: Learner, params: Params, episode: Episode) -> int:
    """Most bytes that tensors took at once while one task was adapted to and its queries answered.

    What was there before, the parameters and the episode, is not counted, nor is the scratch memory inside an
    operator. The resident memory of the process would include both, with all that an allocator ever kept, so that it
    says more about what ran before.
    """
    with torch.no_grad(), _Counter() as counter:
        learner.predict(params, learner.adapt(params, episode.support), episode.query.x)
    return counter.peak


class _Counter(TorchDispatchMode):
    """Follows storages from the operator that makes them to their end."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, int] = {}
        self._now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {_storage(t)._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = _storage(tensor)
            key = storage._cdata
            if key not in known and key not in self._live:  # else a view, or written in place
                self._live[key] = storage.nbytes()
                self._now += storage.nbytes()
                weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self._now)
        return out

    def _freed(self, key: int) -> None:
        self._now -= self._live.pop(key)


def _storage(tensor: torch.Tensor) -> Any:
    return tensor.untyped_storage()
