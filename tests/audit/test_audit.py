"""Every check passes on honest code and fails on its planted bug."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from innerloop.audit.check_plans import PLANS, plan_checks
from innerloop.core import norm, tree
from innerloop.core.errors import InputError
from innerloop.core.inner import descend
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode, Params
from innerloop.evaluate import Check, audit
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet, Prototypes
from innerloop.learners.optimizers.l2o import L2O
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import BatchSampler, EpisodeSampler, Sinusoid, UnsupervisedSampler
from innerloop.tasks.functions import Functions, quadratic
from innerloop.tasks.pool import Splits
from tests.evaluate import tiny


def check(name: str, **arguments: Any) -> Check:
    options: dict[str, Any] = {"plans": ()} | arguments
    return {c.name: c for c in audit(**options).checks}[name]


LEARNER = ("purity", "support used", "support order", "padding", "inner steps", "loss of queries", "query independence")
TASKS = ("label permutation", "label order", "tasks repeat", "score", "query classes", "query order")
TASKS += ("labels in inputs", "class tags", "support and query disjoint", "support and query apart")
SPLITS = ("split overlap", "duplicate images", "near-duplicates")


def splits() -> Splits:
    return Splits(**{s: tiny.pool(4, 6, i, s) for i, s in enumerate(("train", "validation", "test"))})


@pytest.mark.parametrize("learner", [tiny.maml(), tiny.protonet(), NearestCentroid()])
def test_honest_code_passes(learner):
    found = audit(learner, sampler=tiny.sampler(), splits=splits(), episodes=16)
    assert found.passed, str(found)
    plans = [] if isinstance(learner, NearestCentroid) else [f"plan {name}" for name in PLANS]
    networks = [f"network {name}" for name in ("model", "encoder") if getattr(learner, name, None) is not None]
    assert [check.name for check in found.checks] == [*networks, "meta-gradient", *plans, *LEARNER, *TASKS, *SPLITS]
    pools = {s: pool.digest for s, pool in splits().pools().items()}
    assert found.data == {"tasks": tiny.pool().digest} | pools and f"test {pools['test']}" in str(found)
    assert found.to_json()["data"] == found.data
    assert found.to_json()["passed"] and "passed" in str(found)


def test_uneven_tasks_pass():
    sampler = EpisodeSampler(pool=tiny.pool(), ways=(3, 5), shots=(1, 2), queries=3)
    assert audit(tiny.protonet(), sampler=sampler, episodes=16, plans=("vmap",)).passed


def test_regression_passes():
    learner = MAML(model=MLP(), inner_lr=0.01, objective=regression)
    found = audit(learner, sampler=Sinusoid(shots=5, queries=5), episodes=4, plans=())
    assert found.passed
    about = {c.name: c.passed for c in found.checks}
    assert about.pop("label permutation") is about.pop("label order") is about.pop("support and query apart") is None
    assert set(about.values()) == {True} and not {"query order", "labels in inputs"} & set(about)


def test_functions_have_no_rows_that_could_be_shared():
    found = audit(L2O(value=quadratic, inner_steps=3, hidden=4), None, Functions(), episodes=2, plans=())
    result = {check.name: check for check in found.checks}
    assert found.passed, str(found)
    for name in ("support and query disjoint", "score", "padding", "support order", "loss of queries"):
        assert result[name].passed is None, result[name]


@dataclass(frozen=True, kw_only=True)
class Detached(MAML):
    """Claims the exact gradient, and cuts it in the inner loop."""

    exact_gradient = True  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), self.inner_lr, first_order=True)


def test_a_detached_inner_loop_fails():
    model = MLP(inputs=tiny.SIZE**2, hidden=(16,), outputs=5)
    sampler = tiny.sampler()
    found = check("meta-gradient", learner=Detached(model=model, inner_lr=0.1), sampler=sampler, episodes=4)
    assert found.passed is False and found.figure is not None and found.figure > 1e-2
    assert "first order only" in found.explanation and found.details == {"order": 1}
    exact = check("meta-gradient", learner=MAML(model=model, inner_lr=0.1), sampler=sampler, episodes=4)
    assert exact.passed and "order 2, verified" in exact.explanation and exact.details == {"order": 2}
    assert "order 2" not in check("meta-gradient", learner=tiny.protonet(), sampler=sampler, episodes=4).explanation


def test_a_declared_first_order_learner_is_proven_with_what_it_stops_held():
    result = check("meta-gradient", learner=tiny.maml(first_order=True), sampler=tiny.sampler(), episodes=4)
    assert result.passed and result.figure is not None and result.figure < 1e-5, result
    assert result.details is not None and result.details["order"] == 1 and result.details["apart"] > 1e-2
    assert result.details["reference"] < 1e-12, "FOMAML as the paper states it"


def blobs(net: type[nn.Module]) -> MAML:
    return MAML(model=Module(net), inner_lr=0.1)


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(tiny.SIZE**2, 8), nn.Tanh(), nn.Linear(8, 5))


class Branching(Plain):
    """Looks at a value, which vmap cannot."""

    def forward(self, input):
        return super().forward(input) if input.sum() > 0 else super().forward(-input)


class Noisy(Plain):
    """Draws from torch's generator."""

    def forward(self, input):
        return super().forward(nn.functional.dropout(input))


