"""Encoders of words: how fast, and how well their rows tag as they are. `python -m benchmarks.token_encoders`.

`speed`: words encoded a second through the cache's `rows_of`, as a ratio to the bare network on the same sentences,
cut into word pieces, sorted and padded beforehand; in turns, with one core.

`quality`: entity F1, pooled over tasks of 5 types, of the nearest word and of the nearest mean on CrossNER's domains
and WNUT17, whole: rows of length 1 as they are and whitened by CrossNER's other domains, without and with the names of
types as examples; differences paired by task, with bootstrap intervals.

What comes out is kept in `token_encoders.json`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks import machine
from benchmarks.results import Spread
from innerloop import encoders
from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.objectives import normalize
from innerloop.core.scores import EntityF1
from innerloop.core.types import Batch
from innerloop.encoders import minilm_tokens as minilm
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import named
from innerloop.encoders.type_names import names_as_rows
from innerloop.encoders.whitening import Whitened, Whitening
from innerloop.tasks.entities.datasets import crossner, wnut17
from innerloop.tasks.entities.domains import Domain, Encoded
from innerloop.tasks.entities.episodes import EntitySampler

PLACE = Path(__file__).with_name("token_encoders.json")
SHOTS = (5, 1)
SCORE = EntityF1()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def words_of(domain: Domain) -> list[tuple[str, ...]]:
    return [sentence.words for sentence in domain.sentences]


@torch.no_grad()
def bare(encoder: Any, sentences: Sequence[Sequence[str]]) -> Callable[[], object]:
    """The network alone, on what it reads of these sentences."""
    if not isinstance(encoder, minilm.MiniLMTokens):  # its sentence encoder does the same, and little more
        texts, network = [" ".join(words) for words in sentences], encoders.named(encoder.name)
        return lambda: network.encode(texts)
    words = [list(sentence) for sentence in sentences]
    parts = [window for pieces in encoder._pieces(words) for window in minilm._windows(pieces)]
    batches = minilm._batches(sorted(parts, key=lambda window: len(window.ids)))
    ready = [minilm._padded(batch, encoder._first, encoder._last)[:2] for batch in batches]

    @torch.no_grad()
    def run() -> None:
        for ids, real in ready:
            encoder._network(input_ids=ids, attention_mask=real)

    return run


def speed(names: Sequence[str], rounds: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    sentences, content = words_of(crossner.domain(None, "music")), dict[str, Any]()
    count = sum(map(len, sentences))
    for name in names:
        encoder, turns = named(name), list[tuple[float, float, float]]()
        network = bare(encoder, sentences)
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                through = partial(rows_of, encoder, sentences, Context(cache=folder))
                turns.append((seconds(network), seconds(through), seconds(through)))  # the second time from the cache
        content[name] = {
            "ratio": Spread.of([alone / first for alone, first, _ in turns]),
            "words a second": count / min(first for _, first, _ in turns),
            "words a second, kept": count / min(again for _, _, again in turns),
        }
    return content


def answers(support: Batch, query: Batch, means: bool) -> Tensor:
    """[rows, classes] one-hot answers of the nearest example, or of the nearest mean."""
    assert isinstance(support.x, Tensor) and isinstance(query.x, Tensor)
    assert support.classes is not None and support.mask is not None
    x, y = support.x[support.mask], support.y[support.mask]
    classes = len(support.classes)
    if means:
        x, y = torch.stack([x[y == i].mean(0) for i in range(classes)]), torch.arange(classes)
    return one_hot(y[torch.cdist(query.x, x).argmin(1)], classes).float()


def counts(sampler: EntitySampler, index: int, names: Tensor | None) -> list[Tensor]:
    """[3] of the nearest word and of the nearest mean."""
    support, query = tree.map(lambda part: part[0], sampler.episodes(index, 1))
    if names is not None:
        types = sampler.domains[0].domain.types
        more = names[[types.index(name) for name in sampler.draw(index).types]]
        assert isinstance(support.x, Tensor) and support.mask is not None
        support = support._replace(
            x=torch.cat([support.x, more]),
            y=torch.cat([support.y, 1 + torch.arange(len(more))]),
            mask=torch.cat([support.mask, torch.ones(len(more), dtype=torch.bool)]),
        )
    return [SCORE.of(answers(support, query, means), query) for means in (False, True)]


def quality(name: str, episodes: int) -> dict[str, Any]:
    encoder, content = named(name), dict[str, Any]()
    domains = [crossner.domain(None, scheme) for scheme in crossner.SCHEMES]
    for domain in (*domains, wnut17.read().test[0]):
        others = [other for other in domains if other.name != domain.name]
        whitening = Whitening.of_domains(others, lambda one: rows_of(encoder, one.words).rows)
        whitened = Whitened(encoder=encoder, whitening=whitening)
        rows = rows_of(encoder, words_of(domain)).rows
        variants = {"frozen": (encoder, normalize(rows)), "whitened": (whitened, whitened.whitening.apply(rows))}
        for shots in SHOTS:
            kept = dict[str, Tensor]()
            for variant, (its, x) in variants.items():
                sampler = EntitySampler(domains=(Encoded(domain, x),), shots=shots, queries=shots)
                named_rows = normalize(names_as_rows(its, domain.types))
                for label, names in ((variant, None), (f"{variant}, names", named_rows)):
                    both = [counts(sampler, i, names) for i in range(episodes)]
                    for method, scores in zip(("nearest word", "nearest mean"), zip(*both, strict=True), strict=True):
                        kept[f"{method}, {label}"] = torch.stack(scores).double()
            content[f"{domain.name}, {shots}~{2 * shots}"] = summary(kept)
            Console(highlight=False).print(domain.name, shots, content[f"{domain.name}, {shots}~{2 * shots}"])
    return content


def summary(kept: dict[str, Tensor]) -> dict[str, Any]:
    """F1 of each variant, and what whitening and names change, with intervals."""
    found: dict[str, Any] = {key: round(100 * SCORE.total(scores), 1) for key, scores in kept.items()}
    for method in ("nearest word", "nearest mean"):
        for label, one, other in (
            ("whitening", "whitened", "frozen"),
            ("names", "frozen, names", "frozen"),
            ("names, whitened", "whitened, names", "whitened"),
        ):
            found[f"{method}: {label}"] = difference(kept[f"{method}, {one}"], kept[f"{method}, {other}"])
    return found


def difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Points of F1 that one has more than the other, and half of the 95% interval."""
    gap = SCORE.difference(one, other)
    return round(100 * gap.mean, 1), round(100 * gap.ci95, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "quality"))
    parser.add_argument("encoders", nargs="*", default=["minilm:3"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=300)
    options = parser.parse_args()
    if options.part == "speed":
        found = {"speed": speed(options.encoders, options.rounds)}
    else:
        found = {f"quality, {name}": quality(name, options.episodes) for name in options.encoders}
    content = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    about = {"date": date.today().isoformat(), "machine": machine.describe()}
    content |= {part: about | values for part, values in found.items()}
    PLACE.write_text(json.dumps(content, indent=1) + "\n")
    Console(highlight=False).print(found)


if __name__ == "__main__":
    main()
