import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from innerloop.core.model import Module
from innerloop.nn.conv4 import Conv4

BATCH = torch.randn(7, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def two_norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2, affine=False)
    )


class Positional(nn.Module):
    """A buffer that is neither learned nor a statistic."""

    code: torch.Tensor

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("code", torch.randn(3))

    def forward(self, x):
        return self.linear(x + self.code)


def double(params):
    return {k: v.double() for k, v in params.items()}


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3),
        nn.BatchNorm2d(3, affine=False),
        nn.InstanceNorm2d(3),
        nn.InstanceNorm2d(3, affine=True),
        nn.LayerNorm([5, 5]),
        nn.LayerNorm(5, elementwise_affine=False),
        nn.LayerNorm(5, bias=False),
        nn.GroupNorm(3, 3),
    ],
    ids=str,
)
def test_norms_written_out_equal_the_native_ones(layer):
    torch.manual_seed(0)
    for p in layer.parameters():
        nn.init.normal_(p)
    native = pickle.loads(pickle.dumps(layer)).double().train()
    params = {k: v.detach() for k, v in native.named_parameters()}
    model = Module(lambda: pickle.loads(pickle.dumps(layer)))
    assert set(model.init(0)) == set(params), "the same parameter names"
    assert torch.allclose(model.apply(params, BATCH), native(BATCH), atol=1e-12)


def test_statistics_are_those_of_the_rows_that_count():
    model = Module(two_norms)
    params = double(model.init(0))
    mask = torch.arange(7) < 4
    with_mask = model.with_statistics(params, BATCH, mask)
    plain = model.with_statistics(params, BATCH[:4])
    assert set(plain) - set(params) == {f"{i}.running_{s}" for i in (1, 4) for s in ("mean", "var")}
    for k in plain:
        assert torch.allclose(with_mask[k], plain[k], atol=1e-12), k
    assert torch.allclose(model.apply(params, BATCH, mask)[:4], model.apply(params, BATCH[:4]), atol=1e-12)
    rows = torch.cat([model.apply(plain, row[None]) for row in BATCH])
    assert torch.allclose(model.apply(plain, BATCH), rows, atol=1e-12), "with statistics every row is on its own"
    assert torch.allclose(model.apply(plain, BATCH[:4]), model.apply(params, BATCH[:4]), atol=1e-12)
    again = model.with_statistics(plain, BATCH[4:])
    assert not torch.allclose(again["1.running_mean"], plain["1.running_mean"]), "older statistics are replaced"


def test_a_model_without_batch_norm_has_no_statistics():
    model = Module(lambda: nn.Linear(3, 2))
    params = model.init(0)
    assert model.with_statistics(params, torch.ones(2, 3)) is params


def test_init_is_seeded_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    a, b = Conv4(width=4).init(1), Conv4(width=4).init(1)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(state, torch.get_rng_state())


def test_buffers_are_shared_saved_and_not_learned():
    model, other = Module(Positional), Module(Positional)
    params = model.init(0)
    assert set(params) == {"linear.weight", "linear.bias"}
    assert torch.equal(model.buffers()["code"], other.buffers()["code"]), "built from one fixed seed"
    x = torch.ones(2, 3)
    before = model.apply(params, x)
    model.load_buffers({"code": torch.zeros(3)})
    expected = x @ params["linear.weight"].T + params["linear.bias"]
    assert torch.allclose(model.apply(params, x), expected) and not torch.allclose(before, expected)
    with ThreadPoolExecutor(1) as pool:
        assert torch.allclose(pool.submit(model.apply, params, x).result(), expected)


@pytest.mark.exact
def test_threads_have_their_own_twin():
    model = Conv4(width=4)
    params = [double(model.init(i)) for i in range(4)]
    x = torch.randn(6, 1, 28, 28, dtype=torch.float64)
    expected = [model.apply(p, x) for p in params]
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(lambda i: model.apply(params[i % 4], x), range(80))):
            assert torch.equal(found, expected[i % 4])


def test_the_first_use_may_be_under_a_transform():
    params = Conv4(width=4).init(0)
    x = torch.randn(3, 2, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def loss(params, x):
        return Conv4(width=4).apply(params, x).square().sum()

    found = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, x)
    expected = torch.func.grad(loss)(params, x[0])
    assert all(torch.allclose(found[k][0], expected[k], atol=1e-4) for k in expected)


def test_pickles_carry_the_fields_only():
    model = Conv4(width=4)
    size = len(pickle.dumps(model))
    model.apply(model.init(0), torch.zeros(1, 1, 28, 28))
    assert len(pickle.dumps(model)) == size
    assert pickle.loads(pickle.dumps(model)) == model


def test_a_network_that_a_factory_hands_out_stays_as_it_is():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    model = Module(lambda: net)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    params = model.init(0)
    model.apply({k: v + 1 for k, v in params.items()}, torch.ones(2, 3))
    assert isinstance(net[1], nn.BatchNorm1d) and not net[1].training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def grouped() -> nn.Module:
    return nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4))


def test_a_group_norm_takes_channels_last_under_vmap():
    """Torch's own refuses: NYI, querying is_contiguous."""
    network = Module(grouped)
    params, x = network.init(0), torch.randn(6, 2, 5, 5).contiguous(memory_format=torch.channels_last)
    tasks = x.unflatten(0, (3, 2))
    found = torch.vmap(lambda rows: network.apply(params, rows))(tasks)
    assert torch.allclose(found.flatten(0, 1), network.apply(params, x), atol=1e-6)
