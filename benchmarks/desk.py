"""The support desk: passages found for questions, intents of customers in two languages. `python -m benchmarks.desk`.

Questions: the 60 of `docs/guide/support/questions.csv` on the documents beside them, half to choose the threshold by
and half to test it: recall at 1 and 5, questions that are answered rightly, and answers to questions that nothing
answers.

Intents: the 12 x 10 sentences a language of `docs/guide/support/intents.csv`, written by hand. Draws of classes, shots
of a language, five questions a class of a language; every source is asked the same draws. Intervals are over draws.

What comes out is kept in `desk.json`; `docs/guide/support.md` tells it.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks import machine
from innerloop.apps.text.desk import passages
from innerloop.apps.text.desk.opening import indexed
from innerloop.apps.text.desk.settings import NEAR
from innerloop.core import random
from innerloop.core.dry_run import support
from innerloop.core.interval import Interval, difference, interval
from innerloop.fewshot.sources import Source, source

PLACE = Path(__file__).with_name("desk.json")
DESK = Path(__file__).parents[1] / "docs" / "guide" / "support"
DRAWS = 600
QUERIES = 5
SETTINGS = (
    # ways, shots, language that is taught, language that is asked
    (5, 1, "zh", "zh"),
    (5, 3, "zh", "zh"),
    (12, 1, "zh", "zh"),
    (12, 3, "zh", "zh"),
    (5, 1, "en", "en"),
    (5, 1, "en", "zh"),
    (5, 1, "zh", "en"),
    (5, 5, "zh", "zh"),
    (5, 5, "en", "zh"),
    (5, 5, "zh", "en"),
)


def table(name: str) -> list[dict[str, str]]:
    with (DESK / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def questions(about: Source, part: str) -> dict[str, Any]:
    """What a search finds for half of the questions."""
    assert about.encoder is not None
    known = passages.read(DESK / "documents")
    index = indexed(about, known)
    asked = [row for row in table("questions.csv") if row["part"] == part]
    rows = about.encoder.encode([row["text"] for row in asked])
    first, five, answered, false = [], [], [], []
    for row, question in zip(asked, rows, strict=True):
        hits = index.search(row["text"], question)
        near = hits[0].similarity >= NEAR
        if not row["passage"]:
            false.append(near)
            continue
        right = [row["passage"] in known[hit.place].text for hit in hits]
        first.append(right[0])
        five.append(any(right))
        answered.append(near and right[0])
    return {
        "questions": len(first),
        "recall@1": sum(first),
        "recall@5": sum(five),
        "answered rightly": sum(answered),
        "unanswerable": len(false),
        "answered though": sum(false),
    }


def scores(about: Source, x: dict[str, Tensor], setting: tuple[int, int, str, str]) -> list[float]:
    """Accuracy on every draw.

    Args:
        about: What is taught.
        x: [classes, sentences, features] by language.
        setting: One of `SETTINGS`.
    """
    ways, shots, taught, asked = setting
    results = []
    for i in range(DRAWS):
        key = random.mix(0, i)
        classes = random.permutation(random.fold(key, 0), len(x[taught]))[:ways]
        order = random.permutation(random.fold(key, 1), x[taught].shape[1])
        given, wanted = x[taught][classes][:, order[:shots]], x[asked][classes][:, order[shots : shots + QUERIES]]
        y = torch.arange(ways)
        adapted = about.learner.adapt(about.params, support(given.flatten(0, 1), y.repeat_interleave(shots), ways))
        said = about.learner.predict(about.params, adapted, wanted.flatten(0, 1)).argmax(-1)
        results.append(float((said == y.repeat_interleave(QUERIES)).double().mean()))
    return results


def sentences(name: str) -> dict[str, Tensor]:
    """[classes, sentences, features] of the table by language."""
    rows = table("intents.csv")
    classes = sorted({row["label"] for row in rows})
    encoder = source(name).encoder
    assert encoder is not None
    return {
        language: torch.stack(
            [
                encoder.encode([row["text"] for row in rows if (row["label"], row["language"]) == (label, language)])
                for label in classes
            ]
        )
        for language in ("en", "zh")
    }


def compared(names: Sequence[str], x: dict[str, Tensor]) -> list[dict[str, Any]]:
    """Every setting with every source, and the differences to the first one; `x` as of `scores`."""
    sources, results = [source(name) for name in names], []
    for setting in SETTINGS:
        with torch.no_grad():
            each = [torch.tensor(scores(about, x, setting)) for about in sources]
        row: dict[str, Any] = dict(zip(("ways", "shots", "taught", "asked"), setting, strict=True))
        for name, one in zip(names, each, strict=True):
            row[name] = interval(100 * one, (0.0, 100.0))
            if name != names[0]:
                row[f"{name} - {names[0]}"] = difference(100 * one, 100 * each[0])
        results.append(row)
    return results


def told(results: Sequence[dict[str, Any]]) -> None:
    """Print them for people."""
    for row in results:
        words = {k: f"{v.mean:.1f} ± {v.ci95:.1f}" if isinstance(v, Interval) else v for k, v in row.items()}
        Console(highlight=False).print(words, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["use-multilingual"], help="what is taught; one encoder")
    names = parser.parse_args().sources
    found = {part: questions(source(names[0]), part) for part in ("choose", "test")}
    rows = compared(names, sentences(names[0]))
    content = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": DRAWS}
    PLACE.write_text(json.dumps(content | {"questions": found, "intents": rows}, indent=2, ensure_ascii=False) + "\n")
    console = Console(highlight=False)
    for part, one in found.items():
        console.print(part, one)
    told(rows)


if __name__ == "__main__":
    main()