class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):  # pyright: ignore[reportIncompatibleMethodOverride]
        return slope * (1 - ctx.saved_tensors[0].square())


class Once(Plain):
    """Its second derivative is silently that of a constant."""

    def forward(self, input):
        return self[3](Tanh.apply(self[1](self[0](input))))


class Cut(Plain):
    """Its first layer is cut off."""

    def forward(self, input):
        return self[3](super().forward(input).detach() @ self[3].weight)


def plans(net: type[nn.Module]) -> dict[str, Check]:
    found = audit(blobs(net), sampler=tiny.sampler(), episodes=4)
    return {c.name: c for c in found.checks}


def test_every_plan_is_measured_against_the_loop():
    rows = [check for name, check in plans(Plain).items() if name.startswith("plan ")]
    assert [row.name for row in rows] == [f"plan {name}" for name in PLANS]
    for row in rows:
        assert row.passed and row.figure is not None and row.figure < 1e-12, row
        assert row.details is not None and row.details["milliseconds"] > 0 and row.details["ratio_to_loop"] > 0
    with pytest.raises(InputError, match="no plan 'fast'"):
        audit(tiny.maml(), sampler=tiny.sampler(), episodes=4, plans=("loop", "fast"))


def test_a_plan_that_cannot_run_a_network_is_noted():
    found = plans(Branching)
    assert found["meta-gradient"].passed and found["plan loop"].passed and found["plan threads"].passed
    assert found["plan vmap"].passed is None and "torch.where" in found["plan vmap"].explanation


def test_a_network_that_draws_from_the_global_generator_fails():
    found = plans(Noisy)
    assert found["plan loop"].passed is False and "torch's generator" in found["plan loop"].explanation
    assert "plan vmap" not in found, "there is nothing to compare it with"


@pytest.mark.parametrize("net", [Once, Cut])
def test_a_network_whose_gradient_is_cut_fails(net):
    found = plans(net)["meta-gradient"]
    assert found.passed is False and found.figure is not None and found.figure > 1e-2


def test_a_plan_that_is_wrong_fails(monkeypatch):
    """A native batch norm under `grad(vmap(grad))`: the trap that `core.norm` keeps `Model` out of."""

    class Normed(Plain):
        def __init__(self):
            super().__init__()
            self.insert(2, nn.BatchNorm1d(8, track_running_stats=False))

    monkeypatch.setattr(norm, "convert", lambda module: module)
    monkeypatch.setattr(norm, "_WRITTEN_OUT", {})
    tasks, learner = tiny.sampler().episodes(0, 2), blobs(Normed)
    loop, vmap = plan_checks(learner, learner.init(0), tasks, tasks, ("vmap",))
    assert loop.passed
    assert vmap.passed is False and "Do not use this plan" in vmap.explanation


@pytest.mark.parametrize("pool", ["max", "stride"])
def test_kinks_do_not_fail_an_exact_gradient(pool):
    learner = MAML(model=Conv4(size=tiny.SIZE, width=4, pool=pool), inner_lr=0.4, inner_steps=3)
    for seed in range(3):
        found = check("meta-gradient", learner=learner, sampler=tiny.sampler(seed=seed), episodes=4, seed=seed)
        assert found.passed, found.explanation


