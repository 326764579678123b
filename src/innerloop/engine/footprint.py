"""How much memory the graph of one task keeps for its backward pass."""

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from innerloop.core import tree
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params


def saved_bytes(learner: Learner, params: Params, episodes: Episode) -> int:
    """What the graph of one task keeps for the backward pass, the parameters and the task themselves among it."""
    leaves, task = {k: v.detach().requires_grad_() for k, v in params.items()}, tree.slice(episodes, 0)
    with torch.enable_grad(), _Allocations() as allocations:
        loss = learner.loss(leaves, task)
    inputs = [*leaves.values(), *tree.flatten(task)]
    saved = allocations.alive(inputs)
    del loss  # alive until here, and its graph with it
    return saved + sum(value.nbytes for value in inputs)


class _Allocations(TorchDispatchMode):
    """Notes the memory of everything that is computed. It sees below `torch.func`, where saved-tensor hooks raise."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to be skipped by the compiler would import it: a second."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for value in tree_leaves(outputs):
            if isinstance(value, Tensor):
                memory = value.untyped_storage()
                alive = StorageWeakRef(memory)
                self.sizes[alive.cdata] = alive, memory.nbytes()
        return outputs

    def alive(self, inputs: list[Tensor]) -> int:
        """Bytes that something still holds, those of `inputs` apart, which views of them share."""
        others = {StorageWeakRef(value.untyped_storage()).cdata for value in inputs}
        return sum(size for k, (held, size) in self.sizes.items() if k not in others and not held.expired())
