"""FIGR, few-shot image generation with Reptile: Clouatre and Demers 2019, https://arxiv.org/abs/1901.02199.

Adaptation is the ordinary training of a small GAN, a painter and its critic, on the examples of each class, from an
initialisation that meta-training moves towards where adaptation went.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.gradient import grad, value_and_grad
from innerloop.core.inner import first_step, rescaled
from innerloop.core.learner import Unrolled, mask_absent
from innerloop.core.linalg import dot
from innerloop.core.model import Model
from innerloop.core.networks import Critic, Painter, Setting, role
from innerloop.core.objectives import membership
from innerloop.core.prototypes import ways
from innerloop.core.ranges import Count, Natural, NotNegative
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.stopped import stop
from innerloop.core.types import Batch, Episode, Metrics, Params

_PAINTER, _CRITIC = "painter.", "critic."
_TINY = 1e-12
"""Added to squared slopes, whose root has no derivative at 0."""


class Trained(NamedTuple):
    """A painter and a critic for every class, in training."""

    weights: Params  # [ways, ...] each
    second: Params
    """Adam's second moments."""
    step: Tensor  # [] int64


class Painters(NamedTuple):
    """What has learned the classes of a task."""

    weights: Params  # [ways, ...] each
    real: Tensor  # [ways] mean score of each critic on the examples of its class
    present: Tensor  # [ways] bool


