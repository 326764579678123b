import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.tasks import GPCurves, Mixture, Polynomial, Sinusoid, mixture
from innerloop.tasks.curves import Curves
from tests.problems import inputs

LINES, CUBICS = Polynomial(shots=6, queries=4), Polynomial(shots=6, queries=4, degree=3, tasks=3)
SAMPLERS: dict[str, Curves | Mixture] = {
    "sinusoid": Sinusoid(shots=6, queries=4),
    "noisy sinusoids": Sinusoid(shots=6, queries=4, frequency=(0.5, 2.0), noise=0.3, tasks=4, fewest_shots=2),
    "lines": LINES,
    "cubics": CUBICS,
    "gp": GPCurves(shots=6, queries=4, noise=0.1),
    "mixture": Mixture(families=(LINES, replace(CUBICS, fewest_shots=1), GPCurves(shots=6, queries=4))),
    "usual mixture": mixture(6, 4),
}


def points(batch: Batch) -> Tensor:
    assert isinstance(batch.x, Tensor)
    return batch.x


def joined(episodes: Episode) -> tuple[Tensor, Tensor]:
    """x and y [count, n] of support and query together."""
    support, query = episodes
    return torch.cat([points(support), points(query)], 1)[..., 0], torch.cat([support.y, query.y], 1)[..., 0]


def check_uniform(values: Tensor, low: float, high: float):
    assert low <= values.min() and values.max() <= high
    assert stats.kstest(values.double().numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_points_lie_on_the_drawn_sine():
    sampler = Sinusoid(shots=5, queries=7, seed=3)
    episodes = sampler.episodes(10, 4)
    amplitude, phase = sampler.draw(10, 4)
    for batch, n in zip(episodes, (5, 7), strict=True):
        assert points(batch).shape == batch.y.shape == (4, n, 1)
        assert torch.equal(batch.y, amplitude[:, None, None] * torch.sin(points(batch) - phase[:, None, None]))
        assert batch.classes is None and batch.mask is None
    assert not torch.equal(episodes.support.y[0, :5], episodes.query.y[0, :5])


def test_the_sinusoids_of_earlier_releases_are_frozen_for_ever():
    """What rounds the same everywhere: x, keys, amplitudes, phases. y is a sine of them."""
    digest = hashlib.sha256()
    support, query = Sinusoid(shots=5, queries=7, seed=-3).episodes(2**32 - 2, 4)
    nothing = torch.zeros(0)
    for path, leaf in tree.items(Episode(support._replace(y=nothing), query._replace(y=nothing))):
        digest.update(path.encode() + leaf.numpy().tobytes())
    for values in Sinusoid(seed=9).draw(5, 6):
        digest.update(values.numpy().tobytes())
    assert digest.hexdigest()[:16] == "5f11e7a696e4a73b"
    released = [1.60511314868927, -2.75911545753479, 1.6585057973861694, -4.480580806732178, 3.7267303466796875]
    assert torch.allclose(support.y[0, :, 0], torch.tensor(released), rtol=1e-6)
    about = {"kind": "sinusoid", "score": "mse", "dataset": "sinusoid", "shots": 10, "queries": 10, "seed": 0}
    assert Sinusoid().describe() == about


def test_ranges_of_the_paper():
    sampler = Sinusoid(shots=10, queries=10)
    amplitude, phase = sampler.draw(0, 4000)
    x = points(sampler.episodes(0, 4000).support)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, math.pi), (x.flatten(), -5.0, 5.0)):
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert torch.corrcoef(torch.stack([amplitude, phase]))[0, 1].abs() < 0.06


def test_sinusoids_in_the_ranges_of_their_fields():
    sampler = Sinusoid(amplitude=(2.0, 3.0), phase=(0.0, 1.0), frequency=(0.5, 2.0), inputs=(1.0, 4.0), shots=30)
    amplitude, phase = sampler.draw(0, 1000)
    x, y = joined(sampler.episodes(0, 1000))
    for values, low, high in ((amplitude, 2.0, 3.0), (phase, 0.0, 1.0), (x.flatten()[:5000], 1.0, 4.0)):
        check_uniform(values, low, high)
    # The frequency of each, as the one of a fine grid that explains its points.
    grid = torch.linspace(0.5, 2.0, 301)[:, None, None]
    waves = amplitude[:50, None] * torch.sin(grid * x[:50] - phase[:50, None])
    errors, best = (waves - y[:50]).square().mean(-1).min(0)
    assert errors.max() < 0.01
    check_uniform(grid[best].flatten(), 0.5, 2.0)


