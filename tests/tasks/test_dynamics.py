from typing import Any

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.tasks import MassSpringDamper


def arrays(batch) -> Any:
    return batch.x, batch.y


def constants(x, y):
    """Mass, spring and damper of transitions, from the linear system they obey: least squares, and its residual."""
    change = y.double().numpy() * [0.1, 0.25]
    found, _, _, _ = np.linalg.lstsq(x.double().numpy(), change, rcond=None)
    return found, np.abs(x.double().numpy() @ found - change).max()


def test_an_episode_is_a_function_of_its_seed_and_index():
    whole = tree.flatten(MassSpringDamper(seed=3).episodes(5, 4))
    part = tree.flatten(MassSpringDamper(seed=3).episodes(7, 1))
    assert all(torch.equal(a[2], b[0]) for a, b in zip(whole, part, strict=True))
    assert not torch.equal(whole[0], tree.flatten(MassSpringDamper(seed=4).episodes(5, 4))[0])
    x, y = arrays(MassSpringDamper(seed=3).episodes(5, 4).support)
    assert x.shape == (4, 16, 3) and y.shape == (4, 16, 2)


def test_one_task_obeys_one_linear_system_and_two_do_not():
    support, query = MassSpringDamper(shots=30, queries=30).episodes(0, 2)
    x, y = arrays(support)
    seen, residual = constants(x[0], y[0])
    follows, _ = constants(*arrays(tree.slice(query, 0)))
    assert residual < 1e-4 and np.abs(seen - follows).max() < 1e-2
    _, mixed = constants(x.flatten(0, 1), y.flatten(0, 1))
    assert mixed > 1e-2


def test_time_goes_on_from_support_to_query_and_targets_are_of_size_one():
    support, query = map(arrays, MassSpringDamper().episodes(0, 400))
    rows, changes = (torch.cat(parts, 1) for parts in zip(support, query, strict=True))
    assert torch.allclose(rows[:, 1:, :2], rows[:, :-1, :2] + changes[:, :-1] * torch.tensor([0.1, 0.25]), atol=1e-5)
    assert ((changes.std((0, 1)) > 0.7) & (changes.std((0, 1)) < 1.4)).all()


def test_a_streams_constants_change_every_period():
    x, y = arrays(MassSpringDamper().stream(0, 150, period=50))
    parts = [constants(x[i : i + 50], y[i : i + 50]) for i in (0, 50, 100)]
    assert max(residual for _, residual in parts) < 1e-4
    assert min(np.abs(parts[i][0] - parts[i + 1][0]).max() for i in range(2)) > 1e-3
    assert constants(x[25:75], y[25:75])[1] > 1e-3
    assert torch.equal(MassSpringDamper().stream(0, 80, period=50).y, y[:80])


def test_impossible_sizes_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        MassSpringDamper(shots=0)
    with pytest.raises(InputError, match="at least 1"):
        MassSpringDamper().stream(0, 10, period=0)
