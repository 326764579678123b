"""Words tagged a second, as a ratio to the bare encoder on the same sentences. `python -m benchmarks.tagging`.

A tagger of 25 sentences of CrossNER's domain `ai`, and texts of further ones. In turns: the encoder of
words alone; the library's `answers`; HTTP, a service in a process of its own that is asked by 8 clients at once, 16
texts each; the command line, `innerloop ner predict FILE IN.txt --out OUT.json`, with all its start, and beside it a
process that only loads the encoder and encodes. Beside the ratios of times, those of processor seconds, of server and
clients together, which other jobs of the machine hardly change. What comes out is kept in `tagging.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks import machine
from benchmarks.results import Spread
from innerloop.apps.ner.examples import untagged
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.encoders import tokens
from innerloop.service.client import Client
from innerloop.service.refusals import ServiceError
from innerloop.tasks.entities.datasets import crossner
from innerloop.tasks.entities.words import placed

PLACE = Path(__file__).with_name("tagging.json")
DOMAIN, TAUGHT, CLIENTS, AT_ONCE = "ai", 25, 8, 16
_BARE = (
    "import sys\nfrom innerloop.encoders import tokens\nfrom innerloop.apps.ner.examples import untagged\n"
    "tokens.named(sys.argv[1]).encode([one.words for one in untagged(open(sys.argv[2]).read().splitlines())])"
)


class Took(NamedTuple):
    """Seconds of the clock, and of the processor: of this process, those that it waited for, and a server."""

    clock: float
    processor: float


def took(work: Callable[[], object], server: int) -> Took:
    start, before = time.perf_counter(), _processor(server)
    work()
    return Took(time.perf_counter() - start, _processor(server) - before)


def _processor(server: int) -> float:
    ticks = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(os.times()[:4]) + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def asked_over_http(address: str, texts: Sequence[str]) -> None:
    parts = [texts[i : i + AT_ONCE] for i in range(0, len(texts), AT_ONCE)]
    with ThreadPoolExecutor(CLIENTS) as clients, Client(address) as client:
        (tagger,) = client.taggers()
        list(clients.map(tagger.tag, parts))


def wait_for(address: str) -> None:
    while True:
        try:
            with Client(address, tries=1) as client:
                client.taggers()
            return
        except ServiceError:
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm:3")
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--port", type=int, default=8977)
    options = parser.parse_args()
    sentences = crossner.domain(None, DOMAIN).sentences  # those that are published for training come first
    texts = [placed(one).text or "" for one in sentences[TAUGHT:]][: options.sentences]
    words = [one.words for one in untagged(texts)]
    encoder, tagger = tokens.named(options.encoder), FewShotTagger(options.encoder).fit(sentences[:TAUGHT])
    rounds: list[dict[str, Took]] = []
    before, start = machine.elsewhere(), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder, address = Path(place), f"http://127.0.0.1:{options.port}"
        (folder / "in.txt").write_text("\n".join(texts), encoding="utf-8")
        tagger.save(folder / "t.fewshot")
        innerloop = [sys.executable, "-m", "innerloop"]
        predict = [*innerloop, "ner", "predict", "t.fewshot", "in.txt", "--out", "out.json"]
        bare = [sys.executable, "-c", _BARE, options.encoder, "in.txt"]
        serve = [*innerloop, "serve", "--store", "store", "--source", "t.fewshot", "--port", str(options.port)]
        server = subprocess.Popen(serve, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def run(command: list[str]) -> object:
            return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        try:
            wait_for(address)
            contenders: dict[str, Callable[[], object]] = {
                "encoder": lambda: encoder.encode(words),
                "library": lambda: tagger.answers(texts),
                "HTTP": lambda: asked_over_http(address, texts),
                "encoder, process": lambda: run(bare),
                "command line": lambda: run(predict),
            }
            for _ in range(options.rounds):
                rounds.append({name: took(work, server.pid) for name, work in contenders.items()})
        finally:
            server.terminate()
            server.wait()
    of = {"library": "encoder", "HTTP": "encoder", "command line": "encoder, process"}
    found = {
        measure: {
            name: Spread.of([getattr(turn[bare], measure) / getattr(turn[name], measure) for turn in rounds])
            for name, bare in of.items()
        }
        for measure in Took._fields
    }
    count = sum(map(len, words))
    content: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "noise": machine.noise(before, machine.elsewhere(sum(os.times()[2:4])), time.perf_counter() - start),
        "words": count,
        "encoder": count / min(turn["encoder"].clock for turn in rounds),
    }
    PLACE.write_text(json.dumps(content | {"ratios": found, "rounds": rounds}, indent=2) + "\n")
    Console(highlight=False).print(found, f"encoder: {content['encoder']:,.0f} words a second. {content['noise']}")


if __name__ == "__main__":
    main()
