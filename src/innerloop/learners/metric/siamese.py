"""Siamese networks: Koch, Zemel, Salakhutdinov 2015, https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf.

Adaptation is remembering the embeddings of the support; a query belongs to the class it is, on average, most alike.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import softplus

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderLearner
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, Rows, role
from innerloop.core.objectives import mean, membership, normalize, weights
from innerloop.core.prototypes import precise, squared_distance, ways
from innerloop.core.ranges import Positive
from innerloop.core.scores import Accuracy, measured
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params

Distance = Literal["euclidean", "cosine", "weighted_l1"]

_MARGINS = {"euclidean": 10.0, "cosine": 1.0}
_EPS = 1e-6
"""Added to squared distances before the root, whose derivatives are infinite at 0."""


class Remembered(NamedTuple):
    """The support, embedded."""

    embeddings: Tensor  # [n, d]
    members: Tensor  # [n, ways] 1 for the class of a labelled row
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class Siamese(EncoderLearner[Remembered]):
    """Trained to tell whether two examples are of one class, on all pairs of a query and a support row of a task.

    Half of the loss is the mean over pairs of one class, half that over pairs of two, however many there are of each.
    Tasks within one alphabet (`EpisodeSampler.within`) give the hard pairs of two classes.

    `euclidean` and `cosine`: contrastive loss (Hadsell, Chopra, LeCun, CVPR 2006) with 1 for the same class, where the
    paper's Y is 0: `D^2 / 2` for the same class and `max(0, margin - D)^2 / 2` for two, the margin being one of the
    distance itself. `weighted_l1`: binary cross-entropy of `sigmoid(sum_j a_j |h1_j - h2_j| + b)`, a and b learned.
    Parameters: `encoder.*`, and for `weighted_l1` also `comparison.*`. The default encoder is Conv-4; Koch et al. have
    four convolutions of 10 x 10 to 4 x 4 and 4,096 sigmoid units on pictures of 105 x 105, and L2 regularisation.
    """

    trains_on = ("episodes",)
    sensible = by_kind(classes=Sensible(task={"train_ways": 20}, train={"meta_batch_size": 1, "meta_lr": 3e-3}))

    distance: Distance = "euclidean"
    """cosine: the Euclidean distance between embeddings of unit length, at most 2. weighted_l1: Koch's."""
    margin: Positive | None = None
    """From which distance on two classes are far enough apart; None: 10 for euclidean (the lengths of Conv-4's
    embeddings are like that), 1 for cosine. Not for weighted_l1."""
    comparison: Model | None = field(default=None, metadata=role(Rows(FEATURES, 1, when={"distance": "weighted_l1"})))
    """For weighted_l1: absolute differences [n, d] -> logits of "the same" [n, 1], as `nn.mlp.Linear(d, 1)`."""

    def __post_init__(self) -> None:
        if self.margin is not None and self.distance == "cosine" and self.margin > 2:
            raise InputError(f"the margin of cosines must be at most 2, got {self.margin}")
        if self.distance == "weighted_l1" and self.comparison is None:
            raise InputError("weighted_l1 needs the network `comparison`, such as nn.mlp.Linear(inputs=d, outputs=1)")

    def init(self, seed: int) -> Params:
        parts = {"encoder": self.encoder.init(seed)}
        if self.comparison is not None:
            parts["comparison"] = self.comparison.init(seed)
        return tree.join(**parts)

    def adapt(self, params: Params, support: Batch) -> Remembered:
        embeddings, encoder = self.features(tree.part(params, "encoder"), support)
        return Remembered(embeddings, membership(support.y, ways(support), support.mask, embeddings.dtype), encoder)

    def predict(self, params: Params, adapted: Remembered, x: Tensor | dict[str, Tensor]) -> Tensor:
        alike = self._alike(params, self.encoder.apply(adapted.encoder, x), adapted.embeddings)
        return _by_class(alike, adapted.members)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        query, adapted = episode.query, self.adapt(params, episode.support)
        embeddings = self.encoder.apply(adapted.encoder, query.x, query.mask)
        alike = self._alike(params, embeddings, adapted.embeddings)  # [queries, n]
        if self.distance == "weighted_l1":
            close, apart = softplus(-alike), softplus(alike)
        else:
            margin = _MARGINS[self.distance] if self.margin is None else self.margin
            close, apart = alike.square() / 2, (margin + alike).clamp_min(0).square() / 2
        same = membership(query.y, adapted.members.shape[1], query.mask, alike.dtype) @ adapted.members.T
        counted = weights(query.y, query.mask)[:, None] & (adapted.members.sum(1) > 0)
        pair = (same > 0.5).flatten()
        value = (mean(close.flatten(), pair) + mean(apart.flatten(), counted.flatten() & ~pair)) / 2
        return value, {"score": measured(Accuracy(), _by_class(alike, adapted.members), query)[0]}

    def similarity(
        self,
        params: Params,
        adapted: Remembered,
        left: Tensor | dict[str, Tensor],
        right: Tensor | dict[str, Tensor],
    ) -> Tensor:
        """How alike the n examples of `left` and those of `right` are, one by one: [n], higher is more alike.

        Args:
            params: As from `init`.
            adapted: Only the batch-norm statistics in it are used: adapt to a reference batch, never to the pairs.
            left: [n, ...].
            right: [n, ...].
        """
        a, b = (self.encoder.apply(adapted.encoder, x) for x in (left, right))
        if self.distance == "weighted_l1":
            return self._logits(params, a - b)
        return _near((self._scaled(a) - self._scaled(b)).square().sum(-1))

    def _alike(self, params: Params, x: Tensor, y: Tensor) -> Tensor:
        """[n, m] similarities of [n, d] and [m, d] embeddings: negative distances, or logits of "the same"."""
        if self.distance == "weighted_l1":
            return self._logits(params, (x[:, None] - y).flatten(0, 1)).view(x.shape[0], y.shape[0])
        return _near(squared_distance(self._scaled(x), self._scaled(y)))

    def _logits(self, params: Params, differences: Tensor) -> Tensor:
        assert self.comparison is not None
        return self.comparison.apply(tree.part(params, "comparison"), differences.abs())[:, 0]

    def _scaled(self, x: Tensor) -> Tensor:
        return normalize(precise(x)) if self.distance == "cosine" else precise(x)


def _near(squared: Tensor) -> Tensor:
    """Negative distances."""
    return -(squared.clamp_min(0) + _EPS).sqrt()


def _by_class(alike: Tensor, members: Tensor) -> Tensor:
    """[n, ways] means of the similarities to the examples of each class."""
    counts = members.sum(0)
    return mask_absent(alike @ members / counts.clamp_min(1), counts > 0)