@dataclass(frozen=True, kw_only=True)
class Unlearnable(ProtoNet):
    """Its loss is a constant of the parameters."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        return super().adapt(tree.map(Tensor.detach, params), support)


def test_a_loss_without_gradient_fails():
    learner = Unlearnable(encoder=tiny.protonet().encoder)
    assert check("meta-gradient", learner=learner, sampler=tiny.sampler(), episodes=4).passed is False


@dataclass(frozen=True, kw_only=True)
class Peeking(ProtoNet):
    """Centres the features of the query batch."""

    def predict(self, params: Params, adapted: Prototypes, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, Tensor)
        return super().predict(params, adapted, x - x.mean(0))


def test_query_batch_statistics_fail_unless_declared():
    learner = Peeking(encoder=tiny.protonet().encoder)
    assert check("query independence", learner=learner, sampler=tiny.sampler(), episodes=4).passed is False
    declared = replace(learner, transductive=True)
    found = check("query independence", learner=declared, sampler=tiny.sampler(), episodes=4)
    assert found.passed is None and "declared transductive" in found.explanation


@dataclass(frozen=True, kw_only=True, eq=False)
class Sorted(EpisodeSampler):
    """Labels follow the number of the class."""

    def draw(self, first: int, count: int):
        drawn = super().draw(first, count)
        return drawn._replace(classes=drawn.classes.sort(-1).values)


def test_sorted_classes_fail():
    sampler = Sorted(pool=tiny.pool(), ways=5, shots=1, queries=4)
    assert check("label order", learner=NearestCentroid(), sampler=sampler, episodes=4).passed is False


@pytest.mark.parametrize("seed", range(10))
def test_random_order_passes(seed):
    found = check("label order", learner=NearestCentroid(), sampler=tiny.sampler(seed=seed), episodes=4)
    assert found.passed and found.figure is not None and abs(found.figure) < 4


def test_label_order_of_other_kinds_of_tasks():
    kinds = [
        replace(tiny.sampler(), unlabelled=2, distractors=3),
        EpisodeSampler(pool=replace(tiny.pool(), groups=("a",) * 12), ways=5, shots=1, queries=4, same_group=0.5),
    ]
    for sampler in kinds:
        assert check("label order", learner=NearestCentroid(), sampler=sampler, episodes=4).passed
    alone = UnsupervisedSampler(pool=tiny.pool(), ways=5)
    assert audit(NearestCentroid(), {}, alone, episodes=4).passed


@dataclass(frozen=True, kw_only=True)
class ByHeart(NearestCentroid):
    """Ignores the support: its prototypes are those of the labels in all episodes (`params`)."""

    def init(self, seed: int) -> Params:
        return {"means": tiny.pool().data[:5].mean(1).flatten(1)}

    def adapt(self, params: Params, support: Batch):
        adapted = super().adapt({}, support)
        return adapted._replace(centroids=adapted.centroids._replace(means=params["means"]))

    def _features(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return super()._features({}, x, mask)


def test_a_learner_that_knows_labels_by_heart_fails():
    sampler = Sorted(pool=tiny.pool().take(range(5)), ways=5, shots=1, queries=4)
    found = check("label permutation", learner=ByHeart(), sampler=sampler, episodes=32)
    assert found.passed is False
    assert check("label permutation", learner=NearestCentroid(), sampler=sampler, episodes=32).passed


@dataclass(frozen=True, kw_only=True, eq=False)
class Leaking(EpisodeSampler):
    """Query = support."""

    def episodes(self, first: int, count: int) -> Episode:
        support, _ = super().episodes(first, count)
        return Episode(support, support)


@dataclass(frozen=True, kw_only=True, eq=False)
class Replacing(EpisodeSampler):
    """One query in a task of twenty is a support row, as drawing with replacement would have it."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        x = query.x.clone()  # pyright: ignore[reportAttributeAccessIssue]
        x[:, 3] = support.x[:, 1]  # pyright: ignore[reportArgumentType]
        return Episode(support, query._replace(x=x))


@pytest.mark.parametrize("kind", [Leaking, Replacing])
def test_query_in_support_fails(kind):
    sampler = kind(pool=tiny.pool(), ways=5, shots=1, queries=4)
    assert check("support and query disjoint", learner=NearestCentroid(), sampler=sampler, episodes=4).passed is False


def test_blank_pictures_are_no_duplicates():
    blank = replace(tiny.pool(), data=torch.zeros_like(tiny.pool().data))
    sampler = EpisodeSampler(pool=blank, ways=5, shots=1, queries=4)
    assert check("support and query disjoint", learner=NearestCentroid(), sampler=sampler, episodes=4).passed
    found = check("duplicate images", learner=NearestCentroid(), splits={"a": blank, "b": blank})
    assert found.passed and "480 blank" in found.explanation


def test_a_shared_class_fails():
    pools = splits().pools()
    pools["test"] = replace(pools["test"], names=("train/01", *pools["test"].names[1:]))
    found = check("split overlap", learner=NearestCentroid(), splits=pools)
    assert found.passed is False and "train/01" in found.explanation
    pools["test"] = replace(pools["test"], names=("train/01/rot090", *pools["test"].names[1:]))
    assert check("split overlap", learner=NearestCentroid(), splits=pools).passed is False


def test_a_shared_picture_fails():
    pools = splits().pools()
    data = pools["test"].data.clone()
    data[2, 3] = pools["train"].data[0, 0]
    pools["test"] = replace(pools["test"], data=data)
    found = check("duplicate images", learner=NearestCentroid(), splits=pools)
    assert found.passed is False and found.figure == 1 and "test and train" in found.explanation


def test_copies_within_a_split_are_reported():
    pools = splits().pools()
    data = pools["train"].data.clone()
    data[2, 3] = data[0, 0]
    pools["train"] = replace(pools["train"], data=data)
    found = check("duplicate images", learner=NearestCentroid(), splits=pools)
    assert found.passed and "1 copies within train" in found.explanation


def test_nothing_to_audit_is_refused():
    with pytest.raises(InputError):
        audit(NearestCentroid())
    with pytest.raises(InputError, match="no support"):
        audit(NearestCentroid(), sampler=BatchSampler(pool=tiny.pool(), batch_size=4))
    with pytest.raises(InputError, match="two pools"):
        audit(NearestCentroid(), splits={"train": tiny.pool()})
