"""Runs on a small table, of ratings with titles and of what was taken, for tests of what recommends."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from innerloop.runs import build, defaults
from innerloop.tasks.ratings.table import Ratings
from tests.tasks.ratings.made import made


def trained(folder: Path, title: str = "Film", step: float = 1.0, users: bool = False) -> Path:
    """The run folder; its data lie beside it, as CSV files of ratings, multiples of a step, of items and of users."""
    table = made()
    with (folder / "made.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item", "rating"])
        for u, i, v in zip(table.users, table.items, table.values, strict=True):
            writer.writerow([table.user_names[u], table.item_names[i], v * step])
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "title", "kind"])
        for name, kind in zip(table.item_names, table.item_features.categories["kind"], strict=True):
            writer.writerow([name, f"{title} {name[1:]}", kind])
    usual = defaults("alpaca", str(folder / "made.csv"))
    task = replace(usual.task, product_features=str(folder / "items.csv"))
    if users:
        task = replace(task, user_features=str(_of_users(folder / "users.csv", table)))
    train = replace(usual.train, steps=60, meta_batch_size=8, meta_lr=0.02, plan="vmap", unchecked=True)
    with pytest.warns(UserWarning, match="categories: kind"):
        build(replace(usual, task=task, train=train)).meta_train(folder / "run")
    return folder / "run"


def _of_users(path: Path, table: Ratings) -> Path:
    """Who likes a kind of items lives in a town of its own, where some are members of a club; nobody knows all ages."""
    kinds = np.array(table.item_features.categories["kind"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "town", "clubs", "age"])
        for i, name in enumerate(table.user_names):
            rows = table.users == i
            mean = {kind: table.values[rows & (kinds[table.items] == kind)].mean() for kind in "ab"}
            clubs = ("chess", "chess|boats", "boats|drama")[i % 3]
            writer.writerow([name, "Ash" if mean["a"] > mean["b"] else "Bray", clubs, i % 50 or ""])
    return path


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
