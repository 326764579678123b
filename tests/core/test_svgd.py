import math

import pytest
import torch

from innerloop.core import svgd

POINTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def climb(covariance, mean, particles, steps, rate):
    """Particles that start far from a Gaussian, after so many steps on its log density."""
    generator = torch.Generator().manual_seed(1)
    x = {"x": 0.1 * torch.randn(particles, len(mean), generator=generator, dtype=torch.float64) - 3}
    for _ in range(steps):
        scores = {"x": -(x["x"] - mean) @ torch.linalg.inv(covariance)}
        x = {"x": x["x"] + rate * svgd.direction(x, scores)["x"]}
    return x["x"]


def test_one_particle_climbs_the_gradient():
    particles, scores = ({"a": torch.randn(1, 3), "b": torch.randn(1)} for _ in range(2))
    moves = svgd.direction(particles, scores)
    assert all(torch.allclose(moves[k], scores[k]) and moves[k].shape == scores[k].shape for k in scores)


def test_the_kernels_gradient_is_autograds():
    bandwidth = svgd.median_bandwidth(svgd.squared_distances(POINTS))
    kernel = torch.exp(-svgd.squared_distances(POINTS) / bandwidth)
    found = svgd.repulsion(kernel, POINTS, bandwidth)
    for i in range(len(POINTS)):
        others = POINTS.clone().requires_grad_()
        near = torch.exp(-(others - POINTS[i]).square().sum(1) / bandwidth)
        assert torch.allclose(near, kernel[i])
        (slope,) = torch.autograd.grad(near.sum(), others)
        assert (found[i] - slope.sum(0)).abs().max() < 1e-10


def test_a_step_is_the_papers_sum():
    particles = {"a": POINTS[:, :3].reshape(6, 3, 1), "b": POINTS[:, 3]}
    scores = {"a": torch.sin(particles["a"]), "b": torch.cos(particles["b"])}
    moves = svgd.direction(particles, scores, temperature=0.25)
    slopes = torch.cat([scores["a"].flatten(1), scores["b"][:, None]], 1)
    squares = torch.tensor([[float((a - b).square().sum()) for b in POINTS] for a in POINTS], dtype=torch.float64)
    bandwidth = float(squares[~torch.eye(6, dtype=torch.bool)].quantile(0.5)) / math.log(6)
    for i in range(6):
        total = torch.zeros(4, dtype=torch.float64)
        for j in range(6):
            k = math.exp(-float(squares[i, j]) / bandwidth)
            total += k * slopes[j] + 0.25 * k * 2 / bandwidth * (POINTS[i] - POINTS[j])
        assert torch.allclose(torch.cat([moves["a"][i].flatten(), moves["b"][i, None]]), total / 6)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_bandwidth_is_the_median_of_others_and_a_constant(count):
    points = POINTS[:count].clone().requires_grad_()
    bandwidth = svgd.median_bandwidth(svgd.squared_distances(points))
    assert bandwidth.item() == pytest.approx(
        float(torch.pdist(POINTS[:count]).square().quantile(0.5)) / math.log(count)
    )
    # Where distances from a point to itself counted, it would be far less.
    moves = svgd.direction({"x": points}, {"x": torch.zeros_like(points)})["x"]
    held = svgd.repulsion(torch.exp(-svgd.squared_distances(points) / bandwidth.item()), points, bandwidth.detach())
    slope, expected = (torch.autograd.grad(v.square().sum(), points)[0] for v in (moves, held / count))
    assert torch.allclose(slope, expected)


def test_particles_that_coincide_move_as_one():
    same = {"x": torch.ones(4, 3, requires_grad=True)}
    moves = svgd.direction(same, {"x": torch.full((4, 3), 2.0)})["x"]
    assert torch.equal(moves, torch.full((4, 3), 2.0))
    assert torch.autograd.grad(moves.square().sum(), same["x"])[0].isfinite().all()
    assert float(svgd.median_bandwidth(torch.zeros(1, 1))) == 1


def test_distances_do_not_lose_what_is_small_beside_what_is_shared():
    far = (POINTS + 5000).float()
    assert torch.allclose(
        svgd.squared_distances(far), torch.cdist(far.double(), far.double()).square().float(), rtol=1e-3
    )


def test_particles_become_a_sample_of_a_gaussian():
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    for particles, near in ((5, 0.05), (50, 0.01)):
        x = climb(covariance, mean, particles, steps=300, rate=0.3)
        assert (x.mean(0) - mean).abs().max() < near
    assert (x.T.cov(correction=0) - covariance).norm() / covariance.norm() < 0.2
