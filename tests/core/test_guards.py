"""Every guard against its planted case."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from innerloop.core import guards
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.scores import Accuracy
from innerloop.engine import meta_gradient
from innerloop.engine.step import validation_scores
from innerloop.learners.gradient.maml import MAML
from tests.compared import distance, norm
from tests.problems import INPUTS, NeedlesInNoise

WIDTH = 4


class Tokens(nn.Module):
    """Rows of inputs as tokens of one feature, mixed by `mixer`, averaged and read out."""

    def __init__(self, mixer: nn.Module):
        super().__init__()
        self.embed, self.mixer, self.head = nn.Linear(1, WIDTH), mixer, nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.head(self.mixer(self.embed(x[..., None])).mean(1))


class Attention(nn.Module):
    """Attention that a user calls by hand."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        return F.scaled_dot_product_attention(*self.qkv(x)[:, None].chunk(3, -1))[:, 0]


def encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, activation="gelu", batch_first=True)


def transformer() -> nn.Module:
    return Tokens(nn.TransformerEncoder(encoder_layer(), 2))


def in_eval_mode() -> nn.Module:
    return transformer().eval()


def by_hand() -> nn.Module:
    return Tokens(Attention())


def plain(module: nn.Module):
    return lambda: nn.Sequential(nn.Linear(INPUTS, 3), module)


@pytest.mark.parametrize("factory", [transformer, in_eval_mode, by_hand])
def test_attention_has_an_exact_second_order_gradient_in_every_plan(factory):
    learner = MAML(model=Module(factory), inner_lr=0.5, inner_steps=2)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 4)
    expected, _ = meta_gradient(learner, params, episodes, "loop")
    for plan in ("vmap", "threads"):
        assert distance(meta_gradient(learner, params, episodes, plan)[0], expected) < 1e-10, plan

    generator = torch.Generator().manual_seed(0)
    v = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in params.items()}
    up, down = (
        meta_gradient(learner, {k: p + h * v[k] for k, p in params.items()}, episodes, "loop")[1]["loss"]
        for h in (1e-6, -1e-6)
    )
    slope = sum((expected[k] * v[k]).sum() for k in v)
    assert abs((up - down) / 2e-6 - slope) < 1e-6 * norm(expected) * norm(v)


def test_the_fused_kernels_still_have_no_double_backward():
    """When this fails, `math_attention` may retire."""
    x = torch.randn(1, 1, 5, 4, requires_grad=True)
    slope = torch.autograd.grad(F.scaled_dot_product_attention(x, x, x).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.grad(slope.square().sum(), x)
    assert "no second derivative" in (guards.explain(caught.value) or "")


def test_attention_takes_the_same_path_in_testing(monkeypatch):
    def fused(*args):
        raise AssertionError("the fast path of inference was taken")

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", fused)
    learner, episodes = MAML(model=Module(in_eval_mode)), NeedlesInNoise(dtype=torch.float32).episodes(0, 2)
    assert validation_scores(learner, learner.init(0), episodes, Accuracy()).isfinite().all()
    with torch.no_grad():
        assert learner.model.apply(learner.init(0), torch.zeros(2, INPUTS)).isfinite().all()


def test_the_choice_of_kernels_survives_threads():
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # someone's own choice
    barrier = threading.Barrier(4)

    def work(i: int) -> bool:
        fused = False
        barrier.wait()
        for _ in range(200):
            with guards.math_attention, guards.math_attention:
                fused |= torch.backends.cuda.flash_sdp_enabled() or not torch.backends.cuda.math_sdp_enabled()
        return fused

    try:
        with ThreadPoolExecutor(4) as pool:
            assert not any(pool.map(work, range(4)))
        assert torch.backends.cuda.flash_sdp_enabled() and not torch.backends.cuda.mem_efficient_sdp_enabled()
    finally:
        torch.backends.cuda.enable_mem_efficient_sdp(True)


class DropPath(nn.Module):
    """As timm's."""

    def __init__(self, drop_prob: float | None = 0.1):
        super().__init__()
        self.drop_prob = drop_prob


def replaced_forward() -> nn.Module:
    module = nn.Linear(3, 3)
    module.forward = module.forward  # what wrappers of methods do
    return module


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (plain(nn.Dropout(0.5)), "'1' is Dropout with rate 0.5: .* Set its rate to 0"),
        (plain(nn.Dropout2d(0.1)), "Dropout2d"),
        (plain(nn.FeatureAlphaDropout(0.1)), "FeatureAlphaDropout"),
        (plain(nn.MultiheadAttention(4, 2, dropout=0.2)), "MultiheadAttention with rate 0.2"),
        (plain(nn.TransformerEncoderLayer(4, 2)), "'1.self_attn' is MultiheadAttention with rate 0.1"),
        (plain(DropPath()), "DropPath with rate 0.1"),
        (plain(nn.RReLU()), "Use nn.LeakyReLU"),
        (plain(nn.FractionalMaxPool2d(2, output_size=2)), "torch's generator"),
        (lambda: nn.LSTM(3, 3), "^LSTM: native recurrent cells .* Write the cell out"),
        (plain(nn.GRU(3, 3)), "'1' is GRU: native"),
        (plain(nn.RNN(3, 3)), "native"),
        (plain(nn.GRUCell(3, 3)), "native"),
        (lambda: torch.jit.trace(nn.Linear(3, 3), torch.ones(2, 3)), "the nn.Module that it was made from"),
        (lambda: nn.DataParallel(nn.Linear(3, 3)), "Give the module inside"),
        (plain(nn.LazyLinear(3)), "size is not known"),
        (plain(replaced_forward()), "`forward` replaced on the object"),
    ],
)
def test_layers_that_would_go_wrong_are_refused(factory, said):
    for use in (lambda model: model.init(0), lambda model: model.apply({}, torch.zeros(1, 3))):
        with pytest.raises(InputError, match=said) as caught:
            use(Module(factory))
        assert "\n" not in str(caught.value)