@pytest.mark.parametrize("family", [Sinusoid(), Polynomial(degree=2), GPCurves()], ids=lambda family: family.kind)
def test_noise_is_added_to_the_same_curves(family):
    plain, noisy = (joined(replace(family, noise=level).episodes(0, 400)) for level in (0.0, 0.3))
    assert torch.equal(plain[0], noisy[0])
    noise = (noisy[1] - plain[1]).double().numpy()
    assert stats.kstest(noise.flatten() / 0.3, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise.T) - np.eye(20)).max() < 0.25, "independent from point to point"


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_polynomials_have_their_degree_and_coefficients(degree):
    bounds = ((-1.0, 1.0), (2.0, 3.0), (-0.5, -0.2), (0.05, 0.1))[: degree + 1]
    x, y = (v.double().numpy() for v in joined(Polynomial(degree=degree, coefficients=bounds).episodes(0, 500)))
    fitted = np.stack([np.polynomial.polynomial.polyfit(a, b, degree) for a, b in zip(x, y, strict=True)])
    assert np.abs(y - (x[..., None] ** np.arange(degree + 1) * fitted[:, None]).sum(-1)).max() < 1e-4
    for values, (low, high) in zip(fitted.T, bounds, strict=True):
        check_uniform(torch.from_numpy(values).clamp(low, high), low, high)
        assert low - 1e-3 < values.min() and values.max() < high + 1e-3


def test_curves_of_gaussian_processes_have_their_covariance():
    """Whitened by the covariance written out, the points of all tasks are independent and standard normal."""
    sampler = GPCurves(shots=5, queries=5, lengthscale=(0.5, 0.5), scale=(2.0, 2.0), seed=1)
    x, y = (v.double().numpy() for v in joined(sampler.episodes(0, 1500)))
    assert np.abs(x).max() <= 2
    white = []
    for a, b in zip(x, y, strict=True):
        covariance = [[4 * math.exp(-((p - q) ** 2) / (2 * 0.25)) for q in a] for p in a]
        # Far above what float32 leaves of a curve between points that nearly coincide.
        values, vectors = np.linalg.eigh(covariance)
        kept = values > 1e-3
        white.append((vectors.T @ b)[kept] / np.sqrt(values[kept]))
    assert stats.kstest(np.concatenate(white), "norm").pvalue > 1e-3
    assert np.mean([w[-1] * w[-2] for w in white]) == pytest.approx(0, abs=0.1)
    assert y.var() == pytest.approx(4, rel=0.1)


def test_lengthscale_and_scale_of_gaussian_processes_are_drawn_for_each_task():
    episodes = [GPCurves(lengthscale=(s, s), shots=30, seed=2).episodes(0, 200) for s in (0.1, 0.6)]
    rough, smooth = (
        torch.take_along_dim(y, x.argsort(1), 1).diff(dim=1).square().mean() for x, y in map(joined, episodes)
    )
    assert rough > 4 * smooth
    spread = joined(GPCurves(scale=(0.1, 1.0), inputs=(-50.0, 50.0), shots=200).episodes(0, 300))[1].std(1)
    assert 0.05 < spread.min() < 0.2 and 0.85 < spread.max() < 1.2


