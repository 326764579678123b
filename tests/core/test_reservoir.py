import torch

from innerloop.core import random, reservoir, tree
from innerloop.core.types import Batch
from tests.problems import real


def rows(first: int, count: int, key: int = 0) -> Batch:
    """Rows that say which they are."""
    y = torch.arange(first, first + count)
    return Batch(y[:, None].double(), y, key=torch.tensor(key))


def after(sizes: list[int], capacity: int, key: int = 0) -> reservoir.Reservoir:
    memory, first = reservoir.empty(rows(0, 1, key), capacity), 0
    for size in sizes:
        memory = reservoir.add(memory, rows(first, size))
        first += size
    return memory


def test_batches_are_kept_as_by_algorithm_r_row_by_row():
    capacity, seen = 7, 300
    key, kept = random.fold(torch.tensor(5), 1), [-1] * 7
    for t in range(seen):
        high, low = (int(random.fold(key, 2 * t + half)) >> 1 for half in (0, 1))
        u = t if t < capacity else (2**31 * high + low) % (t + 1)
        if u < capacity:
            kept[u] = t
    for sizes in ([1] * seen, [300], [3, 40, 7, 250], [10] * 30):
        memory = after(sizes, capacity, key=5)
        assert memory.y.tolist() == kept and tree.flatten(memory.x)[0][:, 0].tolist() == kept and memory.seen == seen


def test_every_row_is_kept_equally_often():
    """Chi-square over 4,000 keys: 60 rows in batches of 10 for 6 places, 400 expected of each row."""
    keys = torch.arange(4000)
    kept = torch.vmap(lambda key: _stream_of_60(key).y)(keys)
    counts = torch.bincount(kept.flatten(), minlength=60).double()
    # A place is of one row, so counts vary by 1 - 6/60 of what independent ones would.
    chi_square = float(((counts - 400) ** 2 / 400).sum() / (1 - 6 / 60))
    assert 28 < chi_square < 103  # 99.9% of chi-square with 59 degrees of freedom, either side


def _stream_of_60(key: torch.Tensor) -> reservoir.Reservoir:
    memory = reservoir.empty(rows(0, 1)._replace(key=key), 6)
    for first in range(0, 60, 10):
        memory = reservoir.add(memory, rows(first, 10))
    return memory


def test_padding_and_unlabelled_rows_take_no_place():
    mask = torch.tensor([True, False, True, True, False])
    padded = rows(10, 5)._replace(mask=mask, y=torch.tensor([10, 11, -1, 13, 14]))
    counted = Batch(*tree.map(lambda v: v[[0, 3]], (padded.x, padded.y)))
    states = [reservoir.add(after([4], 5), batch) for batch in (padded, counted)]
    assert all(torch.equal(a, b) for a, b in zip(*map(tree.flatten, states), strict=True))
    drawn = [reservoir.draw(states[0], batch) for batch in (padded, counted)]
    assert real(drawn[0]).tolist() == [True, True, False, False, False] and real(drawn[1]).all()
    assert torch.equal(drawn[0].y[:2], drawn[1].y)


def test_a_draw_has_different_rows_all_equally_likely():
    none = reservoir.draw(after([0], 5), rows(0, 3))
    assert not real(none).any()
    few = reservoir.draw(after([2], 5), rows(0, 3))
    assert sorted(few.y[real(few)].tolist()) == [0, 1]
    assert len(reservoir.draw(after([9], 5), rows(0, 8)).y) == 5  # no more than there are places
    drawn = torch.vmap(lambda key: reservoir.draw(after([8], 8)._replace(key=key), rows(0, 3)).y)(torch.arange(4000))
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    counts = torch.bincount(drawn.flatten(), minlength=8).double()  # 1,500 each
    assert ((counts - 1500).abs() < 4 * (4000 * 3 / 8 * 5 / 8) ** 0.5).all()
    again = [reservoir.draw(after([8], 8), rows(0, 3), number=i).y.tolist() for i in (0, 0, 1)]
    assert again[0] == again[1] != again[2]
