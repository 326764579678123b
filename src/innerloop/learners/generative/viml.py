"""VIML, variational inference for meta-learning, after the Neural Statistician: Edwards and Storkey, ICLR 2017.

https://arxiv.org/abs/1606.02185. Adaptation is one pass over the support: the mean feature of every class says which
code, a normal distribution of it, the class has; with `warp` its examples are kept too, to be bent into others.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.core.gaussian import key_of
from innerloop.core.gradient import transformed
from innerloop.core.learner import Learner, mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import ClassCode, Decoder, Features, Latent, Setting, role
from innerloop.core.objectives import membership
from innerloop.core.predictive import normal_surprise
from innerloop.core.prototypes import labels, ways
from innerloop.core.ranges import Count, NotNegative, Positive
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

_CODES, _LATENTS, _ANCHORS = 1, 2, 3
"""Keys of what is drawn."""
_WIDEST = 8.0
"""Logarithms of variances lie between this and its opposite."""
_TASK = {"train_ways": 16, "train_shots": 5, "queries": 5}
_TRAIN = {"meta_batch_size": 1, "meta_lr": 2e-3, "schedule": "cosine"}
_PICTURES = Sensible(task=_TASK, train=_TRAIN, network={"width": 32})
_INK = Sensible(task=_TASK, train=_TRAIN, network={"width": 32}, fields={"likelihood": "bernoulli"})


class Normal(NamedTuple):
    """Independent normal entries."""

    mean: Tensor
    log_variance: Tensor

    def drawn(self, noise: Tensor) -> Tensor:
        """A sample, from standard normal noise that broadcasts."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """[n] KL of every row from a standard normal, in nats."""
        each = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * each.flatten(1).sum(1)


class Codes(NamedTuple):
    """What is known of the classes of a task."""

    code: Normal
    """[ways, ...]; of a class without examples, the prior."""
    present: Tensor  # [ways] bool
    x: Tensor  # [m, ...] the support, of which `warp` takes one
    features: Tensor  # [m, ...] of it
    y: Tensor  # [m] classes, -1 for rows that do not count
    key: Tensor


class Begun(NamedTuple):
    """Examples that others are made from."""

    x: Tensor
    features: Tensor


@dataclass(frozen=True, kw_only=True)
class VIML(Learner[Codes]):
    """A hierarchy of two latents: a code c of a class, and z of what one example is beside its class.

    Both have a standard normal prior. Training maximises, for each class, the sum over its examples of
    E[log p(x | c, z)] - KL(q(z | x, c) || p(z)), less KL(q(c | support) || p(c)) once. Support and query are both
    explained, and c is inferred from the support alone: a bound with any q, which trains what is used.

    With `warp`, p(x | c, z) begins with another example of the class in the support, the same chance for each. An
    example never explains itself: where a class has one example, that one is drawn from a blank, as are examples of a
    class without any. `predict` sums over all examples that a query may have come from; they are few.

    `generate` draws c, z and the example to begin from, and gives the mean of p(x | c, z), without the noise of single
    numbers; for others, `dataclasses.replace(learner, temperature=0.5, mean_code=True)`, with the same parameters.

    Noise is drawn for a task's class, sample and latent, in training once for its support and once for its queries: no
    row's depends on its place or on other rows, but which example of the support explains another goes by their order.

    Parameters: those of each network under its name, and `log_noise`, which ink has no use for.
    """

    trains_on = ("episodes",)
    queries_apart = False  # the code's divergence is shared among all rows
    sensible = by_kind(classes=_PICTURES, kanji=_INK, omniglot=_INK, digits=_INK)

    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """gaussian: N(mu, sigma^2) with one learned sigma. bernoulli: numbers from 0 to 1 as shares of ink."""
    warp: bool = True
    """Bend and retouch another example of the class (of vectors: add to it); otherwise write from the code alone."""
    code_map: bool = True
    """Class codes of pictures keep their place, a map a quarter as long; otherwise they are vectors."""
    code_channels: Count = 8
    """Channels of the code's map, or its length without a map."""
    latent: Count = 16
    """Length of z."""
    noise: Positive = 0.3
    """Sigma at first."""
    predict_by: Literal["elbo", "kl"] = "elbo"
    """elbo: the bound on log p(query | support of the class). kl: KL(q(c | support) || q(c | query)), as the paper."""
    samples: Count = 2
    """Draws of c and z for a prediction by the bound, in pairs of opposite sign; the same for all queries."""
    most: Count = 512
    """Examples decoded at once in a prediction, whose memory that bounds."""
    temperature: NotNegative = 1.0
    """Deviation of z in `generate`, relative to its prior."""
    mean_code: bool = False
    """Leave c at its mean in `generate`."""

    encoder: Model = field(metadata=role(Features()))
    """x -> features of each row, whose mean over a class its code is inferred from."""
    statistic: Model = field(metadata=role(ClassCode(Setting("code_channels"), map=Setting("code_map"))))
    """Mean features -> mean and log-variance of c."""
    posterior: Model = field(
        metadata=role(
            Latent(Setting("latent"), Setting("code_channels"), map=Setting("code_map"), anchored=Setting("warp"))
        )
    )
    """`{"features", "code"}`, with `warp` also `"anchor"`, features of the example begun from -> those of z."""
    decoder: Model = field(
        metadata=role(
            Decoder(
                Setting("latent"),
                Setting("code_channels"),
                likelihood=Setting("likelihood"),
                map=Setting("code_map"),
                anchored=Setting("warp"),
            )
        )
    )
    """`{"code", "latent"}`, with `warp` also `"example"` and its `"features"` -> means, or logits of ink."""

    @property
    def stochastic(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.predict_by == "elbo"

    def init(self, seed: int) -> Params:
        networks = self._networks()
        normed = [name for name, network in networks.items() if network.norm_weights()]
        if normed:  # their statistics would be of other classes' rows
            raise InputError(f"networks of VIML have no batch norms, and {normed[0]} has: take group norms")
        params = tree.join(**{name: network.init(seed) for name, network in networks.items()})
        return params | {"log_noise": torch.tensor(math.log(self.noise))}

    def adapt(self, params: Params, support: Batch) -> Codes:
        k, x, y = ways(support), self._learned(support.x), labels(support)
        features = self.encoder.apply(tree.part(params, "encoder"), x)
        member = membership(y, k, dtype=features.dtype)  # [m, ways]
        counts = member.sum(0)
        pooled = (member / counts.clamp_min(1)).T @ features.flatten(1)
        code = self._code(params, pooled.unflatten(1, features.shape[1:]))
        there = (counts > 0).reshape(-1, *[1] * (code.mean.dim() - 1))
        code = Normal(*(torch.where(there, part, 0.0) for part in code))
        return Codes(code, counts > 0, x, features, y, key_of(support))

    def predict(self, params: Params, adapted: Codes, x: Tensor | dict[str, Tensor]) -> Tensor:
        if self.predict_by == "elbo":
            return mask_absent(self.evidence(params, adapted, x), adapted.present)
        one = self._code(params, self.encoder.apply(tree.part(params, "encoder"), _one(x)))
        a, b = (Normal(*(v.flatten(1) for v in code)) for code in (adapted.code, one))  # [ways, d], [n, d]
        gap = b.log_variance[:, None] - a.log_variance  # [n, ways, d]
        off = (a.mean - b.mean[:, None]).square() * (-b.log_variance[:, None]).exp()
        return mask_absent(-0.5 * (gap + (-gap).exp() + off - 1).sum(-1), adapted.present)

    def evidence(self, params: Params, adapted: Codes, x: Tensor | dict[str, Tensor]) -> Tensor:
        """[n, ways] bounds on log p(x | support of the class), in nats, from below but for `samples` draws.

        With `warp` it is the logarithm of the mean over the examples begun from of what each bounds.

        Args:
            params: Meta-parameters.
            adapted: From `adapt`.
            x: [n, ...].
        """
        x, code, k = _one(x), adapted.code, len(adapted.present)
        classes = adapted.y if self.warp else torch.arange(k, device=x.device)  # of what a query is compared with
        member = membership(classes, k, dtype=torch.bool)  # [m, ways]
        noise = self._signed(random.fold(adapted.key, _CODES), code.mean)
        codes = code.drawn(noise[:, None])[:, classes.clamp_min(0)]  # [samples, m, ...]
        begun = Begun(adapted.x, adapted.features) if self.warp else None
        result = []
        # A graph for any number of queries cannot be cut by it.
        at_once = max(1, self.most // (self.samples * len(classes)))
        for rows in (x,) if torch.compiler.is_compiling() else x.split(at_once):
            bounds = self._bounds(params, adapted.key, rows, codes, begun)  # [n, m]
            each = torch.where(member, bounds[..., None], torch.finfo(bounds.dtype).min)
            result.append(torch.logsumexp(each, 1) - member.sum(0).clamp_min(1).log().to(bounds.dtype))
        return torch.cat(result)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        """The bound's negative over all rows of support and query, in nats for each of them."""
        support, query = episode
        codes, asked, k = self.adapt(params, support), self._learned(query.x), ways(support)
        x, y = torch.cat([codes.x, asked]), torch.cat([codes.y, labels(query)])
        features = torch.cat([codes.features, self.encoder.apply(tree.part(params, "encoder"), asked)])
        noise = random.normal(random.fold(codes.key, _CODES), codes.code.mean.shape, x.dtype)
        code, mine, rows = codes.code.drawn(noise), y.clamp_min(0), (y >= 0).to(x.dtype)
        begun = self._begun(codes, mine, self._others(codes, mine)) if self.warp else None
        z = self._latent(params, features, code[mine], begun)
        noise = random.normal(random.fold(codes.key, _LATENTS), (2, k, self.latent), x.dtype)
        noise = torch.cat([noise[0, mine[: len(codes.y)]], noise[1, mine[len(codes.y) :]]])  # of support and query
        fit = self._log_p(params, self._decoded(params, code[mine], z.drawn(noise), begun), x)
        spent = {"fit": fit @ rows, "kl_z": z.divergence() @ rows, "kl_c": codes.code.divergence().sum()}
        loss = (spent["kl_z"] + spent["kl_c"] - spent["fit"]) / rows.sum().clamp_min(1)
        counts = {"fit": rows.sum(), "kl_z": rows.sum(), "kl_c": codes.present.sum()}
        return loss, {name: (v / counts[name].clamp_min(1)).detach() for name, v in spent.items()}

    def generate(self, params: Params, adapted: Codes, key: Tensor, count: int) -> Tensor:
        code, k = adapted.code, len(adapted.present)
        mine = torch.arange(k, device=code.mean.device).repeat_interleave(count)
        kind = code.mean.dtype
        codes = code.mean[:, None].expand(-1, count, *code.mean.shape[1:])
        if not self.mean_code:
            noise = random.normal(random.fold(key, _CODES), codes.shape, kind)
            codes = Normal(*(part[:, None] for part in code)).drawn(noise)
        z = self.temperature * random.normal(random.fold(key, _LATENTS), (k * count, self.latent), kind)
        begun = None
        if self.warp:
            at = random.uniform(random.fold(key, _ANCHORS), (k, count), torch.float64)
            places = (at * _counts(adapted)[:, None]).long()
            begun = self._begun(adapted, mine, places.flatten())
        outputs = self._decoded(params, codes.flatten(0, 1), z, begun)
        drawn = torch.sigmoid(outputs) if self.likelihood == "bernoulli" else outputs
        return drawn.unflatten(0, (k, count))

    def reconstruct(self, params: Params, adapted: Codes, x: Tensor | dict[str, Tensor], y: Tensor) -> Tensor:
        """[n, ...] inputs as the learner has them as examples of their classes, from the means of c and q(z | x, c).

        With `warp`, begun from that example of the class which bounds them best, or a blank where it has none.

        Args:
            params: Meta-parameters.
            adapted: From `adapt`.
            x: [n, ...].
            y: [n] their classes.
        """
        x, code = _one(x), adapted.code.mean[y]
        features = self.encoder.apply(tree.part(params, "encoder"), x)
        best, bound = torch.zeros_like(x), x.new_full((len(x),), -torch.inf)
        for place in range(max(1, len(adapted.y)) if self.warp else 1):
            begun = self._begun(adapted, y, torch.full_like(y, place)) if self.warp else None
            z = self._latent(params, features, code, begun)
            outputs = self._decoded(params, code, z.mean, begun)
            each = self._log_p(params, outputs, x) - z.divergence()
            better = (each > bound) & ((place == 0) | (place < _counts(adapted)[y]))
            best = torch.where(better.reshape(-1, *[1] * (x.dim() - 1)), outputs, best)
            bound = torch.where(better, each, bound)
        return torch.sigmoid(best) if self.likelihood == "bernoulli" else best

    def mix(self, params: Params, adapted: Codes, other: Tensor, weight: Tensor) -> Codes:
        """Codes on the way from one class to another; with `warp` examples too, each with one of the other's."""
        counts, mine = _counts(adapted), adapted.y.clamp_min(0)
        there = (adapted.y >= 0) & (counts[other][mine] > 0)
        with_whom = self._begun(adapted, other[mine], _places(adapted) % counts[other][mine].clamp_min(1)).x
        x = _toward(adapted.x, with_whom, torch.where(there, weight[mine], 1.0))
        code = Normal(*(_toward(part, part[other], weight) for part in adapted.code))
        features = self.encoder.apply(tree.part(params, "encoder"), x)
        return adapted._replace(code=code, x=x, features=features, present=adapted.present & adapted.present[other])

    def _networks(self) -> dict[str, Model]:
        return {name: getattr(self, name) for name in ("encoder", "statistic", "posterior", "decoder")}

    def _learned(self, x: Tensor | dict[str, Tensor]) -> Tensor:
        """Inputs that the likelihood has to fit."""
        x = _one(x)
        # Tensors without values, of a recording or under a transform, cannot be asked.
        asked = self.likelihood == "bernoulli" and type(x) is Tensor and not transformed()
        if asked and bool(((x < 0) | (x > 1)).any()):
            raise InputError(
                f"likelihood='bernoulli' is of numbers from 0 to 1, and these are from {float(x.min()):.3g} to "
                f"{float(x.max()):.3g}: use likelihood='gaussian'"
            )
        return x

    def _code(self, params: Params, pooled: Tensor) -> Normal:
        return _normal(self.statistic.apply(tree.part(params, "statistic"), pooled))

    def _latent(self, params: Params, features: Tensor, code: Tensor, begun: Begun | None) -> Normal:
        """q(z | x, c) of every row, with `warp` of the way there from another example."""
        parts = {"features": features, "code": code}
        parts |= {} if begun is None else {"anchor": begun.features}
        z = _normal(self.posterior.apply(tree.part(params, "posterior"), parts))
        if z.mean.shape[1] != self.latent:
            raise InputError(f"latent is {self.latent}, and the posterior writes {z.mean.shape[1]} means: say the same")
        return z

    def _decoded(self, params: Params, code: Tensor, latent: Tensor, begun: Begun | None) -> Tensor:
        parts = {"code": code, "latent": latent}
        parts |= {} if begun is None else {"example": begun.x, "features": begun.features}
        return self.decoder.apply(tree.part(params, "decoder"), parts)

    def _log_p(self, params: Params, outputs: Tensor, x: Tensor) -> Tensor:
        """[n] log p(x | c, z)."""
        outputs, x = outputs.flatten(1), x.flatten(1)
        if self.likelihood == "bernoulli":
            return (x * outputs - softplus(outputs)).sum(1)
        return -normal_surprise(x, outputs, params["log_noise"].exp()).sum(1)

    def _bounds(self, params: Params, key: Tensor, x: Tensor, codes: Tensor, begun: Begun | None) -> Tensor:
        """[n, m] bounds on log p of n rows with each of m codes, [samples, m, ...], and what goes with each of them."""
        shape = x.shape[0], *codes.shape[:2]

        def grid(part: Tensor) -> Tensor:
            """A row for each of n, samples and m, from a part that has each of these axes, or 1 for it."""
            return part.expand(*shape, *part.shape[3:]).flatten(0, 2)

        features = self.encoder.apply(tree.part(params, "encoder"), x)
        code, rows = grid(codes[None]), grid(x[:, None, None])
        beside = None if begun is None else Begun(*(grid(part[None, None]) for part in begun))
        z = self._latent(params, grid(features[:, None, None]), code, beside)
        noise = self._signed(random.fold(key, _LATENTS), z.mean)
        drawn = z.drawn(grid(noise[None, :, None]))
        fit = self._log_p(params, self._decoded(params, code, drawn, beside), rows)
        return (fit - z.divergence()).unflatten(0, shape).mean(1)

    def _signed(self, key: Tensor, like: Tensor) -> Tensor:
        """[samples, ...] standard normal in pairs of opposite sign, each as a row of `like`."""
        half = random.normal(key, ((self.samples + 1) // 2, *like.shape[1:]), like.dtype)
        return torch.cat([half, -half])[: self.samples]

    def _others(self, codes: Codes, classes: Tensor) -> Tensor:
        """[n] places among the support of its class of what each row begins from, support and query; -1: a blank.

        One number a class says how many places further on those of the support look, one where all queries do.
        """
        counts, own = _counts(codes), _places(codes)
        at = random.uniform(random.fold(codes.key, _ANCHORS), (2, len(counts)), torch.float64)
        further = 1 + (at[0] * (counts - 1).clamp_min(0)).long()
        m = len(own)
        mine = classes[:m]
        place = torch.where(counts[mine] > 1, (own + further[mine]) % counts[mine].clamp_min(1), -1)
        return torch.cat([place, (at[1] * counts).long()[classes[m:]]])

    def _begun(self, codes: Codes, classes: Tensor, places: Tensor) -> Begun:
        """The examples at these places of these classes; a blank where there is none."""
        match = (codes.y == classes[:, None]) & (_places(codes) == places[:, None])  # [n, m]
        some, index = match.any(1), match.long().argmax(1)

        def rows(part: Tensor) -> Tensor:
            return torch.where(some.reshape(-1, *[1] * (part.dim() - 1)), part[index], 0.0)

        return Begun(rows(codes.x), rows(codes.features))


def _one(x: Tensor | dict[str, Tensor]) -> Tensor:
    if isinstance(x, dict):
        raise InputError(f"VIML takes inputs that are one tensor, got a dict of {', '.join(x)}")
    return x


def _normal(outputs: Tensor) -> Normal:
    mean, log_variance = outputs.chunk(2, 1)
    return Normal(mean, log_variance.clamp(-_WIDEST, _WIDEST))


def _toward(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Rows, [n] so much of one and the rest of the other."""
    weight = weight.to(one.dtype).reshape(-1, *[1] * (one.dim() - 1))
    return weight * one + (1 - weight) * other


def _counts(codes: Codes) -> Tensor:
    """[ways] examples of each class."""
    return membership(codes.y, len(codes.present), dtype=torch.int64).sum(0)


def _places(codes: Codes) -> Tensor:
    """[m] how many examples of its class come before each of the support."""
    member = membership(codes.y, len(codes.present), dtype=torch.int64)
    return ((member.cumsum(0) - 1) * member).sum(1)
