"""What names of classes add to a few examples of each. `python -m benchmarks.names use-multilingual minilm`.

BANKING77, 77 classes, and CLINC150, 150 classes: 0, 1, 2, 5 and 10 examples each of their training sentences, with
names and without, head `auto`, on their whole official tests; then classes that are called "class 1", "class 2", ...
Five draws; nothing is chosen by a test sentence. `--weights` shows what the constants rest on: what a name should count
as, when names cost, and the temperature of single examples, on training sentences held out.

What comes out is kept in `names.json`; `docs/guide/encoders.md` tells it.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.heads import DRAWS, banking77, clinc150, draw
from innerloop.core.dry_run import support
from innerloop.core.interval import SHARES, difference, interval
from innerloop.core.learner import Learner
from innerloop.evaluate.calibration import expected_calibration_error, fit_temperature
from innerloop.fewshot import class_names, heads
from innerloop.fewshot.class_names import Named
from innerloop.fewshot.settings import Names
from innerloop.fewshot.sources import source
from innerloop.fewshot.support import Support
from innerloop.learners.baselines.logistic_regression import LogisticRegression
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.closed_form.ridge_discriminant import RidgeDiscriminant

PLACE = Path(__file__).with_name("names.json")
SHOTS = (0, 1, 2, 5, 10)
WEIGHTS = (0, 1, 2, 3, 5)
_HELD_OUT = 1500
"""Training sentences by which weights are compared."""


class Sentences(NamedTuple):
    """A data set as an encoder sees it."""

    classes: list[str]
    named: Named
    numbered: Named
    """The same classes, called by numbers."""
    x: Tensor
    y: Tensor
    asked: Tensor
    truth: Tensor


def encoded(name: str, dataset: str) -> Sentences:
    """Rows of all sentences and names."""
    train, test = {"banking77": banking77, "clinc150": clinc150}[dataset]()
    classes = sorted({label for _, label in train})
    about = source(name)
    assert about.encoder is not None
    named = class_names.completed(None, about, classes)
    numbers = class_names.completed(None, about, [f"class {i}" for i in range(len(classes))])
    assert named is not None and numbers is not None
    y, truth = (torch.tensor([classes.index(label) for _, label in part]) for part in (train, test))
    x, asked = (about.encoder.encode([text for text, _ in part]) for part in (train, test))
    return Sentences(classes, named, Named(tuple(classes), numbers.rows), x, y, asked, truth)


def accuracy(learner: Learner, given: Support, data: Sentences) -> float:
    """Of a learner that saw a support, on the test."""
    adapted = learner.adapt({}, support(given.x, given.y, len(data.classes)))
    return float((learner.predict({}, adapted, data.asked).argmax(1) == data.truth).double().mean())


def measure(data: Sentences, shots: int, names: Names, named: Named) -> dict[str, Any]:
    """Accuracy over the draws, how often names were used, and the heads that `auto` took."""
    scores, used, taken, reasons = [], 0, [], []
    for seed in range(DRAWS if shots else 1):
        places = draw(data.y, shots, seed)
        given, use = Support(data.x[places], data.y[places]), None
        if names != "off":
            given, use = class_names.joined(names, given, data.classes, named)
        learner, choice = heads.choose("auto", given, len(data.classes))
        scores.append(accuracy(learner, given, data))
        used += use is not None and use.used
        taken.append(choice.head)
        reasons.append(choice.reason if use is None else f"{choice.reason}; {use.reason}")
    about = interval(scores, SHARES) if shots else None
    mean, ci95 = (scores[0], None) if about is None else (about.mean, 100 * about.ci95)
    return {"mean": 100 * mean, "ci95": ci95, "used": used, "taken": taken, "why": reasons[0], "scores": scores}


def compare(data: Sentences) -> dict[str, Any]:
    """With names, without, and with names that mean nothing."""
    results: dict[str, Any] = {}
    for shots in SHOTS:
        kinds: Sequence[tuple[str, Names, Named]] = [("auto", "auto", data.named), ("off", "off", data.named)]
        if shots in (1, 5):
            kinds = [*kinds, ("numbers, auto", "auto", data.numbered), ("numbers, on", "on", data.numbered)]
        for kind, names, named in kinds if shots else kinds[:1]:
            results[f"{shots} {kind}"] = measure(data, shots, names, named)
        if shots:
            gain = difference(results[f"{shots} auto"]["scores"], results[f"{shots} off"]["scores"])
            results[f"{shots} auto"] |= {"gain": 100 * gain.mean, "gain_ci95": 100 * gain.ci95}
        for key in [key for key in results if key.startswith(f"{shots} ")]:
            print(key, json.dumps(results[key] | {"scores": None}), flush=True)
    return results


def held_out(data: Sentences) -> Sentences:
    """The data with training sentences in place of its test."""
    order = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(5))
    asked, taught = order[:_HELD_OUT], order[_HELD_OUT:].sort().values
    return data._replace(x=data.x[taught], y=data.y[taught], asked=data.x[asked], truth=data.y[asked])


def some(data: Sentences, ways: int, seed: int) -> Sentences:
    """So many of its classes."""
    chosen = torch.randperm(len(data.classes), generator=torch.Generator().manual_seed(seed))[:ways].sort().values
    taught, asked = (torch.isin(labels, chosen) for labels in (data.y, data.truth))
    classes = [data.classes[i] for i in chosen]
    return data._replace(
        classes=classes,
        named=Named(tuple(classes), data.named.rows[chosen]),
        x=data.x[taught],
        y=torch.searchsorted(chosen, data.y[taught]),
        asked=data.asked[asked],
        truth=torch.searchsorted(chosen, data.truth[asked]),
    )


def wrong(data: Sentences) -> None:
    """What names cost of which some stand at wrong classes: one example each, centroids, on training sentences."""
    for ways in (5, 20, len(data.classes)):
        for share in (0.0, 0.2, 0.4, 0.6, 1.0):
            found, gain = [], []
            for seed in range(6):
                part = some(data, ways, seed)
                g = torch.Generator().manual_seed(seed)
                moved, rows = torch.randperm(ways, generator=g)[round(share * ways) :], part.named.rows.clone()
                rows[moved] = rows[moved.roll(1)]
                places = draw(part.y, 1, seed)
                plain = Support(part.x[places], part.y[places])
                named, use = class_names.joined("on", plain, part.classes, Named(tuple(part.classes), rows))
                learner = NearestCentroid(distance="cosine")
                gain.append(accuracy(learner, named, part) - accuracy(learner, plain, part))
                found.append(use.found / use.examples)
            print(
                f"{ways} classes, {100 * share:.0f}% of names right: {100 * sum(found) / 6:.1f}% of examples find "
                f"their class by names alone, which add {100 * sum(gain) / 6:.1f} points",
                flush=True,
            )


def temperatures(data: Sentences) -> None:
    """The temperature of `linear` on single examples with names, fitted on training sentences held out."""
    for ways in (3, 5, 20, len(data.classes)):
        logits, labels = [], []
        for seed in range(8):
            part = some(data, ways, seed)
            places = draw(part.y, 1, seed)
            given, _ = class_names.joined("on", Support(part.x[places], part.y[places]), part.classes, part.named)
            learner = LogisticRegression()
            adapted = learner.adapt({}, support(given.x, given.y, ways))
            logits.append(learner.predict({}, adapted, part.asked).double())
            labels.append(part.truth)
        z, y = torch.cat(logits), torch.cat(labels)
        best = torch.softmax(z / 0.33, 1).max(1)
        error = expected_calibration_error(best.values, best.indices == y)
        print(f"{ways} classes: temperature {fit_temperature(z, y):.2f}, error at 0.33 {100 * error:.1f}%", flush=True)


def weights(data: Sentences) -> None:
    """What a name should count as: heads with fixed hyper-parameters, on training sentences."""
    learners: dict[str, Learner] = {
        "centroid": NearestCentroid(distance="cosine"),
        "ridge": RidgeDiscriminant(),
        "linear": heads.quick(LogisticRegression()),
    }
    every = torch.arange(len(data.classes))
    for shots in SHOTS[1:]:
        for weight in WEIGHTS:
            scores: dict[str, list[float]] = {head: [] for head in learners}
            for seed in range(2):
                places = draw(data.y, shots, seed)
                x = torch.cat([data.x[places], *weight * [data.named.rows]])
                y = torch.cat([data.y[places], *weight * [every]])
                for head, learner in learners.items():
                    scores[head].append(accuracy(learner, Support(x, y), data))
            shares = ", ".join(f"{head} {50 * sum(each):.1f}" for head, each in scores.items())
            print(f"{shots} examples, a name counts as {weight}: {shares}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="+", help="encoders of texts")
    parser.add_argument("--weights", action="store_true", help="on what the constants rest; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    for name in options.encoders:
        about: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": DRAWS}
        for dataset in ("banking77", "clinc150"):
            print(name, dataset, flush=True)
            data = encoded(name, dataset)
            if options.weights:
                for work in (weights, wrong, temperatures):
                    work(held_out(data))
            else:
                about[dataset] = compare(data)
        if not options.weights:
            kept[name] = about
            PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
