"""Matching Networks: Vinyals et al., NeurIPS 2016, https://arxiv.org/abs/1606.04080.

Adaptation is remembering the labelled embeddings; a query attends to them and takes the label that gets most attention.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import EncoderClassifier
from innerloop.core.errors import InputError
from innerloop.core.learner import mask_absent
from innerloop.core.model import Model
from innerloop.core.networks import FEATURES, Cell, Sequence, role
from innerloop.core.prototypes import cosine, labels, vote, ways
from innerloop.core.ranges import Natural, Positive
from innerloop.core.searched import TEMPERATURE
from innerloop.core.types import Batch, Params


class LabelledEmbeddings(NamedTuple):
    """The support as queries see it."""

    embeddings: Tensor  # [n, d]
    labels: Tensor  # [n], -1: gets no attention
    present: Tensor  # [ways] bool
    encoder: Params
    """With the support's statistics unless transductive."""


@dataclass(frozen=True, kw_only=True)
class MatchingNet(EncoderClassifier[LabelledEmbeddings]):
    """Logits are the logarithms of the classes' attention, so that cross-entropy is the paper's -log p.

    Attention is the softmax over the support of cosines times a temperature. Parameters: `encoder.*`,
    `log_temperature` unless the temperature is None, `support_context.*` and `query_context.*` with full context.

    Full context embeddings read the support as a sequence. It is put in the order of the labels, as samplers have it,
    so the order of the rows matters within a class only.
    """

    trains_on = ("episodes",)

    temperature: Positive | None = field(default=10.0, metadata=TEMPERATURE)
    """What cosines are multiplied by at first; learned. None: the paper's formula without one, in which no class of N
    can get more than e / (e + (N - 1) / e) of the attention in 1-shot tasks."""
    fce_steps: Natural = 0
    """Full context embeddings with so many steps of the attention LSTM (the paper's K); 0: without."""
    support_context: Model | None = field(default=None, metadata=role(Sequence(FEATURES, unless={"fce_steps": 0})))
    """Full context: `{"x": [n, d], "rows": [n] bool}` -> [n, d], as `nn.context.BiLSTM(d)`."""
    query_context: Model | None = field(
        default=None, metadata=role(Cell(2 * FEATURES, units=FEATURES, unless={"fce_steps": 0}))
    )
    """Full context: `{"x": [n, 2 d], "h": [n, d], "c": [n, d]}` -> next h and c, as `nn.context.LSTMCell(2 * d, d)`."""

    def __post_init__(self) -> None:
        if self.fce_steps and (self.support_context is None or self.query_context is None):
            raise InputError("full context embeddings need the networks support_context and query_context")

    @property
    def ordered(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.fce_steps > 0

    def init(self, seed: int) -> Params:
        parts = {"encoder": self.encoder.init(seed)}
        if self.fce_steps and self.support_context and self.query_context:
            parts |= {
                "support_context": self.support_context.init(seed),
                "query_context": self.query_context.init(seed),
            }
        params = tree.join(**parts)
        if self.temperature is not None:
            params["log_temperature"] = torch.tensor(math.log(self.temperature))
        return params

    def adapt(self, params: Params, support: Batch) -> LabelledEmbeddings:
        classes, y = ways(support), labels(support)
        features, encoder = self.features(tree.part(params, "encoder"), support)
        if self.fce_steps and self.support_context:
            order = torch.where(y >= 0, y, classes).argsort(stable=True)
            features, y = features[order], y[order]
            sequence = {"x": features, "rows": y >= 0}
            features = features + self.support_context.apply(tree.part(params, "support_context"), sequence)
        present = (y[:, None] == torch.arange(classes, device=y.device)).any(0)
        return LabelledEmbeddings(features, y, present, encoder)

    def predict(self, params: Params, adapted: LabelledEmbeddings, x: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.encoder.apply(adapted.encoder, x)
        if self.fce_steps and self.query_context:
            features = self._in_context(self.query_context, tree.part(params, "query_context"), adapted, features)
        scores = cosine(features, adapted.embeddings)
        if self.temperature is not None:
            scores = params["log_temperature"].exp() * scores
        return mask_absent(vote(scores, adapted.labels, adapted.present.shape[0]), adapted.present)

    def _in_context(self, cell: Model, params: Params, adapted: LabelledEmbeddings, features: Tensor) -> Tensor:
        """Embeddings of queries that have read the support `fce_steps` times (appendix of the paper)."""
        h = c = torch.zeros_like(features)
        for _ in range(self.fce_steps):
            scores = (h @ adapted.embeddings.T).masked_fill(adapted.labels < 0, torch.finfo(features.dtype).min)
            read = torch.softmax(scores, -1) @ adapted.embeddings
            h, c = cell.apply(params, {"x": torch.cat([features, read], -1), "h": h, "c": c}).chunk(2, -1)
            h = h + features
        return h