@pytest.mark.parametrize("family", [Sinusoid(shots=20), Polynomial(shots=20, degree=2)], ids=lambda family: family.kind)
def test_a_finite_set_of_tasks_is_drawn_once(family):
    """Nine episodes in ten meet a task again, at new points."""
    sampler = replace(family, tasks=5)
    keys = sampler.functions(np.arange(200, dtype=np.uint32))
    assert len(np.unique(keys)) == 5
    assert len(np.unique(family.functions(np.arange(200, dtype=np.uint32)))) == 200
    x, y = joined(sampler.episodes(0, 200))
    order = x.argsort(1)
    grid = torch.linspace(-4, 4, 30)
    curves = np.stack([np.interp(grid, a[o], b[o]) for a, b, o in zip(x, y, order, strict=True)])
    nearest = np.abs(curves[:, None] - curves[None]).mean(-1) + 100 * np.eye(200)
    assert np.median(nearest.min(1)) < 0.5
    assert len(np.unique(x)) > 3900
    other = replace(sampler, seed=1).functions(np.arange(200, dtype=np.uint32))
    assert not set(np.unique(other)) & set(np.unique(keys))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 2**33))
def test_ragged_tasks_have_from_the_fewest_to_all_shots_and_zeros_behind(shots, less, first):
    fewest = max(1, shots - less)
    ragged = Sinusoid(shots=shots, queries=2, fewest_shots=fewest, noise=0.1)
    support, query = ragged.episodes(first, 40)
    whole = replace(ragged, fewest_shots=None).episodes(first, 40)
    mask = support.mask
    assert mask is not None and mask.dtype == torch.bool and query.mask is None
    counts = mask.sum(1)
    assert fewest <= counts.min() and counts.max() <= shots
    assert (mask == (torch.arange(shots) < counts[:, None])).all()
    for values, same in ((points(support), points(whole.support)), (support.y, whole.support.y)):
        assert torch.equal(values[mask], same[mask]) and not values[~mask].any()
    assert torch.equal(query.y, whole.query.y)


def test_the_number_of_shots_is_uniform():
    mask = Sinusoid(shots=5, fewest_shots=2).episodes(0, 4000).support.mask
    assert mask is not None
    assert stats.chisquare(torch.bincount(mask.sum(1), minlength=6)[2:].numpy()).pvalue > 1e-3


@pytest.mark.exact
@pytest.mark.parametrize("name", SAMPLERS)
def test_an_episode_depends_on_seed_and_index_only(name):
    sampler = SAMPLERS[name]
    torch.manual_seed(0)
    together = sampler.episodes(2**32 - 5, 12)
    for start, stop in ((0, 1), (5, 6), (3, 10), (11, 12)):
        torch.manual_seed(start)
        part = sampler.episodes(2**32 - 5 + start, stop - start)
        expected = tree.slice(together, slice(start, stop))
        for (path, a), b in zip(tree.items(expected), tree.flatten(part), strict=True):
            assert torch.equal(a, b), path
    assert not torch.equal(replace(sampler, seed=2).episodes(5, 1).support.y, sampler.episodes(5, 1).support.y)
    assert all(v.dtype == torch.float32 for v in (together.query.y, points(together.query)))
    assert together.support.key is not None and torch.equal(together.support.key[5], random.mix(sampler.seed, 2**32))


def test_a_mixture_draws_every_family_and_says_which():
    families = (Polynomial(coefficients=((9.0, 9.0), (0.0, 0.0))), Sinusoid(amplitude=(0.0, 0.0)), Polynomial())
    sampler = Mixture(families=families, seed=4)
    number, y = sampler.draw(3, 900), joined(sampler.episodes(3, 900))[1]
    assert stats.chisquare(torch.bincount(number).numpy()).pvalue > 1e-3
    assert torch.equal((y == 9).all(1), number == 0) and torch.equal((y == 0).all(1), number == 1)
    assert [one.describe()["kind"] for one in mixture().families] == ["sinusoid", *["polynomial"] * 3]


def test_families_with_and_without_padding_mix():
    support, _ = Mixture(families=(Polynomial(), replace(Polynomial(degree=2), fewest_shots=1))).episodes(0, 50)
    only_whole = Mixture(families=(Polynomial(), replace(Polynomial(), fewest_shots=10))).episodes(0, 1)
    assert support.mask is not None and only_whole.support.mask is not None
    whole = support.mask.all(1)
    assert 10 < whole.sum() < 45


