"""Learners with a mistake each; `BUGS` has them by name."""

import random as python_random
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.gradient import value_and_grad
from innerloop.core.inner import descend
from innerloop.core.objectives import classification
from innerloop.core.types import Batch, Episode, Metrics, Params, joined
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.gaussian_memory import GaussianMemory, Memory
from innerloop.learners.metric.protonet import ProtoNet, Prototypes
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler
from tests.audit.planted import Bug
from tests.evaluate import tiny
from tests.evaluate.test_predictive import BayesianLine, Lines

INPUTS, WAYS = tiny.SIZE**2, 3
_MODEL = MLP(inputs=INPUTS, hidden=(8,), outputs=WAYS)
_ENCODER = MLP(inputs=INPUTS, hidden=(8,), outputs=4)


def sampler(kind: type[EpisodeSampler] = EpisodeSampler, **options: Any) -> EpisodeSampler:
    return kind(**{"pool": tiny.pool(), "ways": WAYS, "shots": 2, "queries": 3} | options)


def maml(kind: type[MAML] = MAML, **fields: Any) -> MAML:
    return kind(**{"model": _MODEL, "inner_lr": 0.1, "inner_steps": 2} | fields)


def protonet(kind: type[ProtoNet] = ProtoNet) -> ProtoNet:
    return kind(encoder=_ENCODER)


@dataclass(frozen=True, kw_only=True)
class DetachedInnerGradient(MAML):
    """Second order is dropped without a word."""

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), self.inner_lr, first_order=True)


@dataclass(frozen=True, kw_only=True)
class CopiedParameter(MAML):
    """One tensor starts as a copy, through which no gradient comes back."""

    def start(self, params: Params, support: Batch) -> Params:
        name = next(iter(params))
        return params | {name: params[name].detach().clone()}


@dataclass(frozen=True, kw_only=True)
class ScaledFirstOrder(MAML):
    """FOMAML whose loss is doubled, which is not what the paper says."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        value, metrics = super().loss(params, episode)
        return 2 * value, metrics


@dataclass(frozen=True, kw_only=True)
class WrongSign(MAML):
    """Inner steps ascend."""

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        return descend(carry, self.support_loss(support), -self.inner_lr, self.first_order)


@dataclass(frozen=True, kw_only=True)
class MoreSteps(MAML):
    """Takes three times the steps that it reports."""

    def adapt(self, params: Params, support: Batch) -> Params:
        return replace(self, inner_steps=3 * self.inner_steps).finish(
            params, replace(self, inner_steps=3 * self.inner_steps).unroll(params, support), support
        )


@dataclass(frozen=True, kw_only=True)
class NoAdaptation(MAML):
    """Forgets to use what it adapted."""

    def predict(self, params: Params, adapted: Params, x: Any) -> Tensor:
        return self.model.apply(params, x)


@dataclass(frozen=True, kw_only=True)
class UnseededInit(MAML):
    """Initial parameters come from the global generator."""

    def init(self, seed: int) -> Params:
        return tree.map(lambda p: 0.1 * torch.randn_like(p), super().init(seed))


@dataclass(frozen=True, kw_only=True)
class ParametersInPlace(MAML):
    """Decays the meta-parameters while it adapts."""

    def adapt(self, params: Params, support: Batch) -> Params:
        adapted = super().adapt(params, support)
        with torch.no_grad():
            for value in params.values():
                value.mul_(0.999)
        return adapted


@dataclass(frozen=True, kw_only=True)
class SupportInPlace(ProtoNet):
    """Centres the support in place."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        assert isinstance(support.x, Tensor)
        support.x.sub_(support.x.mean(0))
        return super().adapt(params, support)


@dataclass(frozen=True, kw_only=True)
class AdaptsOnQuery(MAML):
    """The training loss is that of a learner that has seen the query."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        both = joined(episode.support, episode.query)
        return self.query_loss(params, self.adapt(params, both), episode.query)


@dataclass(frozen=True, kw_only=True)
class QueryStatisticsInSupport(ProtoNet):
    """Training normalises the support by the mean of the whole episode."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        assert isinstance(support.x, Tensor) and isinstance(query.x, Tensor)
        mean = torch.cat([support.x, query.x]).mean(0)
        return super().loss(params, Episode(support._replace(x=support.x - mean), query._replace(x=query.x - mean)))


