"""Where tuning an encoder to a task pays. `python -m benchmarks.tuning minilm efficientnet-lite0 kanji-protonet`.

Sentences are drawn from the training files of BANKING77 and CLINC150 and asked from their test files, photographs from
Tiny ImageNet, drawings from the test characters of Omniglot. Names of classes are learned from where they say much,
as is usual. The tuned encoder is measured whether it would be taken or not, so that the choice can be judged: it was
right where what it took is at least as good. How tuning goes was chosen on training sentences of BANKING77.

What comes out is kept in `tuning.json`; `docs/guide/encoders.md` tells it.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import machine
from benchmarks.heads import banking77, clinc150, draw
from innerloop.core.interval import SHARES, interval
from innerloop.fewshot import tune
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.support import by_class
from innerloop.tasks.cache import data_folder
from innerloop.tasks.datasets.omniglot import omniglot
from innerloop.tasks.npz import load

PLACE = Path(__file__).with_name("tuning.json")
DRAWS, ASKED = 3, 1000
SECONDS = 1200.0


class Task(NamedTuple):
    """One draw."""

    support: tuple[Any, list[str]]
    query: tuple[Any, list[str]]


class Setting(NamedTuple):
    """Where draws come from."""

    data: str
    ways: int
    shots: int


SETTINGS = {
    "minilm": (Setting("banking77", 77, 5), Setting("banking77", 77, 10), Setting("clinc150", 30, 5)),
    "efficientnet-lite0": (Setting("tiny-imagenet", 5, 10),),
    "kanji-protonet": (Setting("omniglot", 20, 5),),
}
Examples = tuple[list[Any], list[str]]


def _sentences(read: Callable[[], tuple[Any, Any]]) -> tuple[Examples, Examples]:
    train, test = read()
    return ([x for x, _ in train], [y for _, y in train]), ([x for x, _ in test], [y for _, y in test])


def _photographs() -> tuple[Examples, Examples]:
    """The first half of each class's photographs, and the second."""
    data = load(data_folder() / "tiny_imagenet" / "tiny_imagenet_200x100.npz")
    ends, content = data["offsets"].tolist(), data["jpeg"].tobytes()
    pictures = [content[a:b] for a, b in itertools.pairwise(ends)]
    labels = [f"class {label}" for label in data["labels"].tolist()]
    half = [i % 100 < 50 for i in range(len(pictures))]
    parts = [[i for i, first in enumerate(half) if first is wanted] for wanted in (True, False)]
    first, second = (([pictures[i] for i in part], [labels[i] for i in part]) for part in parts)
    return first, second


def _drawings() -> tuple[Examples, Examples]:
    """Likewise of characters that stand upright."""
    pool = omniglot(rotations=False).test
    parts = []
    for some in (slice(0, 10), slice(10, 20)):
        rows = [row for drawings in pool.data for row in drawings[some]]
        parts.append((rows, [name for name in pool.names for _ in range(10)]))
    return parts[0], parts[1]


SOURCES: dict[str, Callable[[], tuple[Examples, Examples]]] = {
    "banking77": lambda: _sentences(banking77),
    "clinc150": lambda: _sentences(clinc150),
    "tiny-imagenet": _photographs,
    "omniglot": _drawings,
}


def drawn(setting: Setting, seed: int) -> Task:
    """So many examples of so many classes, and at most `ASKED` others of them."""
    (x, y), (asked, truth) = SOURCES[setting.data]()
    every = sorted(set(y))
    g = torch.Generator().manual_seed(seed)
    chosen = {every[i] for i in torch.randperm(len(every), generator=g)[: setting.ways].tolist()}
    of = [i for i, label in enumerate(y) if label in chosen]
    names = sorted(chosen)
    labels = torch.tensor([names.index(y[i]) for i in of])
    places = [of[i] for i in draw(labels, setting.shots, seed).tolist()]
    others = [i for i, label in enumerate(truth) if label in chosen]
    others = [others[i] for i in torch.randperm(len(others), generator=g)[:ASKED].tolist()]
    return Task(
        (_stacked([x[i] for i in places]), [y[i] for i in places]),
        (_stacked([asked[i] for i in others]), [truth[i] for i in others]),
    )


def _stacked(examples: list[Any]) -> Any:
    return torch.stack(examples) if isinstance(examples[0], torch.Tensor) else examples


def measure(name: str, setting: Setting) -> dict[str, Any]:
    """Accuracy of the encoder as it comes and tuned, what held-out examples said, and the seconds that it took."""
    draws = []
    for seed in range(DRAWS):
        (x, y), query = drawn(setting, seed)
        frozen = FewShotClassifier(name).fit(x, y)
        before = frozen.score(*query)
        start = time.perf_counter()
        # Taken always, so that what would not be is measured as well.
        task = tune.tuned(frozen.task, tune.given(x, frozen.task.source, by_class(y)), SECONDS, always=True)
        seconds = time.perf_counter() - start
        tuned = frozen.holding(task)
        tuning = tuned.task.source.tuning
        assert tuning is not None and tuning.accuracy is not None, tuning
        after = tuned.score(*query)
        taken = tune.clearly_better(tuning.gained, tuning.lost)
        right = after >= before if taken else after <= before
        told = {"frozen": before, "tuned": after, "taken": taken, "right": right, "held_out": list(tuning.accuracy)}
        draws.append(told | {"seconds": seconds, "steps": tuning.steps, "temperature": tuned.calibration_.temperature})
        print(name, *setting, json.dumps(draws[-1]), flush=True)
    about = {
        key: interval([score(one) for one in draws], SHARES)
        for key, score in {
            "frozen": lambda one: one["frozen"],
            "tuned": lambda one: one["tuned"],
            "gain": lambda one: one["tuned"] - one["frozen"],
        }.items()
    }
    shown = {key: {"mean": 100 * one.mean, "ci95": 100 * one.ci95} for key, one in about.items()}
    return shown | {"draws": draws}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(SETTINGS), help="encoders and runs")
    parser.add_argument("--only", default="", help="part of what a setting is called, such as 'banking77 77 5'")
    options = parser.parse_args()
    for name in options.names:
        for setting in (one for one in SETTINGS[name] if options.only in " ".join(map(str, one))):
            kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
            about = {"date": date.today().isoformat(), "machine": machine.describe(), "seconds": SECONDS}
            kept[f"{name} {' '.join(map(str, setting))}"] = about | measure(name, setting)
            PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
