"""Choices of few-shot taggers, measured: `python -m benchmarks.tagging_choices other`, or `wnut17`.

`other`: what words of no entity are to prototypes (`ProtoNet.other`), and whether the name of a type is an example of
it: entity F1 word by word on frozen rows of `minilm:3`, 5-way tasks of CrossNER's domains and WNUT17, paired by task to
plain prototypes. The threshold is chosen on 40 tasks of the next domain (ai for WNUT17).

`wnut17`: StructShot on nearest tokens where temperature and tau are chosen on WNUT17's own validation file, and tested
on tasks of its training and test files; beside it what CrossNER's ai chooses.

What comes out is kept in `tagging_choices.json`.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.apps.ner.decode import counted
from innerloop.apps.ner.measure import choose, measure
from innerloop.core import tree
from innerloop.core.objectives import normalize
from innerloop.core.scores import EntityF1
from innerloop.core.types import Batch, Episode
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import named
from innerloop.encoders.type_names import names_as_rows
from innerloop.learners.metric.gaussian_memory import GaussianMemory
from innerloop.learners.metric.protonet import Other, ProtoNet
from innerloop.nn.as_is import AsIs
from innerloop.tasks.entities.datasets import crossner, wnut17
from innerloop.tasks.entities.domains import LEFT_OUT, Domain, Encoded
from innerloop.tasks.entities.episodes import EntitySampler
from innerloop.tasks.entities.splits import from_files

FILE = Path(__file__).with_suffix(".json")
ENCODER, SHOTS, CHOOSING, TEST_SEED = "minilm:3", (5, 1), 40, 77
OTHERS: tuple[Other, ...] = ("prototype", "nearest", "threshold")
THRESHOLDS = tuple(0.3 + 0.1 * k for k in range(12))
SCORE = EntityF1()


def encoded(domain: Domain) -> Encoded:
    return Encoded(domain, normalize(rows_of(named(ENCODER), domain.words).rows).half())


def sampler(domain: Encoded, shots: int, seed: int) -> EntitySampler:
    return EntitySampler(domains=(domain,), shots=shots, queries=shots, seed=seed)


def tasks(source: EntitySampler, count: int, names: Tensor | None) -> Iterator[Episode]:
    """Tasks, with a row more for each type where names are examples."""
    types = source.domains[0].domain.types
    for i in range(count):
        support, query = tree.map(lambda part: part[0], source.episodes(i, 1))
        if names is not None:
            more = names[[types.index(name) for name in source.draw(i).types]]
            assert isinstance(support.x, Tensor) and support.mask is not None
            support = support._replace(
                x=torch.cat([support.x, more]),
                y=torch.cat([support.y, 1 + torch.arange(len(more))]),
                mask=torch.cat([support.mask, torch.ones(len(more), dtype=torch.bool)]),
            )
        yield Episode(support, query)


def right(learner: ProtoNet, support: Batch, query: Batch) -> Tensor:
    """[3] what the score counts."""
    params = learner.init(0)
    return SCORE.of(learner.predict(params, learner.adapt(params, support), query.x), query)


@torch.no_grad()
def other(episodes: int) -> Iterator[dict[str, Any]]:
    names = list(crossner.SCHEMES)
    domains = {name: encoded(crossner.domain(None, name)) for name in names}
    follows = dict(zip(names, [*names[1:], names[0]], strict=True)) | {"wnut17": "ai"}
    domains["wnut17"] = encoded(wnut17.read().test[0])
    learners = {kind: ProtoNet(encoder=AsIs(), other=kind) for kind in OTHERS}
    for domain, shots in ((domain, shots) for domain in follows for shots in SHOTS):
        validation = list(tasks(sampler(domains[follows[domain]], shots, 0), CHOOSING, None))
        ways = {t: replace(learners["threshold"], threshold=t) for t in THRESHOLDS}
        reached = {t: SCORE.total(torch.stack([right(one, *task) for task in validation])) for t, one in ways.items()}
        best = max(reached, key=reached.__getitem__)
        own, kept = sampler(domains[domain], shots, TEST_SEED), dict[str, Tensor]()
        rows = normalize(names_as_rows(named(ENCODER), domains[domain].domain.types))
        for label, more in (("", None), (", names", rows)):
            drawn = list(tasks(own, episodes, more))
            for kind, learner in (learners | {"threshold": ways[best]}).items():
                kept[f"{kind}{label}"] = torch.stack([right(learner, *task) for task in drawn])
        for row, counts in kept.items():
            f1, gain = SCORE.interval(counts), SCORE.difference(counts, kept["prototype"])
            about = {"domain": domain, "shots": shots, "row": row, "threshold": best if "threshold" in row else None}
            yield about | {"f1": percent(f1), "gain": percent(gain)}


@torch.no_grad()
def of_wnut17(episodes: int) -> Iterator[dict[str, Any]]:
    train, dev, test = wnut17._FILES
    validation, asked = (
        encoded(from_files("wnut17", files, None, "wnut17", wnut17._URL, LEFT_OUT)) for files in ((dev,), (train, test))
    )
    others = [crossner.domain(None, name) for name in crossner.SCHEMES]
    transitions = counted(sentence for domain in others for sentence in domain.sentences)
    for shots in SHOTS:
        own = sampler(asked, shots, TEST_SEED)
        choosing = {"its dev file": sampler(validation, shots, 0), "ai": sampler(encoded(others[0]), shots, 0)}
        most = max(length for one in (own, *choosing.values()) for length in one.lengths)
        learner = GaussianMemory(encoder=AsIs(), sigma=0.05, capacity=most)
        params = learner.init(0)
        for place, source in choosing.items():
            decoded = measure(learner, params, own, episodes, choose(learner, params, source, transitions))
            chosen = decoded.decoding
            yield {"shots": shots, "chosen on": place, "temperature": chosen.temperature, "tau": chosen.tau} | {
                name: percent(one) for name, one in decoded.intervals.items()
            }


def percent(interval: Any) -> list[float]:
    return [round(100 * value, 2) for value in (interval.mean, interval.ci95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("other", "wnut17"))
    parser.add_argument("--episodes", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    told = list[dict[str, Any]]()
    for row in other(options.episodes) if options.part == "other" else of_wnut17(options.episodes):
        told.append(row)
        print(" ".join(str(value) for value in row.values()), flush=True)
    content = json.loads(FILE.read_text()) if FILE.exists() else {}
    about = {"date": date.today().isoformat(), "machine": machine.describe(), "episodes": options.episodes}
    FILE.write_text(json.dumps(content | {options.part: about | {"rows": told}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
