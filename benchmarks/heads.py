"""What each head of a frozen text encoder reaches. `python -m benchmarks.heads use-multilingual minilm`.

BANKING77, 77 classes, 5, 10 and 50 examples each of its training file, its whole test file; CLINC150, 150 classes, 10
examples each of its training sentences, its 4,500 test sentences. Five draws; nothing is chosen by a test sentence.

What comes out is kept in `heads.json`; `docs/guide/encoders.md` tells it.
"""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.core.dry_run import support
from innerloop.core.interval import SHARES, interval
from innerloop.fewshot import heads
from innerloop.fewshot.sources import source
from innerloop.fewshot.support import Support
from innerloop.tasks.cache import data_folder

PLACE = Path(__file__).with_name("heads.json")
DRAWS = 5
SHOTS = {"banking77": (5, 10, 50), "clinc150": (10,)}
EVERY: tuple[heads.Head, ...] = (*heads.SIMPLEST_FIRST, "auto")
Sentences = Sequence[tuple[str, str]]


def banking77() -> tuple[Sentences, Sentences]:
    """Training and test sentences with their classes."""

    def part(name: str) -> Sentences:
        with (data_folder() / "banking77" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    return part("train"), part("test")


def clinc150() -> tuple[Sentences, Sentences]:
    """Likewise."""
    data = json.loads((data_folder() / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    return [(text, label) for text, label in data["train"]], [(text, label) for text, label in data["test"]]


def draw(labels: Tensor, shots: int, seed: int) -> Tensor:
    """[n] places of so many examples of each class, or of all where there are fewer."""
    g = torch.Generator().manual_seed(seed)
    places = [(labels == c).nonzero()[:, 0] for c in range(int(labels.max()) + 1)]
    return torch.cat([some[torch.randperm(len(some), generator=g)[:shots]] for some in places])


def measure(name: str, dataset: str) -> dict[str, Any]:
    """Accuracy of every head, what `auto` took, and the processor seconds of choosing and fitting."""
    train, test = {"banking77": banking77, "clinc150": clinc150}[dataset]()
    classes = sorted({label for _, label in train})
    y, asked = (torch.tensor([classes.index(label) for _, label in part]) for part in (train, test))
    chosen = {(shots, seed): draw(y, shots, seed) for shots in SHOTS[dataset] for seed in range(DRAWS)}
    encoder = source(name).encoder
    assert encoder is not None
    needed = sorted({place for places in chosen.values() for place in places.tolist()})
    rows = torch.zeros(len(train), encoder.features or 0)
    rows[needed] = encoder.encode([train[place][0] for place in needed])
    queries = encoder.encode([text for text, _ in test])
    results: dict[str, Any] = {}
    for shots in SHOTS[dataset]:
        for head in EVERY:
            scores, seconds, taken = [], [], []
            for seed in range(DRAWS):
                x, labels = rows[chosen[shots, seed]], y[chosen[shots, seed]]
                begin = time.process_time()
                learner, choice = heads.choose(head, Support(x, labels), len(classes))
                adapted = learner.adapt({}, support(x, labels, len(classes)))
                seconds.append(time.process_time() - begin)
                scores.append(float((learner.predict({}, adapted, queries).argmax(1) == asked).double().mean()))
                taken.append(choice.head)
            about = interval(scores, SHARES)
            results[f"{shots} {head}"] = {
                "mean": 100 * about.mean,
                "ci95": 100 * about.ci95,
                "seconds": sum(seconds) / DRAWS,
                "taken": taken,
            }
            print(name, dataset, shots, head, json.dumps(results[f"{shots} {head}"]), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="encoders of texts")
    torch.set_num_threads(1)
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    for name in parser.parse_args().names:
        kept[name] = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": DRAWS}
        kept[name] |= {dataset: measure(name, dataset) for dataset in SHOTS}
        PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
