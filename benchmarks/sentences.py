"""Sentences classified a second, as a ratio to the bare encoder on the same texts. `python -m benchmarks.sentences`.

A task of 20 CLINC150 intents with ten sentences each, and 8,000 further sentences. In turns: the encoder alone; the
library's `predict`; the command line, `innerloop predict FILE IN.jsonl --out OUT.jsonl`, a process with all its start,
and beside it a process that only loads the encoder and encodes. HTTP with 32 clients is measured by
`benchmarks.serve`. What comes out is kept in `sentences.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.heads import clinc150
from benchmarks.results import Spread
from innerloop.encoders import named
from innerloop.fewshot.classifier import FewShotClassifier

PLACE = Path(__file__).with_name("sentences.json")
INTENTS, EACH, ASKED = 20, 10, 8_000
_BARE = (
    "import json, sys\nfrom innerloop.encoders import named\n"
    "named(sys.argv[1]).encode([json.loads(line)['text'] for line in open(sys.argv[2])])"
)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="use-multilingual")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    train, test = clinc150()
    intents = sorted({label for _, label in train})[:INTENTS]
    taught = [(text, label) for intent in intents for text, label in [r for r in train if r[1] == intent][:EACH]]
    asked = [text for text, _ in (*test, *train)][:ASKED]
    encoder = named(options.encoder)
    classifier = FewShotClassifier(options.encoder).fit([text for text, _ in taught], [label for _, label in taught])
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in asked))
        classifier.save(folder / "t.fewshot")
        predict = [sys.executable, "-m", "innerloop", "predict", "t.fewshot", "in.jsonl", "--out", "out.jsonl"]
        bare = [sys.executable, "-c", _BARE, options.encoder, "in.jsonl"]
        for _ in range(options.rounds):
            turn = {
                "encoder": seconds(lambda: encoder.encode(asked)),
                "library": seconds(lambda: classifier.predict(asked)),
                "encoder, process": seconds(lambda: subprocess.run(bare, cwd=folder, check=True)),
                "command line": seconds(
                    lambda: subprocess.run(predict, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                ),
            }
            rounds.append(turn)
    found = {
        "library": Spread.of([turn["encoder"] / turn["library"] for turn in rounds]),
        "command line": Spread.of([turn["encoder, process"] / turn["command line"] for turn in rounds]),
    }
    rate = ASKED / min(turn["encoder"] for turn in rounds)
    content = {"date": date.today().isoformat(), "machine": machine.describe(), "sentences": ASKED, "encoder": rate}
    PLACE.write_text(json.dumps(content | {"ratios": found, "rounds": rounds}, indent=2) + "\n")
    Console(highlight=False).print(found, f"encoder: {rate:,.0f} sentences a second")


if __name__ == "__main__":
    main()
