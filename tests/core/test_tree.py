import pytest
import torch

from innerloop.core import tree
from innerloop.core.types import Batch, Episode
from tests.problems import named_input


def episode(i: int = 0) -> Episode:
    batch = Batch({"a": torch.arange(3) + i, "b": torch.ones(3, 2)}, torch.arange(3))
    return Episode(batch, batch._replace(mask=torch.ones(3, dtype=torch.bool)))


def test_map_keeps_structure_and_none():
    doubled = tree.map(lambda a, b: a + b, episode(), episode())
    assert doubled.support.x["a"].tolist() == [0, 2, 4]
    assert doubled.support.mask is None and doubled.support.key is None


def test_stack_slice_and_axes_fit_vmap():
    stacked = tree.stack([episode(i) for i in range(4)])
    assert tree.length(stacked) == 4
    assert torch.equal(tree.slice(stacked, 2).support.x["a"], named_input(episode(2).support, "a"))
    sums = torch.vmap(lambda e: e.support.x["a"].sum(), in_dims=(tree.axes(stacked),))(stacked)
    assert sums.tolist() == [3, 6, 9, 12]


def test_items_and_rebuild_are_inverse():
    leaves = dict(tree.items(episode(3)))
    assert list(leaves) == [
        "support.x.a",
        "support.x.b",
        "support.y",
        "query.x.a",
        "query.x.b",
        "query.y",
        "query.mask",
    ]
    again = tree.rebuild(episode(0), leaves)
    assert torch.equal(again.query.x["a"], named_input(episode(3).query, "a"))
    with pytest.raises(KeyError):
        tree.rebuild(episode(), {})


def test_parts_join_and_come_apart():
    params = tree.join(model={"w": torch.ones(1)}, inner_lr={"w": torch.zeros(1)})
    assert list(params) == ["model.w", "inner_lr.w"]
    assert list(tree.part(params, "model")) == ["w"]
