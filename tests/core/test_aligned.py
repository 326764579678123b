from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from innerloop.core.aligned import BYTES, align, aligned, from_numpy, is_aligned, packed
from tests.unaligned import shifted


class Pair(NamedTuple):
    x: Tensor
    y: Tensor | None


def test_what_begins_there_stays_and_the_rest_is_copied():
    there, elsewhere = torch.arange(5.0), shifted(torch.arange(5.0))
    assert is_aligned(there) and not is_aligned(elsewhere)
    assert aligned(there) is there
    moved = aligned(elsewhere)
    assert moved.data_ptr() % BYTES == 0 and torch.equal(moved, elsewhere)


def test_a_slice_is_moved_and_keeps_its_shape_and_dtype():
    rows = torch.arange(30, dtype=torch.float64).view(10, 3)
    one = aligned(rows[1:2])
    assert is_aligned(one) and torch.equal(one, rows[1:2]) and one.dtype == torch.float64
    assert aligned(rows[:4]).data_ptr() == rows.data_ptr()


def test_trees_and_what_is_no_tensor():
    found = aligned(
        {"a": Pair(shifted(torch.ones(3)), None), "step": 7, "names": ["b"], "b": (shifted(torch.ones(2)),)}
    )
    assert is_aligned(found["a"].x) and found["a"].y is None and is_aligned(found["b"][0])
    assert found["step"] == 7 and found["names"] == ["b"]
    assert aligned(torch.eye(2).to_sparse()).is_sparse and aligned(torch.empty(3, device="meta")).is_meta


def test_packed_lies_row_after_row():
    columns, there = torch.arange(6.0).view(2, 3).T, torch.arange(6.0)
    found = packed({"a": (columns, there, None), "b": shifted(there), "step": 7})
    assert found["a"][0].is_contiguous() and torch.equal(found["a"][0], columns) and found["a"][1] is there
    assert is_aligned(found["b"]) and found["a"][2] is None and found["step"] == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, np.bool_])
def test_arrays_of_any_make(dtype):
    plain = (np.arange(24).reshape(4, 6) % 2).astype(dtype)
    frozen = np.frombuffer(plain.tobytes(), dtype).reshape(4, 6)
    odd = np.frombuffer(b"\0" * 8 + plain.tobytes(), dtype, offset=8).reshape(4, 6)
    for array in (
        plain,
        frozen,
        odd,
        plain[::-1],
        plain[::-1][1:2],
        plain[:, ::2],
        np.asfortranarray(plain),
        plain[:0],
        plain[0, 0:1],
    ):
        tensor = from_numpy(array)
        assert is_aligned(tensor) and np.array_equal(tensor.numpy(), array)


def test_an_array_that_cannot_be_written_to_is_not_written_to():
    frozen = np.arange(4.0)
    frozen.flags.writeable = False
    from_numpy(frozen).zero_()
    assert frozen.tolist() == [0, 1, 2, 3]


def test_a_network_is_moved_in_place():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = shifted(tensor.data)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    leaves = list(network.parameters())
    assert align(network) is network and all(a is b for a, b in zip(leaves, network.parameters(), strict=True))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) and is_aligned(tensor)
