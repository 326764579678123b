"""Which features of an item count: how far what is foreseen changes where each of them is not known."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from innerloop.core.aligned import from_numpy
from innerloop.tasks.ratings.encoding import Encoding, Rows
from innerloop.tasks.ratings.table import Ratings

_MOST, _LENGTH = 2, 40
Reasons = tuple[tuple[str, float], ...]
"""Features as `column: value`, and what each adds."""


def features_that_count(
    table: Ratings, encoding: Encoding, items: list[int], answer: Callable[[dict[str, Tensor]], Tensor]
) -> list[Reasons]:
    """For each item the features that raise it most, the strongest first; empty where nothing does.

    Args:
        table: With the features of its items.
        encoding: Of the table.
        items: Positions.
        answer: From inputs [n, ...] to what is foreseen, [n].
    """
    rows, at = encoding.rows(None, np.array(items)), range(len(items))
    before, reasons = answer(_tensors(rows)), [[] for _ in items]
    for column, hidden, cells in _columns(table, encoding, rows, items):
        less = before - answer(_tensors(hidden))
        for i in at:
            if cells[i]:
                reasons[i].append((f"{column}: {cells[i]}", float(less[i])))
    return [tuple(sorted((one for one in some if one[1] > 0), key=lambda one: -one[1])[:_MOST]) for some in reasons]


def _columns(table: Ratings, encoding: Encoding, rows: Rows, items: list[int]) -> list[tuple[str, Rows, list[str]]]:
    """Every column of the items' features: its name, the inputs without it, and what its cells say."""
    own, of_users = table.item_features, table.user_features
    columns: list[tuple[str, Rows, list[str]]] = []
    for k, (name, cells) in enumerate(own.categories.items(), len(of_users.categories)):
        columns.append((name, _without(rows, "categories", k, encoding.single.starts[k]), [cells[i] for i in items]))
    for k, (name, sets) in enumerate(own.several.items(), len(of_users.several)):
        columns.append((name, _without(rows, "several", k, 0), [", ".join(sets[i]) for i in items]))
    for k, (name, numbers) in enumerate(own.numbers.items(), len(of_users.numbers)):
        known = [f"{numbers[i]:g}" if np.isfinite(numbers[i]) else "" for i in items]
        columns.append((name, _without(rows, "numbers", k, 0), known))
    if "texts" in rows:
        hidden = rows | {"texts": np.zeros_like(rows["texts"])}
        columns.append(("text", hidden, [_short(words) for words in map(table.words.__getitem__, items)]))
    return columns


def _without(rows: Rows, name: str, column: int, value: float) -> Rows:
    array = rows[name].copy()
    array[:, column] = value
    return rows | {name: array}


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _tensors(rows: Rows) -> dict[str, Tensor]:
    return {name: from_numpy(values) for name, values in rows.items()}
