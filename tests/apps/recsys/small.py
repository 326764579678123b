"""Runs on a small table, of ratings with titles and of what was taken, for tests of what recommends."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from innerloop.runs import build, defaults
from tests.tasks.ratings.made import made


def trained(folder: Path) -> Path:
    """The run folder; its data lie beside it, as CSV files of ratings and of items."""
    table = made()
    with (folder / "made.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item", "rating"])
        for u, i, v in zip(table.users, table.items, table.values, strict=True):
            writer.writerow([table.user_names[u], table.item_names[i], v])
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "title", "kind"])
        for name, kind in zip(table.item_names, table.item_features.categories["kind"], strict=True):
            writer.writerow([name, f"Film {name[1:]}", kind])
    usual = defaults("alpaca", str(folder / "made.csv"))
    task = replace(usual.task, product_features=str(folder / "items.csv"))
    train = replace(usual.train, steps=60, meta_batch_size=8, meta_lr=0.02, plan="vmap", unchecked=True)
    with pytest.warns(UserWarning, match="categories: kind"):
        build(replace(usual, task=task, train=train)).meta_train(folder / "run")
    return folder / "run"


def taking(folder: Path) -> Path:
    """The run folder of anil on what was rated 4 or more; its data lie beside it."""
    table = made()
    with (folder / "taken.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item"])
        for u, i in zip(table.users[table.values >= 4], table.items[table.values >= 4], strict=True):
            writer.writerow([table.user_names[u], table.item_names[i]])
    usual = defaults("anil", str(folder / "taken.csv"))
    task = replace(usual.task, implicit=True, shots=3, at_least=4)
    train = replace(usual.train, steps=20, meta_batch_size=8, plan="vmap", unchecked=True)
    build(replace(usual, task=task, train=train)).meta_train(folder / "taken")
    return folder / "taken"