@dataclass(frozen=True, kw_only=True)
class PseudoLabels(ProtoNet):
    """The training loss makes prototypes of what it answers to the query, though not of its labels."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        support, query = episode
        answers = self.predict(params, self.adapt(params, support), query.x).argmax(-1)
        return self.query_loss(params, self.adapt(params, joined(support, query._replace(y=answers))), query)


@dataclass(frozen=True, kw_only=True)
class SummedLoss(ProtoNet):
    """The loss grows with the number of queries."""

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        value, metrics = super().loss(params, episode)
        return value * len(episode.query.y), metrics


@dataclass(frozen=True, kw_only=True)
class CentredQueries(ProtoNet):
    """Predictions are centred over the batch of queries."""

    def predict(self, params: Params, adapted: Prototypes, x: Any) -> Tensor:
        logits = super().predict(params, adapted, x)
        return logits - logits.mean(0)


@dataclass(frozen=True, kw_only=True)
class ByPosition(ProtoNet):
    """A query's answer depends on its place in the batch."""

    def predict(self, params: Params, adapted: Prototypes, x: Any) -> Tensor:
        logits = super().predict(params, adapted, x)
        return logits + 0.01 * torch.arange(len(logits), dtype=logits.dtype)[:, None] * torch.arange(WAYS)


@dataclass(frozen=True, kw_only=True)
class BalancedAnswers(ProtoNet):
    """Logits are scaled until every class is answered about equally often, which only a batch can tell."""

    def predict(self, params: Params, adapted: Prototypes, x: Any) -> Tensor:
        logits = super().predict(params, adapted, x).log_softmax(-1)
        return logits - logits.logsumexp(0)


@dataclass(frozen=True, kw_only=True)
class SharedState(ProtoNet):
    """Prototypes are a running mean over tasks."""

    state: ClassVar[dict[str, Tensor]] = {}

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        result = super().adapt(params, support)
        means = result.centroids.means
        before = self.state.get("means", means)
        self.state["means"] = (0.5 * before + 0.5 * means).detach()
        return result._replace(centroids=result.centroids._replace(means=0.5 * before + 0.5 * means))


@dataclass(frozen=True, kw_only=True)
class Cached(ProtoNet):
    """What one task left behind is given to every other of the same shape."""

    cache: ClassVar[dict[Any, Any]] = {}

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        key = support.y.shape, support.y.dtype
        if key not in self.cache:
            self.cache[key] = super().adapt(params, support)
        return self.cache[key]


@dataclass(frozen=True, kw_only=True)
class Recency(ProtoNet):
    """Later rows of the support count more."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        assert isinstance(support.x, Tensor)
        weight = torch.linspace(0.5, 1.5, len(support.y), dtype=support.x.dtype).view(-1, 1, 1, 1)
        return super().adapt(params, support._replace(x=support.x * weight))


@dataclass(frozen=True, kw_only=True)
class FirstRowOnly(ProtoNet):
    """Takes the first example of every class and drops the others."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        first = torch.stack([(support.y == c).double().argmax() for c in range(WAYS)])
        x, y = tree.slice((support.x, support.y), first)
        return super().adapt(params, support._replace(x=x, y=y, mask=None))


@dataclass(frozen=True, kw_only=True)
class PaddingInPrototypes(ProtoNet):
    """The mask of the support is dropped."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        return super().adapt(params, support._replace(mask=None))


def _unmasked(outputs: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    return classification(outputs, y)


@dataclass(frozen=True, kw_only=True)
class PaddingInNorm(ProtoNet):
    """Features are centred over all rows, padding too."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        assert isinstance(support.x, Tensor)
        return super().adapt(params, support._replace(x=support.x - support.x.mean((0, 2, 3), keepdim=True)))


@dataclass(frozen=True, kw_only=True)
class GlobalNoise(ProtoNet):
    """Noise comes from torch's generator, not from the support's key."""

    stochastic = True

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        result = super().adapt(params, support)
        means = result.centroids.means
        return result._replace(centroids=result.centroids._replace(means=means + 0.01 * torch.randn_like(means)))


@dataclass(frozen=True, kw_only=True)
class PythonNoise(ProtoNet):
    """A temperature is drawn from Python's generator."""

    def predict(self, params: Params, adapted: Prototypes, x: Any) -> Tensor:
        return super().predict(params, adapted, x) * (1 + 0.1 * python_random.random())


@dataclass(frozen=True, kw_only=True)
class CutEncoder(ProtoNet):
    """The support is embedded without a gradient."""

    def adapt(self, params: Params, support: Batch) -> Prototypes:
        with torch.no_grad():
            return super().adapt(params, support)


@dataclass(frozen=True, kw_only=True)
class Memorised(NearestCentroid):
    """Ignores the support: its prototypes are those of the labels in all episodes (`params`)."""

    def init(self, seed: int) -> Params:
        return {"means": tiny.pool().data[:WAYS].mean(1).flatten(1)}

    def adapt(self, params: Params, support: Batch) -> Any:
        adapted = super().adapt({}, support)
        return adapted._replace(centroids=adapted.centroids._replace(means=params["means"]))

    def _features(self, params: Params, x: Any, mask: Tensor | None = None) -> Tensor:
        return super()._features({}, x, mask)


