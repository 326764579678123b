import pytest
import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.engine import meta_gradient
from innerloop.engine.plan import Plan
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.conv4 import Conv4
from tests.compared import distance
from tests.problems import NeedlesInNoise, classifier, inputs


def normed(layer):
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 3, 3), layer(), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3))

    return build


def pictures(tasks: int):
    episodes = NeedlesInNoise().episodes(0, tasks)
    shaped = [b._replace(x=torch.cat([inputs(b)] * 4, -1).reshape(tasks, -1, 2, 4, 4)) for b in episodes]
    return type(episodes)(*shaped)


@pytest.mark.parametrize(
    "layer", [lambda: nn.BatchNorm2d(3), lambda: nn.InstanceNorm2d(3, affine=True), lambda: nn.LayerNorm([2, 2])]
)
def test_networks_with_native_norms_have_the_right_meta_gradient_in_every_plan(layer):
    learner = MAML(model=Module(normed(layer)), inner_lr=0.3, inner_steps=2)
    params = {k: v.double() for k, v in learner.init(0).items()}
    expected, _ = meta_gradient(learner, params, pictures(4), "loop")
    for plan in ("vmap", "threads"):
        assert distance(meta_gradient(learner, params, pictures(4), plan)[0], expected) < 1e-10


def test_the_trap_is_still_there():
    """`grad(vmap(grad))` through a native batch norm is silently wrong. When this fails, `core.norm` may retire."""
    torch.manual_seed(0)
    net = normed(lambda: nn.BatchNorm2d(3, track_running_stats=False))().double()
    params = {k: v.detach() for k, v in net.named_parameters()}
    support, query = pictures(3)

    def adapted_loss(params, xs, ys, xq, yq):
        def loss(p, x, y):
            return nn.functional.cross_entropy(torch.func.functional_call(net, p, (x,)), y)

        slopes = torch.func.grad(loss)(params, xs, ys)
        return loss({k: p - 0.3 * slopes[k] for k, p in params.items()}, xq, yq)

    data = (inputs(support), support.y, inputs(query), query.y)

    def total(p):
        return torch.vmap(adapted_loss, in_dims=(None, 0, 0, 0, 0))(p, *data).sum()

    wrong = torch.func.grad(total)(params)
    right = [torch.func.grad(adapted_loss)(params, *(d[i] for d in data)) for i in range(3)]
    right = {k: torch.stack([r[k] for r in right]).sum(0) for k in params}
    assert distance(wrong, right) > 1e-3


def test_auto_picks_a_plan_and_remembers_it():
    learner = MAML(model=Module(classifier))
    params = {k: v.double() for k, v in learner.init(0).items()}
    episodes = NeedlesInNoise().episodes(0, 6)
    expected, _ = meta_gradient(learner, params, episodes, "loop")
    first, again = meta_gradient(learner, params, episodes), meta_gradient(learner, params, episodes)
    assert distance(first[0], expected) < 1e-8
    assert all(torch.equal(first[0][k], again[0][k]) for k in expected)


def test_a_learner_vmap_cannot_trace_runs_without_it():
    class Branching(MAML):
        def adapt(self, params, support):
            return params if float(support.y.sum()) < 0 else super().adapt(params, support)

    learner = Branching(model=Module(classifier))
    episodes = NeedlesInNoise(dtype=torch.float32).episodes(0, 4)
    gradient, _ = meta_gradient(learner, learner.init(0), episodes, "auto")
    expected, _ = meta_gradient(learner, learner.init(0), episodes, "loop")
    assert distance(gradient, expected) < 1e-5


def test_threads_restore_the_thread_count_and_carry_errors():
    learner = MAML(model=Module(classifier))
    before = torch.get_num_threads()
    episodes = NeedlesInNoise(dtype=torch.float32).episodes(0, 4)
    meta_gradient(learner, learner.init(0), episodes, Plan("threads", threads=3))
    assert torch.get_num_threads() == before
    bad = episodes._replace(query=Batch(inputs(episodes.query)[..., :5], episodes.query.y))
    with pytest.raises(RuntimeError):
        meta_gradient(learner, learner.init(0), bad, Plan("threads", threads=3))
    assert torch.get_num_threads() == before


def test_memory_does_not_hold_the_graphs_of_all_tasks():
    """The loop frees each task's graph before the next: no tensor of a finished task keeps a graph."""
    learner = MAML(model=Conv4(width=4, size=16, outputs=3))
    x = torch.randn(3, 6, 1, 16, 16)
    batch = Batch(x, torch.arange(6).repeat(3, 1) % 3)
    gradient, metrics = meta_gradient(learner, learner.init(0), type(pictures(1))(batch, batch), "loop")
    assert all(leaf.grad_fn is None for leaf in tree.flatten((gradient, metrics)))


def test_unknown_plans_are_refused():
    learner = MAML(model=Module(classifier))
    with pytest.raises(InputError, match="no plan 'fast'"):
        meta_gradient(learner, learner.init(0), NeedlesInNoise().episodes(0, 1), "fast")
    with pytest.raises(InputError, match="chunk must be a whole number from 0 up"):
        Plan("vmap", chunk=-1)
    with pytest.raises(InputError, match="one task at a time"):
        Plan("loop", chunk=2)
    with pytest.raises(InputError, match="task by task"):
        Plan("vmap", recompute=True)
    with pytest.raises(InputError, match="does not declare low_precision"):
        meta_gradient(learner, learner.init(0), NeedlesInNoise().episodes(0, 1), Plan("loop", precision="bfloat16"))
