"""Meta-trained taggers beside frozen rows: `python -m benchmarks.taggers [ai ...] --seeds 0 1 2 --episodes 300`.

CrossNER in five rotations: a domain is tested on, the next one chooses temperature and tau, and the other three train.
Every row is scored word by word and by Viterbi (StructShot's), whose transitions are counted on the three; differences
are paired by task to nearest tokens of the same layer, word by word. Runs are trained on 5~10 tasks and tested on these
and on 1~2. Results go to `taggers.json`; `docs/guide/entities.md` tells them.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from benchmarks import machine
from innerloop.apps.ner.decode import counted
from innerloop.apps.ner.measure import choose, measure
from innerloop.core.context import Context
from innerloop.core.interval import Interval
from innerloop.core.learner import Learner
from innerloop.core.scores import EntityF1
from innerloop.core.types import Params
from innerloop.engine import meta_train
from innerloop.problems.base import Split
from innerloop.problems.entities import Entities, Material
from innerloop.runs.build import build
from innerloop.runs.defaults import defaults
from innerloop.tasks.entities import EntitySampler
from innerloop.tasks.entities.datasets.crossner import SCHEMES

SHOTS = (5, 1)
WNUT17 = "wnut17"
SEEDS: dict[Split, int] = {"train": 0, "validation": 0, "test": 77}
"""Those of `innerloop ner test`."""
SCORE = EntityF1()
FILE = Path(__file__).with_suffix(".json")


class Row(NamedTuple):
    """A learner, and the problem and words that it is asked about."""

    name: str
    seed: int | None
    learner: Learner
    params: Params
    problem: Entities
    material: Material


def rows(domain: str, learners: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """Frozen rows first, as they are and whitened, then what is trained on them."""
    for whiten in (False, True):
        problem = replace(_problem("protonet", domain), whiten=whiten)
        material = problem.load(Context())
        # Among the samplers of the two splits, the one of longer tasks decides how much is remembered.
        sampler = max((problem.episodes(material, split, 0) for split in ("validation", "test")), key=_longest)
        untrained = build(replace(defaults("protonet", "crossner"), task=problem)).learner
        for one in problem.baselines(untrained, 0, sampler):
            if one.label in ("nearest-token", "prototypes"):
                yield Row(one.name, None, one.learner, one.params, problem, material)
    for name in learners:
        for seed in seeds:
            options = defaults(name, "crossner")
            problem = _problem(name, domain)
            run = build(replace(options, task=problem, train=replace(options.train, seed=seed)))
            params = meta_train(run.learner, run.train, run.config)
            yield Row(f"{name}, meta-trained", seed, run.learner, params, problem, problem.load(Context()))


def _longest(sampler: EntitySampler) -> int:
    return max(sampler.lengths)


def _problem(learner: str, domain: str) -> Entities:
    task = defaults(learner, "crossner").task
    assert isinstance(task, Entities)
    if domain == WNUT17:
        return replace(task, data=WNUT17)
    return replace(task, split_scheme=domain)


def counts(row: Row, shots: int, episodes: int) -> dict[str, Tensor]:
    """[episodes, 3] entities that are right, predicted and true, of both ways to decode."""
    problem = replace(row.problem, shots=shots, queries=shots)
    samplers = {split: problem.episodes(row.material, split, seed) for split, seed in SEEDS.items()}
    assert all(isinstance(sampler, EntitySampler) for sampler in samplers.values())
    trained = samplers["train"].domains
    transitions = counted(sentence for encoded in trained for sentence in encoded.domain.sentences)
    decoding = choose(row.learner, row.params, samplers["validation"], transitions)
    decoded = measure(row.learner, row.params, samplers["test"], episodes, decoding)
    return {"words": decoded.argmax, "viterbi": decoded.viterbi}


def measured(domain: str, learners: Sequence[str], seeds: Sequence[int], episodes: int) -> list[dict[str, Any]]:
    """Every row of a rotation, as it is printed and kept."""
    told, reference = list[dict[str, Any]](), dict[int, Tensor]()
    for row in rows(domain, learners, seeds):
        for shots in SHOTS:
            for decode, numbers in counts(row, shots, episodes).items():
                reference.setdefault(shots, numbers)  # the first row of all: nearest tokens, word by word
                one = {"domain": domain, "row": row.name, "seed": row.seed, "shots": shots, "decode": decode}
                f1, gain = SCORE.interval(numbers), SCORE.difference(numbers, reference[shots])
                told.append(one | {"f1": _percent(f1), "gain": _percent(gain)})
                print(" ".join(str(v) for v in told[-1].values()), flush=True)
    return told


def _percent(interval: Interval) -> list[float]:
    return [round(100 * value, 2) for value in (interval.mean, interval.ci95)]


def summary(told: Sequence[dict[str, Any]]) -> None:
    """Print each row's mean over domains, and over seeds with the spread."""
    for key in dict.fromkeys((one["shots"], one["row"], one["decode"]) for one in told):
        same = [one for one in told if (one["shots"], one["row"], one["decode"]) == key and one["domain"] != WNUT17]
        means = [statistics.mean(one["f1"][0] for one in same if one["seed"] == s) for s in {o["seed"] for o in same}]
        each = {d: statistics.mean(o["f1"][0] for o in same if o["domain"] == d) for d in {o["domain"] for o in same}}
        spread = f" +- {statistics.stdev(means):.1f} over {len(means)} seeds" if len(means) > 1 else ""
        above = sum(one["gain"][0] > one["gain"][1] for one in same)
        domains = " ".join(f"{d} {v:.1f}" for d, v in sorted(each.items()))
        where = f"({domains}); above nearest tokens in {above} of {len(same)}"
        print(f"{key}: {statistics.mean(means):.1f}{spread} {where}")


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("domains", nargs="*", default=[*SCHEMES, WNUT17])
    parser.add_argument("--learners", nargs="*", default=["protonet"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=300)
    asked = parser.parse_args()
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    told = [one for one in kept.get("rows", []) if one["domain"] not in asked.domains]
    for domain in asked.domains:
        told += measured(domain, asked.learners, asked.seeds, asked.episodes)
        about = {"date": str(date.today()), "machine": machine.describe(), "episodes": asked.episodes}
        FILE.write_text(json.dumps(about | {"rows": told}, indent=1) + "\n")
    summary(told)


if __name__ == "__main__":
    main()
