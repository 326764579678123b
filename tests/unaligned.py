"""A machine whose files and arrays lie at odd addresses, 8 bytes after a multiple of 64.

`pytest -p tests.unaligned` runs any test so. What passes through `core.aligned` is not touched by it.
"""

import pytest
import safetensors
import torch
from torch import Tensor

from innerloop.core import tree

OFFSET = 8


def shifted(tensor: Tensor) -> Tensor:
    """The same numbers, elsewhere."""
    if tensor.device.type != "cpu" or not tensor.numel():
        return tensor
    size = tensor.numel() * tensor.element_size()
    memory = torch.empty(size + OFFSET, dtype=torch.uint8)
    found = memory[OFFSET:].view(tensor.dtype).view(tensor.shape).copy_(tensor)
    assert found.data_ptr() % 64 == OFFSET
    return found


def _shifted_tree(values):
    return tree.map(lambda leaf: shifted(leaf) if isinstance(leaf, Tensor) else leaf, values)


class _File:
    """`safetensors.safe_open`."""

    def __init__(self, *args, opened=safetensors.safe_open, **options):
        self._file = opened(*args, **options)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def get_tensor(self, name: str) -> Tensor:
        return shifted(self._file.get_tensor(name))


def shift(patch: pytest.MonkeyPatch) -> None:
    """Let every door hand out tensors at odd addresses."""
    read, wrapped = torch.load, torch.from_numpy
    patch.setattr(safetensors, "safe_open", _File)
    patch.setattr(torch, "load", lambda *args, **options: _shifted_tree(read(*args, **options)))
    patch.setattr(torch, "from_numpy", lambda array: shifted(wrapped(array)))


def pytest_configure() -> None:
    shift(pytest.MonkeyPatch())
