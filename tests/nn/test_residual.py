import pytest
import torch

from innerloop.nn.residual import Residual


@pytest.mark.parametrize("rank", [None, 2])
def test_it_begins_as_directions_times_the_scale(rank):
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    encoder = Residual(inputs=6, scale=3.0, rank=rank)
    params = encoder.init(0)
    features = encoder.apply(params, x)
    torch.testing.assert_close(features, 3 * torch.nn.functional.normalize(x.flatten(1)))
    assert sum(p.numel() for p in params.values()) == 1 + (36 if rank is None else 24)
    moved = {k: v + 0.1 * torch.randn(v.shape) if "map" in k else v for k, v in params.items()}
    changed = encoder.apply(moved, x)
    assert (changed - features).abs().max() > 0.01, "the map has no effect"
    torch.testing.assert_close(changed.norm(dim=1), torch.full((4,), 3.0))


def test_a_gradient_reaches_the_map_and_a_blank_row_is_finite():
    encoder = Residual(inputs=3, rank=2)
    params = {k: v.requires_grad_() for k, v in encoder.init(0).items()}
    features = encoder.apply(params, torch.cat([torch.eye(3), torch.zeros(1, 3)]))
    features[:, 0].sum().backward()
    gradients = [p.grad for p in params.values()]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)
    assert any(g is not None and g.dim() == 2 and bool(g.any()) for g in gradients)


def test_a_head_begins_with_equal_logits():
    model = Residual(inputs=3, outputs=2)
    assert model.apply(model.init(0), torch.randn(5, 3)).equal(torch.zeros(5, 2))