class ShiftedPredictive(BayesianLine):
    """Predicts beside the mean of its members."""

    def predict(self, params: Params, adapted: Any, x: Any) -> Tensor:
        return super().predict(params, adapted, x) + 0.1


@dataclass(frozen=True, kw_only=True)
class ForgetsTheSign(MAML):
    """A step of its own making, with the gradient of the wrong loss: it descends on the negative margin."""

    def advance(self, params: Params, carry: Params, support: Batch) -> tuple[Params, Tensor]:
        loss = self.support_loss(support)
        gradient, _, _ = value_and_grad(lambda w: (loss(w)[0].neg(), {}), carry, create_graph=True)
        return tree.map(lambda w, g: w - self.inner_lr * g, carry, gradient), loss(carry)[0]


def _bug(check: str, learner: Any, **more: Any) -> Bug:
    return Bug(check, {"learner": learner, "sampler": sampler()} | more)


@dataclass(frozen=True, kw_only=True)
class Forgets(GaussianMemory):
    """What comes later is written into an empty memory."""

    def update(self, params: Params, adapted: Memory, more: Batch) -> Memory:
        empty = adapted._replace(labels=torch.full_like(adapted.labels, -1), ages=torch.full_like(adapted.ages, -1))
        return super().update(params, empty, more)


@dataclass(frozen=True, kw_only=True)
class CountsTwice(GaussianMemory):
    """The last example of an update is written once more."""

    def update(self, params: Params, adapted: Memory, more: Batch) -> Memory:
        again = more._replace(x=tree.map(lambda leaf: leaf[-1:], more.x), y=more.y[-1:], mask=None)
        return super().update(params, super().update(params, adapted, more), again)


def memory(kind: type[GaussianMemory]) -> GaussianMemory:
    return kind(encoder=_ENCODER)


BUGS = {
    "an update that forgets": _bug("updates", memory(Forgets)),
    "an update that counts twice": _bug("updates", memory(CountsTwice)),
    "detached inner gradient": _bug("meta-gradient", maml(DetachedInnerGradient)),
    "copied parameter": _bug("meta-gradient", maml(CopiedParameter)),
    "first order with a factor": _bug("meta-gradient", maml(ScaledFirstOrder, first_order=True)),
    "encoder of the support cut off": _bug("meta-gradient", protonet(CutEncoder)),
    "wrong sign of the step": _bug("inner steps", maml(WrongSign)),
    "wrong sign of the inner loss": _bug("inner steps", maml(ForgetsTheSign)),
    "inner rate too large": _bug("inner steps", maml(inner_lr=300.0)),
    "more steps than declared": _bug("inner steps", maml(MoreSteps)),
    "adaptation not used": _bug("support used", maml(NoAdaptation)),
    "init not from its seed": _bug("purity", maml(UnseededInit)),
    "parameters changed in place": _bug("purity", maml(ParametersInPlace)),
    "support changed in place": _bug("purity", protonet(SupportInPlace)),
    "state shared between tasks": _bug("purity", protonet(SharedState)),
    "one task's state for all": _bug("support used", protonet(Cached)),
    "noise from torch's generator": _bug("purity", protonet(GlobalNoise)),
    "noise from Python's generator": _bug("purity", protonet(PythonNoise)),
    "loss adapts on the query": _bug("loss of queries", maml(AdaptsOnQuery)),
    "query statistics in the support": _bug("loss of queries", protonet(QueryStatisticsInSupport)),
    "pseudo-labels of the query": _bug("loss of queries", protonet(PseudoLabels)),
    "loss scaled by its batch": _bug("loss of queries", protonet(SummedLoss)),
    "queries centred over their batch": _bug("query independence", protonet(CentredQueries)),
    "queries by position": _bug("query independence", protonet(ByPosition)),
    "answers balanced over their batch": _bug("query independence", protonet(BalancedAnswers)),
    "order of the support": _bug("support order", protonet(Recency)),
    "first example only": _bug("support order", protonet(FirstRowOnly)),
    "padding in prototypes": _bug("padding", protonet(PaddingInPrototypes)),
    "padding in a mean": _bug("padding", protonet(PaddingInNorm)),
    "padding in the loss": _bug("padding", maml(objective=_unmasked)),
    "predictive beside its mean": Bug("predictive mean", {"learner": ShiftedPredictive(), "sampler": Lines()}),
}
