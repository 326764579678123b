"""Every sampler hands out aligned tensors: where NumPy put them must not decide how a product is rounded."""

import numpy as np
import pytest

from innerloop.core import tree
from innerloop.core.aligned import is_aligned
from innerloop.tasks import (
    BatchSampler,
    EpisodeSampler,
    Interpolated,
    MassSpringDamper,
    Sinusoid,
    TaskBatchSampler,
    UnsupervisedSampler,
)
from innerloop.tasks.datasets.arrays import npz
from innerloop.tasks.functions import Functions
from tests.tasks.pools import pictures, tagged
from tests.unaligned import shift

pytestmark = pytest.mark.exact
PICTURES = pictures(classes=6, instances=7, size=9)  # 81 bytes each
SAMPLERS = {
    "episodes": EpisodeSampler(pool=PICTURES, ways=3, shots=1, queries=2, seed=0),
    "rows": EpisodeSampler(pool=tagged([7] * 6), ways=3, shots=1, queries=2, unlabelled=1),
    "mixed": Interpolated(sampler=EpisodeSampler(pool=PICTURES, ways=3, shots=1, queries=2), share=0.5),
    "uneven": EpisodeSampler(pool=PICTURES, ways=(2, 5), shots=(1, 3), queries=2, seed=0),
    "batches": BatchSampler(pool=PICTURES, batch_size=5),
    "tasks": TaskBatchSampler(pool=PICTURES, batch_size=5, size=3),
    "unsupervised": UnsupervisedSampler(pool=PICTURES, ways=3, queries=1),
    "sinusoid": Sinusoid(),
    "dynamics": MassSpringDamper(),
    "functions": Functions(),
}


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_episodes_are_aligned(sampler, monkeypatch):
    shift(monkeypatch)
    for name, leaf in tree.items(sampler.episodes(5, 3)):
        assert is_aligned(leaf), name


def test_arrays_of_a_file_are_aligned(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(9, 7)), y=np.arange(9) % 3)
    shift(monkeypatch)
    assert is_aligned(npz(tmp_path / "a.npz").data)
