"""Hooks that would vanish, forward passes that look at the mode, weights that change in forward: refused by name."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Params
from innerloop.engine import meta_gradient
from innerloop.learners.gradient.maml import MAML
from tests.compared import distance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise

ROWS = torch.randn(6, INPUTS, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(INPUTS, FEATURES), nn.BatchNorm1d(FEATURES), nn.Tanh(), nn.Linear(FEATURES, 3))


def hooked(register):
    def make():
        module = network()
        register(module)
        return module

    return make


def answer(factory):
    model = Module(factory)
    return model.apply(model.init(0), ROWS)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda m: m[0].register_full_backward_hook(lambda *a: None), "'0' is Linear with a backward hook"),
        (lambda m: m[0].register_full_backward_pre_hook(lambda *a: None), "'0' is Linear with a backward hook"),
        (lambda m: m[1].register_full_backward_hook(lambda *a: None), "'1' is BatchNorm1d with a backward hook"),
        (lambda m: m.register_full_backward_hook(lambda *a: None), "Sequential with a backward hook"),
        (lambda m: m[0].weight.register_hook(lambda g: 2 * g), "'0.weight' of Sequential has a gradient hook"),
        (lambda m: m[3].bias.register_post_accumulate_grad_hook(lambda p: None), "'3.bias' of Sequential has a grad"),
        (lambda m: m.register_state_dict_post_hook(lambda *a: None), "with a state-dict hook"),
        (lambda m: m[0].register_state_dict_pre_hook(lambda *a: None), "'0' is Linear with a state-dict hook"),
    ],
)
def test_hooks_that_would_vanish_are_refused_by_name(register, message):
    with pytest.raises(InputError, match=message):
        answer(hooked(register))


@pytest.mark.parametrize(
    "register",
    [
        lambda m: m[0].register_forward_pre_hook(lambda mod, a, k: ((2 * a[0],), k), with_kwargs=True),
        lambda m: m[0].register_forward_hook(lambda mod, a, k, out: 2 * out, with_kwargs=True),
        lambda m: m[1].register_forward_hook(lambda mod, a, out: 2 * out),
        lambda m: m.register_forward_hook(lambda mod, a, out: 2 * out, always_call=True),
        lambda m: m.register_load_state_dict_pre_hook(lambda *a: None),
    ],
)
def test_hooks_of_forward_passes_run(register):
    module, model = hooked(register)(), Module(hooked(register))
    params: Params = dict(module.named_parameters())
    assert torch.allclose(model.apply(params, ROWS), module(ROWS), atol=1e-5)


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook"])
def test_backward_hooks_of_all_modules_are_refused(kind):
    handle = getattr(nn.modules.module, f"register_module_{kind}")(lambda *a: None)
    try:
        with pytest.raises(InputError, match="global backward"):
            answer(network)
    finally:
        handle.remove()
    answer(network)


class Looking(nn.Module):
    """Scales in train mode alone."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def forward(self, x):
        return self.body(x) * (2 if self.training else 1)


class Functional(nn.Module):
    """A norm of its own that follows the mode, as norms do."""

    mean: torch.Tensor
    var: torch.Tensor

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(INPUTS, FEATURES), nn.Linear(FEATURES, 3)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("var", torch.ones(FEATURES))

    def forward(self, x):
        x = F.batch_norm(self.first(x), self.mean, self.var, training=self.training)
        return self.last(F.dropout(x, 0.0, self.training).tanh())


class OwnNorm(nn.BatchNorm1d):
    def forward(self, input):
        return super().forward(input).tanh()


def partly(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, FEATURES), norm, nn.Linear(FEATURES, 3))


def test_a_forward_that_looks_at_the_mode_is_refused_in_train_mode():
    with pytest.raises(InputError, match=r"Looking is in train mode and answers otherwise in eval mode.*\.eval\(\)"):
        answer(Looking)
    module, model = Looking().eval(), Module(lambda: Looking().eval())
    params: Params = dict(module.named_parameters())
    assert torch.allclose(model.apply(params, ROWS), module(ROWS), atol=1e-5)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.last = nn.MultiheadAttention(INPUTS, 2, batch_first=True), nn.Linear(INPUTS, 3)

    def forward(self, x):
        return self.last(self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.last(self.b(self.a(x).tanh()))


class Listed(nn.Module):
    """One norm at two places of a list."""

    def __init__(self):
        super().__init__()
        norm = nn.BatchNorm1d(INPUTS)
        self.layers, self.last = nn.ModuleList([norm, nn.Linear(INPUTS, INPUTS), norm]), nn.Linear(INPUTS, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.last(x)


class Scaled(nn.Module):
    """By a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(INPUTS, 3)
        self.register_buffer("scale", torch.arange(1.0, INPUTS + 1), persistent=False)

    def forward(self, x):
        return self.last(x * self.scale)


class Root(nn.RMSNorm):
    def forward(self, x):
        return super().forward(x).tanh()


HEALTHY = {
    "functional": Functional,
    "own norm": lambda: partly(OwnNorm(FEATURES)),
    "frozen own norm": lambda: partly(OwnNorm(FEATURES).eval()),
    "untracked": lambda: partly(nn.BatchNorm1d(FEATURES, track_running_stats=False)),
    "momentum": lambda: partly(nn.BatchNorm1d(FEATURES, momentum=None)),
    "sync": lambda: partly(nn.SyncBatchNorm(FEATURES)),
    "group": lambda: partly(nn.GroupNorm(2, FEATURES)),
    "root": lambda: partly(Root(FEATURES)),
    "attention": Attention,
    "attention in eval mode": lambda: Attention().eval(),
    "tied": Tied,
    "listed": Listed,
    "scaled": Scaled,
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(INPUTS, 3))),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(INPUTS, 3))).eval(),
    "orthogonal": lambda: nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(INPUTS, 3))),
    "frozen layer": lambda: nn.Sequential(nn.Linear(INPUTS, 4).requires_grad_(False), nn.Tanh(), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_networks_give_the_loops_gradient_by_every_plan(name):
    learner = MAML(model=Module(HEALTHY[name]), inner_lr=0.1)
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 2)
    before = torch.get_rng_state()
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    assert torch.equal(before, torch.get_rng_state())
    for plan in ("vmap", "threads"):
        assert distance(meta_gradient(learner, params, episodes, plan, unchecked=True)[0], expected) < 1e-8


def test_embeddings_that_change_their_weight_are_refused():
    for layer in (nn.Embedding(5, 3, max_norm=1.0), nn.EmbeddingBag(5, 3, max_norm=1.0)):
        with pytest.raises(InputError, match="with max_norm, which changes its weight in forward"):
            Module(lambda layer=layer: layer).init(0)


class Clipping(nn.Linear):
    def forward(self, input):
        with torch.no_grad():
            self.weight.clamp_(-0.01, 0.01)
        return super().forward(input)


def test_a_parameter_that_changes_in_forward_is_refused():
    with pytest.raises(InputError, match="Clipping changes its parameter 'weight' in forward"):
        answer(lambda: Clipping(INPUTS, 3))


def test_lazy_layers_are_refused_by_one_message():
    for layer in (nn.LazyLinear(3), nn.LazyBatchNorm1d()):
        with pytest.raises(InputError, match=r"Lazy|uninitialized"):
            answer(lambda layer=layer: nn.Sequential(layer))