def test_layers_that_drop_nothing_are_welcome():
    for module in (nn.Dropout(0.0), nn.Dropout1d(0), nn.MultiheadAttention(4, 2), DropPath(0.0), DropPath(None)):
        Module(plain(module)).init(0)
    assert Module(lambda: nn.Dropout(0.0)).apply({}, torch.ones(1, 3)).tolist() == [[1, 1, 1]]


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="aot_eager")


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.parametrize("part", [False, True], ids=["whole", "part"])
def test_a_compiled_network_is_unwrapped(part):
    def factory() -> nn.Module:
        net = nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, 3))
        if part:
            net[0] = compiled(net[0])
            net[2].compile(backend="aot_eager")
            return net
        return compiled(net)

    def uncompiled() -> nn.Module:
        return nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, 3))

    learner, plain = MAML(model=Module(factory)), MAML(model=Module(uncompiled))
    with pytest.warns(UserWarning, match="no double backward"):
        params = learner.init(0)
    assert list(params) == list(plain.init(0))
    episodes = NeedlesInNoise(dtype=torch.float32).episodes(0, 3)
    with pytest.warns(UserWarning, match="no double backward"):
        found = meta_gradient(learner, params, episodes, "loop")[0]
    assert distance(found, meta_gradient(plain, params, episodes, "loop")[0]) < 1e-6


def test_the_double_backward_of_a_compiled_network_is_explained():
    net = compiled(nn.Linear(3, 3))
    weights = list(net.parameters())
    slopes = torch.autograd.grad(net(torch.ones(2, 3)).square().sum(), weights, create_graph=True)
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.grad(slopes[0].square().sum(), weights)
    assert "compile the whole meta-step" in (guards.explain(caught.value) or "")


class Once(torch.autograd.Function):
    """A square without a second derivative, written for plain autograd."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * slope * ctx.saved_tensors[0]


class Unbatched(torch.autograd.Function):
    """Without a rule for vmap."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


def in_place(x):
    y = torch.zeros(4)
    y[0] = x[0]
    return y


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: x * x.sum().item(), "if tensor"),
        (lambda x: x if x.sum() > 0 else -x, "'loop' or 'threads'"),
        (lambda x: x * float(x.sum()), "torch.where"),
        (lambda x: x * x.tolist()[0], "'loop' or 'threads'"),
        (lambda x: x[x > 0].sum(), "multiply by a mask"),
        (lambda x: x.nonzero().sum(), "multiply by a mask"),
        (lambda x: x + torch.rand(4), "innerloop.core.random"),
        (lambda x: F.dropout(x, 0.5), "innerloop.core.random"),
        (in_place, "make a new tensor"),
        (Once.apply, "generate_vmap_rule"),
        (Unbatched.apply, "'loop' or 'threads'"),
    ],
)
def test_what_vmap_cannot_run_is_explained(f, said):
    with pytest.raises(RuntimeError) as caught:
        torch.vmap(f)(torch.ones(3, 4))
    line = guards.explain(caught.value)
    assert line is not None and said in line and "\n" not in line


def test_other_errors_are_left_alone():
    assert guards.explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
