"""What `suggest` is worth against labels drawn at random, and which wrong labels `evaluate` finds.

`python -m benchmarks.labels`. Twenty classes of BANKING77, CLINC150 and Tiny ImageNet, drawn anew twenty times. For
suggestions two examples of each class are taught, then 40 labels are asked for in four rounds, of half of the other
examples; the other half is asked. For wrong labels ten examples of each are taught, one in twenty with another class.

What comes out is kept in `labels.json`; `docs/guide/encoders.md` tells it.
"""

import io
import json
import math
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.heads import banking77, clinc150
from innerloop.core.interval import SHARES, interval
from innerloop.fewshot.classifier import FewShotClassifier, Rows
from innerloop.fewshot.evaluation import cross_validate
from innerloop.fewshot.suggestions import suggest
from innerloop.tasks.cache import data_folder

PLACE = Path(__file__).with_name("labels.json")
DRAWS, WAYS = 20, 20
BEGIN, ROUND, ROUNDS = 2, 10, 4
TAUGHT, WRONG, LOOKED = 10, 0.05, 0.1
EVERY, PICTURES = 5, 60
"""Of the 200 classes of Tiny ImageNet every fifth, and so many pictures of each: 30 ms a picture."""

Data = tuple[Tensor, Tensor]


def texts(load: Callable[[], Any]) -> Data:
    """Rows of all sentences, and their classes."""
    train, test = load()
    both = [*train, *test]
    names = sorted({label for _, label in both})
    x = FewShotClassifier("use-multilingual").rows([text for text, _ in both])
    return x, torch.tensor([names.index(label) for _, label in both])


def photographs() -> Data:
    """Likewise of Tiny ImageNet."""
    from PIL import Image

    data = np.load(data_folder() / "tiny_imagenet" / "tiny_imagenet_200x100.npz")
    labels, jpeg, offsets = data["labels"], data["jpeg"], data["offsets"]
    chosen = np.concatenate([np.flatnonzero(labels == c)[:PICTURES] for c in range(0, labels.max() + 1, EVERY)])
    pictures = [Image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes())) for i in chosen]
    return FewShotClassifier("efficientnet-lite0").rows(pictures), torch.from_numpy(labels[chosen] // EVERY).long()


SOURCES: dict[str, tuple[str, Callable[[], Data]]] = {
    "BANKING77": ("use-multilingual", lambda: texts(banking77)),
    "CLINC150": ("use-multilingual", lambda: texts(clinc150)),
    "Tiny ImageNet": ("efficientnet-lite0", photographs),
}


def drawn(y: Tensor, seed: int) -> list[Tensor]:
    """Places of the examples of some classes, in random order."""
    g = torch.Generator().manual_seed(seed)
    places = [(y == c).nonzero()[:, 0] for c in torch.randperm(int(y.max()) + 1, generator=g)[:WAYS]]
    return [some[torch.randperm(len(some), generator=g)] for some in places]


def gains(source: str, x: Tensor, y: Tensor, seed: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Accuracy before and after every round, with suggestions and at random."""
    classes = drawn(y, seed)
    first = torch.cat([places[:BEGIN] for places in classes])
    offered = torch.cat([places[BEGIN : len(places) // 2] for places in classes]).tolist()
    asked = torch.cat([places[len(places) // 2 :] for places in classes])
    g = torch.Generator().manual_seed(seed)
    scores: dict[str, list[float]] = {}
    for way in ("suggested", "random"):
        classifier = FewShotClassifier(source).fit(Rows(x[first]), y[first])
        pool = list(offered)
        scores[way] = [classifier.score(Rows(x[asked]), y[asked])]
        for _ in range(rounds):
            if way == "suggested":
                chosen = [pool[one.index] for one in suggest(classifier, Rows(x[pool]), ROUND)]
            else:
                chosen = [pool[i] for i in torch.randperm(len(pool), generator=g)[:ROUND]]
            classifier.partial_fit(Rows(x[chosen]), y[chosen])
            pool = [i for i in pool if i not in chosen]
            scores[way].append(classifier.score(Rows(x[asked]), y[asked]))
    return scores


def flips(source: str, x: Tensor, y: Tensor, seed: int) -> float:
    """Share of wrong labels in the first tenth of the list of wrong answers."""
    rows = torch.cat([places[:TAUGHT] for places in drawn(y, seed)])
    truth = torch.arange(WAYS).repeat_interleave(TAUGHT)
    g = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(truth), generator=g)[: round(WRONG * len(truth))]
    labels = truth.clone()
    labels[wrong] = (truth[wrong] + 1 + torch.randint(WAYS - 1, (len(wrong),), generator=g)) % WAYS
    classifier = FewShotClassifier(source).fit(Rows(x[rows]), labels)
    # Rows of the task are in the order of classes, of each in the order in which they were taught.
    order = labels.argsort(stable=True).tolist()
    members = classifier.task.history.members()
    list_ = cross_validate(classifier).errors[: math.ceil(LOOKED * len(truth))]
    seen = {order[members[int(e.truth)][(e.number or 0) - 1]] for e in list_}
    return len(seen & set(wrong.tolist())) / len(wrong)


def percent(values: list[float]) -> dict[str, float]:
    about = interval(values, SHARES)
    return {"mean": 100 * about.mean, "ci95": 100 * about.ci95}


def differences(scores: list[dict[str, list[float]]], after: int) -> dict[str, float]:
    """Paired, with a 95% interval over draws."""
    each = [100 * (one["suggested"][after] - one["random"][after]) for one in scores]
    return {"mean": statistics.mean(each), "ci95": 1.96 * statistics.stdev(each) / math.sqrt(len(each))}


def measure(name: str) -> dict[str, Any]:
    source, load = SOURCES[name]
    x, y = load()
    scores = [gains(source, x, y, seed) for seed in range(DRAWS)]
    labels = {
        str(ROUND * i): {way: percent([one[way][i] for one in scores]) for way in ("suggested", "random")}
        | {"difference": differences(scores, i)}
        for i in range(ROUNDS + 1)
    }
    found = percent([flips(source, x, y, seed) for seed in range(DRAWS)])
    return {"encoder": source, "labels": labels, "wrong labels": found}


def main() -> None:
    torch.set_num_threads(1)
    kept: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": DRAWS}
    for name in SOURCES:
        kept[name] = measure(name)
        print(name, json.dumps(kept[name]), flush=True)
    PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
