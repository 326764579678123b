"""Networks for ratings: an item and what is known of it and of the user, as features; a head around the item's mean."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from innerloop.core.model import Model
from innerloop.core.ranges import Count, Natural, Within


@dataclass(frozen=True)
class RatingEncoder(Model):
    """A pair of user and item -> [n, features + 1], whose last entry is the item's mean as it is.

    Inputs are a dict of `item` [n], `mean` [n] and, where there are any, `categories` [n, c], `several` [n, s, m],
    `numbers` [n, k] and `texts` [n, t]. Whole numbers are rows of tables: 0 of items is for unknown ones, and 0 of
    several values is none. `log_q` [n], the logarithm of how often an item is expected in a sample, is taken off the
    mean.
    """

    items: Count = 2
    """Rows of the table of items."""
    categories: Natural = 0
    """Rows of the table of categories."""
    columns: Natural = 0
    """c, columns of categories."""
    values: Natural = 0
    """Rows of the table of several values."""
    sets: Natural = 0
    """s, columns of several values."""
    numbers: Natural = 0
    """k."""
    length: Count = 16
    """Numbers that stand for an item; other things have half as many."""
    features: Count = 16
    texts: Natural = 0
    """t."""

    @property
    def outputs(self) -> int:
        """Length of a row of features."""
        return self.features + 1

    def build(self) -> nn.Module:
        return _RatingEncoder(self)


class _RatingEncoder(nn.Module):
    def __init__(self, of: RatingEncoder):
        super().__init__()
        half = -(-of.length // 2)
        self.item = _table(of.items, of.length)
        self.category = _table(of.categories, half) if of.columns else None
        self.several = _table(of.values, half) if of.sets else None
        width = of.length + half * (of.columns + of.sets) + of.numbers + of.texts
        self.hidden, self.last = nn.Linear(width, 2 * of.features), nn.Linear(2 * of.features, of.features)

    def forward(
        self,
        item: Tensor,
        mean: Tensor,
        categories: Tensor | None = None,
        several: Tensor | None = None,
        numbers: Tensor | None = None,
        texts: Tensor | None = None,
        log_q: Tensor | None = None,
    ) -> Tensor:
        parts = [self.item(item)]
        if self.category is not None and categories is not None:
            parts.append(self.category(categories).flatten(1))
        if self.several is not None and several is not None:
            there = (several > 0).to(mean.dtype)[..., None]  # [n, s, m, 1]
            sums = (self.several(several) * there).sum(2)
            parts.append((sums / there.sum(2).clamp_min(1)).flatten(1))
        if numbers is not None:
            parts.append(numbers)
        if texts is not None:
            parts.append(texts)
        features = torch.tanh(self.last(torch.tanh(self.hidden(torch.cat(parts, 1)))))
        return torch.cat([features, (mean if log_q is None else mean - log_q)[:, None]], 1)


@dataclass(frozen=True)
class SkipHead(Model):
    """[n, inputs] -> [n, 1]: the last input, an item's mean, and what is made of the others, which begins with 0."""

    inputs: Annotated[int, Within(2)] = 17
    hidden: tuple[Count, ...] = ()

    def build(self) -> nn.Module:
        return _SkipHead(self)


class _SkipHead(nn.Module):
    def __init__(self, of: SkipHead):
        super().__init__()
        layers: list[nn.Module] = []
        for m, n in pairwise((of.inputs - 1, *of.hidden, 1)):
            layers += [nn.Linear(m, n), nn.Tanh()]
        self.beside = nn.Sequential(*layers[:-1])
        last: nn.Linear = layers[-2]  # type: ignore[assignment]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1:] + self.beside(x[:, :-1])


@dataclass(frozen=True)
class RatingNetwork(Model):
    """A rating from the encoder's dict, [n, 1], for learners that adapt one whole network."""

    encoder: RatingEncoder = RatingEncoder()
    head: SkipHead = SkipHead()

    def build(self) -> nn.Module:
        return _RatingNetwork(self.encoder.build(), self.head.build())


class _RatingNetwork(nn.Module):
    def __init__(self, encoder: nn.Module, head: nn.Module):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, **x: Tensor) -> Tensor:
        return self.head(self.encoder(**x))


def _table(rows: int, length: int) -> nn.Embedding:
    table = nn.Embedding(rows, length)
    nn.init.normal_(table.weight, std=0.1)
    return table
