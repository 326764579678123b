"""Tagging tasks a second against a sampler in plain Python, as Few-NERD's. `python -m benchmarks.entities`.

Both draw the same kind of tasks from the same sentences, as numbers of sentences; ours also as episodes of rows. They
take turns, so that what else the machine does befalls both.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

import torch

from benchmarks import machine
from innerloop.tasks.entities import Domain, Encoded, EntitySampler
from innerloop.tasks.entities.datasets import crossner

FEATURES = 384
ROUNDS = 7
REFUSALS = 2000
"""Sentences in a row that are refused until the plain sampler takes other types; Few-NERD's goes on forever."""


def plain(domain: Domain, ways: int, shots: int) -> Iterator[tuple[list[int], list[int]]]:
    """Support and query, by the loop of Few-NERD's `FewshotSampler`: any sentence is picked, then refused or taken."""
    counts = [
        {kind: sum(span.type == kind for span in s.spans) for kind in {span.type for span in s.spans}}
        for s in domain.sentences
    ]
    draw = random.Random(0)
    while True:
        types = draw.sample(domain.types, ways)
        candidates = [i for i, own in enumerate(counts) if own and set(own) <= set(types)]
        support = _filled(draw, candidates, counts, types, shots, set())
        query = support and _filled(draw, candidates, counts, types, shots, set(support))
        if support and query:
            yield support, query


def _filled(
    draw: random.Random,
    candidates: list[int],
    counts: list[dict[str, int]],
    types: list[str],
    shots: int,
    used: set[int],
) -> list[int] | None:
    held, chosen, refused = dict.fromkeys(types, 0), list[int](), 0
    while min(held.values()) < shots:
        i = draw.choice(candidates) if candidates else -1
        refused += 1
        if i < 0 or refused > REFUSALS:
            return None
        own = counts[i]
        wanted = any(held[kind] < shots for kind in own)
        if i not in used and i not in chosen and wanted and all(held[k] + n <= 2 * shots for k, n in own.items()):
            chosen.append(i)
            held = {kind: n + own.get(kind, 0) for kind, n in held.items()}
            refused = 0
    return chosen


def per_second(step: Callable[[], object], count: int) -> float:
    """How often it is done in a second."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return count / (time.perf_counter() - started)


def main() -> None:
    """Print tasks a second of every domain and setting, and the median ratio with its range."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=60, help="of each round")
    count = parser.parse_args().tasks
    print(machine.describe())
    for name in crossner.SCHEMES:
        domain = crossner.domain(None, name)
        words = sum(len(sentence.words) for sentence in domain.sentences)
        encoded = Encoded(domain, torch.zeros(words, FEATURES, dtype=torch.float16))
        for shots in (1, 5):
            sampler = EntitySampler(domains=(encoded,), ways=5, shots=shots, queries=shots)
            numbers, others = iter(range(10**9)), plain(domain, 5, shots)
            sampler.draw(0)
            found = [
                (
                    per_second(lambda: sampler.draw(next(numbers)), count),  # noqa: B023
                    per_second(lambda: next(others), count),  # noqa: B023
                    per_second(lambda: sampler.episodes(next(numbers), 1), count),  # noqa: B023
                )
                for _ in range(ROUNDS)
            ]
            ratios = sorted(ours / theirs for ours, theirs, _ in found)
            ours, theirs, episodes = (statistics.median(column) for column in zip(*found, strict=True))
            ratio = f"{statistics.median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f})"
            print(f"{name}, 5-way {shots}~{2 * shots}-shot: {ours:.0f} against {theirs:.0f}, {ratio}", end="; ")
            print(f"{episodes:.0f} with rows")


if __name__ == "__main__":
    main()