@dataclass(frozen=True, kw_only=True)
class FIGR(Unrolled[Painters, Trained]):
    """The gradient of `0.5 |params - adapted|^2`, adapted held constant, is the paper's direction: the mean of classes.

    The paper descends on it by Adam; SGD whose rate is annealed linearly from 1 to 0, as Reptile has it, went further
    in the same time here. Within a task it is Adam without momentum.

    Within a class it is WGAN-GP (Gulrajani et al. 2017): the critic scores real examples high and painted ones low, its
    slope held near 1 between them; then the painter climbs the critic. `predict` asks each critic how far an example is
    below the real ones of its class, which is no probability: a GAN has none. Parameters: `painter.*` and `critic.*`.
    """

    trains_on = ("episodes",)
    queries_apart = False
    exact_gradient = False
    gives_probabilities = False  # a GAN has none: a critic only says which example looks more real
    stochastic = True
    ordered = True  # which examples make a minibatch goes by their order
    sensible = by_kind(
        classes=Sensible(
            task={"train_ways": 5, "train_shots": 5, "queries": 1},
            train={"meta_batch_size": 1, "optimizer": "sgd", "meta_lr": 1.0, "schedule": "linear"},
            network={"width": 16},
        )
    )

    inner_lr: float = 1e-3
    """Rate of inner steps, of painter and critic."""
    inner_steps: int = 10
    """Steps of the painter in training and, unless replaced, to a new task."""
    test_steps: Natural | None = 50
    """Steps of the painter to a task that is not trained on; None: `inner_steps`."""
    critic_steps: Count = 1
    """Steps of the critic before each of the painter's."""
    inner_batch: Count = 5
    """Examples of a class for each step, real and painted; one after another, so that all come equally often."""
    penalty: NotNegative = 10.0
    """Weight of the gradient penalty."""
    latent: Count = 16
    """Length of the noise that examples are painted from."""
    temperature: NotNegative = 1.0
    """Deviation of that noise in `generate`, relative to training."""

    painter: Model = field(metadata=role(Painter(Setting("latent"))))
    """`{"latent"}` -> examples."""
    critic: Model = field(metadata=role(Critic()))
    """x -> [n, 1], how real it looks."""

    @property
    def steps_at_test(self) -> int:
        return self.inner_steps if self.test_steps is None else self.test_steps

    def init(self, seed: int) -> Params:
        normed = next((n for n in ("painter", "critic") if getattr(self, n).norm_weights()), None)
        if normed is not None:  # the penalty is on the slope of one example's score, not of a batch's
            raise InputError(f"networks of FIGR have no batch norms, and its {normed} has: take group norms")
        return tree.join(painter=self.painter.init(seed), critic=self.critic.init(seed))

    def start(self, params: Params, support: Batch) -> Trained:
        weights = tree.map(lambda w: w.expand(ways(support), *w.shape), stop(params))
        return Trained(weights, tree.map(torch.zeros_like, weights), first_step(params))

    def advance(self, params: Params, carry: Trained, support: Batch) -> tuple[Trained, Tensor]:
        weights, second, step = carry
        value = step.new_zeros(())
        for turn in range(self.critic_steps):
            place = step * self.critic_steps + turn
            real, key = self._real(place, support), random.fold(key_of(support), 2 * place)
            moved = self._moved(_CRITIC, weights, second, place + 1, self._critic_loss(real, key))
            weights, second, value = moved
        key = random.fold(key_of(support), 2 * step + 1)
        weights, second, _ = self._moved(_PAINTER, weights, second, step + 1, self._painter_loss(key))
        return Trained(stop(weights), stop(second), step + 1), value

    def finish(self, params: Params, carry: Trained, support: Batch) -> Painters:
        member = self._member(support)  # [n, ways]
        scores = self._scores(carry.weights, _one(support))
        counts = member.sum(0)
        return Painters(carry.weights, (scores * member).sum(0) / counts.clamp_min(1), counts > 0)

    def predict(self, params: Params, adapted: Painters, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, Tensor)
        return mask_absent(self._scores(adapted.weights, x) - adapted.real, adapted.present)

    def generate(self, params: Params, adapted: Painters, key: Tensor, count: int) -> Tensor:
        noise = random.normal(key, (len(adapted.present), count, self.latent), adapted.real.dtype)
        return self._painted(adapted.weights, self.temperature * noise)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        carry, there = self.unroll(params, episode.support), self._member(episode.support).amax(0)
        offset = tree.map(lambda w, fast: (w - stop(fast)) * _like(there, fast), params, carry.weights)
        return 0.5 * dot(offset, offset) / there.sum().clamp_min(1), {}

    def reference_gradient(self, params: Params, episode: Episode) -> Params:
        """From where the classes went, on average, to where they began."""
        fast, there = self.unroll(params, episode.support).weights, self._member(episode.support).amax(0)
        return tree.map(lambda w, f: ((w - f) * _like(there, f)).sum(0) / there.sum().clamp_min(1), params, fast)

    def penalised(self, critic: Params, real: Tensor, painted: Tensor, share: Tensor) -> Tensor:
        """[ways] mean of `(|slope of the score| - 1)^2` between real and painted examples.

        Args:
            critic: [ways, ...] each.
            real: [ways, b, ...].
            painted: Likewise.
            share: [ways, b] how near to the real one, from 0 to 1.
        """
        between = painted + _like(share, real) * (real - painted)
        slopes = grad(lambda at: torch.vmap(self.critic.apply)(critic, at["x"]).sum(), {"x": between})["x"]
        return ((slopes.square().flatten(2).sum(2) + _TINY).sqrt() - 1).square().mean(1)

    def _critic_loss(self, real: Tensor, key: Tensor):
        k, b = real.shape[:2]
        noise = random.normal(random.fold(key, 0), (k, b, self.latent), real.dtype)
        share = random.uniform(random.fold(key, 1), (k, b), real.dtype)

        def loss(weights: Params) -> Tensor:
            critic, painted = tree.part(weights, "critic"), self._painted(weights, noise)
            scores = torch.vmap(self.critic.apply)(critic, torch.cat([painted, real], 1))[..., 0]  # [ways, 2 b]
            gap = scores[:, :b].mean(1) - scores[:, b:].mean(1)
            return (gap + self.penalty * self.penalised(critic, real, painted, share)).sum()

        return loss

    def _painter_loss(self, key: Tensor):
        def loss(weights: Params) -> Tensor:
            like = next(iter(weights.values()))
            noise = random.normal(key, (len(like), self.inner_batch, self.latent), like.dtype)
            critic, painted = tree.part(weights, "critic"), self._painted(weights, noise)
            return -torch.vmap(self.critic.apply)(critic, painted).mean((1, 2)).sum()

        return loss

    def _moved(self, part: str, weights: Params, second: Params, step: Tensor, loss):
        """One step of Adam of the painters or of the critics, and the loss before it, the mean of the classes."""
        moving = {k: v for k, v in weights.items() if k.startswith(part)}
        gradient, value, _ = value_and_grad(lambda w: (loss(weights | w), {}), moving, create_graph=False)
        gradient, moments = rescaled(gradient, {k: second[k] for k in moving}, step)
        new = tree.map(lambda w, g: w - self.inner_lr * g, moving, gradient)
        return weights | stop(new), second | stop(moments), value / len(next(iter(moving.values())))

    def _painted(self, weights: Params, noise: Tensor) -> Tensor:
        """[ways, b, ...] of [ways, b, latent] noise."""
        return torch.vmap(self.painter.apply)(tree.part(weights, "painter"), {"latent": noise})

    def _scores(self, weights: Params, x: Tensor) -> Tensor:
        """[n, ways] what every critic says of every example."""
        return torch.vmap(self.critic.apply, (0, None))(tree.part(weights, "critic"), x)[..., 0].T

    def _real(self, step: Tensor, support: Batch) -> Tensor:
        """[ways, b, ...] the next examples of every class; of one without any, some row."""
        member = self._member(support, torch.int64)  # [n, ways]
        counts, place = member.sum(0), step * self.inner_batch + torch.arange(self.inner_batch, device=step.device)
        wanted = place % counts.clamp_min(1)[:, None]  # [ways, b]
        match = (member.T[:, None] > 0) & ((member.cumsum(0) - 1).T[:, None] == wanted[..., None])  # [ways, b, n]
        return _one(support)[match.long().argmax(-1)]

    def _member(self, support: Batch, dtype: torch.dtype | None = None) -> Tensor:
        return membership(support.y, ways(support), support.mask, dtype or _one(support).dtype)


def _one(support: Batch) -> Tensor:
    if isinstance(support.x, dict):
        raise InputError(f"FIGR takes inputs that are one tensor, got a dict of {', '.join(support.x)}")
    return support.x


def _like(rows: Tensor, x: Tensor) -> Tensor:
    """`rows` with as many axes as `x`."""
    return rows.reshape(*rows.shape, *[1] * (x.dim() - rows.dim()))