@pytest.mark.parametrize("name", SAMPLERS)
def test_descriptions_are_json_and_tell_samplers_apart(name):
    about = SAMPLERS[name].describe()
    assert json.loads(json.dumps(about)) == about
    others = [SAMPLERS[other].describe() for other in SAMPLERS if other != name]
    assert about not in others and about["shots"] == 6 and about["queries"] == 4


def test_relative_noise_is_a_share_of_the_tasks_amplitude():
    """Also where functions come again, and beside noise of the same deviation everywhere, as independent noises add."""
    sampler = Sinusoid(shots=50, queries=50, tasks=7)
    noisy, both = replace(sampler, relative_noise=0.1), replace(sampler, relative_noise=0.1, noise=0.2)
    amplitude, _ = sampler.draw(0, 200)
    plain, noise, more = (joined(each.episodes(0, 200))[1].double() for each in (sampler, noisy, both))
    assert len(amplitude.unique()) == 7
    assert stats.kstest(((noise - plain) / (0.1 * amplitude[:, None])).flatten().numpy(), "norm").pvalue > 1e-3
    expected = ((0.1 * amplitude) ** 2 + 0.2**2).sqrt()
    assert stats.kstest(((more - plain) / expected[:, None]).flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    "field",
    ["inputs", "noise", "tasks", "fewest_shots", "amplitude", "phase", "frequency", "relative_noise"],
    ids=lambda field: field,
)
def test_a_field_of_the_sinusoids_that_is_not_the_papers_is_recorded(field):
    usual = getattr(Sinusoid(), field)
    value = (1.0, 2.0) if isinstance(usual, tuple) else 3
    assert replace(Sinusoid(), **{field: value}).describe()[field] == (
        list(value) if isinstance(value, tuple) else value
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sinusoid(shots=0), "shots must be a whole number of at least 1, got 0"),
        (lambda: Sinusoid(noise=-1.0), "noise must be a number from 0 up, got -1.0"),
        (lambda: Sinusoid(relative_noise=-1.0), "relative_noise must be a number from 0 up, got -1.0"),
        (lambda: Sinusoid(tasks=0), "tasks must be a whole number of at least 1, or None, got 0"),
        (lambda: Sinusoid(fewest_shots=11), "at most shots=10, got 11"),
        (lambda: Sinusoid(amplitude=(2.0, 1.0)), "amplitude is the lowest and the highest value, got 2 and 1"),
        (lambda: Sinusoid(inputs=(0.0, math.nan)), "inputs must be a tuple of 2"),
        (lambda: Polynomial(degree=4), "degree 4 needs the ranges of its 5"),
        (lambda: Polynomial(degree=2, coefficients=((0.0, 1.0),)), "has 3 coefficients, got 1"),
        (lambda: GPCurves(lengthscale=(0.0, 1.0)), "value, above 0, got 0 and 1"),
        (lambda: GPCurves(tasks=3), "known only where it was drawn"),
        (lambda: Mixture(families=()), "no family at all"),
        (lambda: Mixture(families=(Polynomial(), Sinusoid(shots=3))), "got 3 and 10, 10 and 10"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("name", ["noisy sinusoids", "mixture"])
def test_without_noise_functions_and_points_are_the_same(name):
    noisy = SAMPLERS[name].episodes(3, 6)
    clean = SAMPLERS[name].noiseless(50).episodes(3, 6)
    assert torch.equal(inputs(clean.query)[:, :4], inputs(noisy.query))
    assert torch.equal(inputs(clean.support), inputs(noisy.support)) and clean.query.y.shape[1] == 50
    error = (clean.query.y[:, :4] - noisy.query.y).abs().max()
    assert 0.3 < error < 2 if name == "noisy sinusoids" else error < 1e-5


def test_relative_noise_is_noise_too():
    noisy = Sinusoid(shots=6, queries=4, relative_noise=0.2)
    plain = Sinusoid(shots=6, queries=4)
    assert not torch.equal(noisy.episodes(3, 6).query.y, plain.episodes(3, 6).query.y)
    assert torch.equal(noisy.noiseless(4).episodes(3, 6).query.y, plain.episodes(3, 6).query.y)
