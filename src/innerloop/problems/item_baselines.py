"""What learns of items in closed form, and of a new user in closed form: factors, item to item, texts.

Such plain models are what meta-learned ones must be measured against (Ferrari Dacrema et al. 2019). They read a task as
learners do: `item` is a row of a table whose row 0 is for unknown items, `mean` what is known of each item, `texts` the
components of what an encoder made of its texts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression, weights
from innerloop.core.ranges import NotNegative, Positive
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.problems.rating_factors import Factors
from innerloop.tasks.ratings.encoding import Encoding
from innerloop.tasks.ratings.table import Ratings


class Weights(NamedTuple):
    """What is added to every item for a user."""

    of: Tensor


@dataclass(frozen=True, kw_only=True)
class ItemBaseline(Learner[Weights]):
    """Outputs are the item's mean and what a linear model of the user adds; nothing is meta-learned by gradients."""

    targets = ("values",)

    behaviour: bool = False
    """Whether supports are what users took: rows of 1, and of 0 where something was drawn that they did not take."""

    def init(self, seed: int) -> Params:
        return {}

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        outputs = self.predict(params, self.adapt(params, episode.support), episode.query.x)
        return regression(outputs, episode.query.y, episode.query.mask), {}

    def left(self, support: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs, and [n] what means leave over, or 1 where something was taken; 0 in rows that do not count."""
        assert isinstance(support.x, dict)
        rows = weights(support.y, support.mask)
        y = support.y[:, 0] if self.behaviour else support.y[:, 0] - support.x["mean"]
        return support.x, torch.where(rows, y, 0.0)

    def around(self, x: dict[str, Tensor], added: Tensor) -> Tensor:
        """[n, 1] what is added for a user, around the items' means where ratings are foreseen."""
        return (added if self.behaviour else x["mean"] + added)[:, None]


@dataclass(frozen=True, kw_only=True)
class Popularity(ItemBaseline):
    """How many took an item. Nothing of the user counts."""

    def adapt(self, params: Params, support: Batch) -> Weights:
        return Weights(support.y.new_zeros(1))

    def predict(self, params: Params, adapted: Weights, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, dict)
        return x["mean"][:, None]


@dataclass(frozen=True, kw_only=True)
class FoldedIn(ItemBaseline):
    """Matrix factorisation: `items` [items + 1, k] stay, a new user is one more ridge regression on them.

    Of what was taken, as alternating least squares have it (Hu, Koren, Volinsky 2008): all other items are rows of 0,
    each of weight 1, and what was taken has the weight 1 + `alpha`.
    """

    decay: Positive = 5.0
    """Weight of the squares of factors."""
    alpha: NotNegative = 0.0

    def adapt(self, params: Params, support: Batch) -> Weights:
        x, left = self.left(support)
        items, rows = params["items"], weights(support.y, support.mask)
        counted = (rows & (support.y[:, 0] > 0) if self.behaviour else rows).to(items.dtype)[:, None]
        own = items[x["item"]] * counted
        square = self.alpha * own.T @ own + items.T @ items if self.behaviour else own.T @ own
        eye = torch.eye(items.shape[1], dtype=items.dtype, device=items.device)
        target = own.T @ left.to(items.dtype)
        return Weights(torch.linalg.solve(square + self.decay * eye, (1 + self.alpha) * target))

    def predict(self, params: Params, adapted: Weights, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, dict)
        return self.around(x, params["items"][x["item"]] @ adapted.of)


@dataclass(frozen=True, kw_only=True)
class ItemToItem(ItemBaseline):
    """EASE (Steck 2019): every item by all others, `B = I - P / diag(P)` with `P` the inverse of `X'X + decay I`.

    By the inverse of the users' matrix, which is small: with `M = (XX' + decay I)^-1` the score of an item j that is
    not in the support u is `x_j . (M X u) / (1 - x_j . M x_j)`. Parameters: `x` [users, items + 1], `mx` = M X, and
    `rest` [items + 1], the denominator.
    """

    def adapt(self, params: Params, support: Batch) -> Weights:
        x, left = self.left(support)
        return Weights(params["mx"][:, x["item"]] @ left.to(params["mx"].dtype))

    def predict(self, params: Params, adapted: Weights, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, dict)
        return self.around(x, (adapted.of @ params["x"] / params["rest"])[x["item"]])


@dataclass(frozen=True, kw_only=True)
class TextRidge(ItemBaseline):
    """A ridge regression of what means leave over of a user's ratings on texts of items.

    An item that nobody has seen is foreseen as well. Of what was taken it regresses 1 and 0, and adds popularity.
    """

    decay: Positive = 100.0
    """Weight of the squares of weights of the texts."""
    shrink: Positive = 3.0
    """The same for the user's offset."""

    def adapt(self, params: Params, support: Batch) -> Weights:
        x, left = self.left(support)
        rows = weights(support.y, support.mask).to(left.dtype)[:, None]
        texts = _with_one(x["texts"]) * rows
        decay = torch.cat([torch.full_like(texts[0, :-1], self.decay), torch.full_like(texts[0, -1:], self.shrink)])
        return Weights(torch.linalg.solve(texts.T @ texts + torch.diag(decay), texts.T @ left))

    def predict(self, params: Params, adapted: Weights, x: Tensor | dict[str, Tensor]) -> Tensor:
        assert isinstance(x, dict)
        return x["mean"][:, None] + (_with_one(x["texts"]) @ adapted.of)[:, None]


def factors(of: Factors) -> Params:
    """Parameters of `FoldedIn`: an unknown item has what all have, a user's offset."""
    unknown = np.zeros((1, of.items.shape[1]))
    unknown[0, -1] = 1.0
    return {"items": from_numpy(np.concatenate([unknown, of.items]).astype(np.float32))}


def item_to_item(table: Ratings, rows: np.ndarray, encoding: Encoding, decay: float) -> Params:
    """Parameters of `ItemToItem`.

    Args:
        table: The ratings.
        rows: [rows] bool, those that are learned from.
        encoding: Whose means are taken off ratings.
        decay: Weight of the squares of B.
    """
    known = np.flatnonzero(rows)
    users, who = np.unique(table.users[known], return_inverse=True)
    items = table.items[known]
    x = np.zeros((len(users), encoding.item_count), np.float32)
    x[who, items + 1] = 1.0 if table.behaviour else table.values[known] - encoding.means(None, items)[0]
    mx = np.linalg.solve(x @ x.T + decay * np.eye(len(users), dtype=np.float32), x)
    return {"x": from_numpy(x), "mx": from_numpy(mx), "rest": from_numpy(1 - (x * mx).sum(0))}


def _with_one(texts: Tensor) -> Tensor:
    return torch.cat([texts, torch.ones_like(texts[:, :1])], 1)
