"""Meta-trained taggers beside frozen rows: `python -m benchmarks.taggers [ai ...] --learners protonet --seeds 0 1 2`.

CrossNER in five rotations: a domain is tested on, the next one chooses temperature and tau, and the other three train.
Every row is scored word by word and by Viterbi (StructShot's), whose transitions are counted on the three; differences
are paired by task to nearest tokens of the same layer, word by word. Runs are trained on 5~10 tasks and tested on these
and on 1~2. Results go to `taggers.json`, seed after seed, where those of other learners stay; `--only-learners` leaves
frozen rows as they were, too. `docs/guide/entities.md` tells them.
"""

import argparse
import itertools
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
from innerloop.core.allocator import keep_memory
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


def frozen(domain: str, whitened: Sequence[bool]) -> Iterator[Row]:
    """Rows as they are, and whitened: nearest tokens, then prototypes."""
    for whiten in whitened:
        problem = replace(_problem("protonet", domain), whiten=whiten)
        material = problem.load(Context())
        # Among the samplers of the two splits, the one of longer tasks decides how much is remembered.
        sampler = max((problem.episodes(material, split, 0) for split in ("validation", "test")), key=_longest)
        untrained = build(replace(defaults("protonet", "crossner"), task=problem)).learner
        for one in problem.baselines(untrained, 0, sampler):
            if one.label in ("nearest-token", "prototypes"):
                yield Row(one.name, None, one.learner, one.params, problem, material)


def trained(domain: str, learner: str, seed: int, plan: Any) -> Row:
    """What is trained on the rows as they are."""
    options, problem = defaults(learner, "crossner"), _problem(learner, domain)
    run = build(replace(options, task=problem, train=replace(options.train, seed=seed, plan=plan)))
    params = meta_train(run.learner, run.train, run.config)
    return Row(_name(learner), seed, run.learner, params, problem, problem.load(Context()))


def _name(learner: str) -> str:
    return f"{learner}, meta-trained"


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


Reference = dict[int, Tensor]
"""By shots, what nearest tokens count word by word."""


def measured(row: Row, domain: str, episodes: int, reference: Reference) -> Iterator[dict[str, Any]]:
    """A row of a rotation, as it is printed and kept; the first row is what others are compared with."""
    for shots in SHOTS:
        for decode, numbers in counts(row, shots, episodes).items():
            f1, gain = SCORE.interval(numbers), SCORE.difference(numbers, reference.setdefault(shots, numbers))
            one = {"domain": domain, "row": row.name, "seed": row.seed, "shots": shots, "decode": decode}
            one |= {"f1": _percent(f1), "gain": _percent(gain), "episodes": episodes, "date": str(date.today())}
            print(" ".join(str(v) for v in one.values()), flush=True)
            yield one


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
    parser.add_argument("--only-learners", action="store_true")
    parser.add_argument("--plan", default="auto", help="as of `innerloop train`")
    asked = parser.parse_args()
    keep_memory()
    kept = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    references = dict[str, Reference]()

    def keep(row: Row, domain: str) -> None:
        new = list(measured(row, domain, asked.episodes, references.setdefault(domain, {})))
        if row.seed is None and asked.only_learners:
            return
        keys = [{k: one[k] for k in ("domain", "row", "seed")} for one in (*kept, *new)]
        kept[:] = [one for one, key in zip(kept, keys, strict=False) if key != keys[-1]] + new
        FILE.write_text(json.dumps({"machine": machine.describe(), "rows": kept}, indent=1) + "\n")

    for domain in asked.domains:
        for row in frozen(domain, (False,) if asked.only_learners else (False, True)):
            if not (asked.only_learners and references.get(domain)):  # nearest tokens come first
                keep(row, domain)
    for seed, domain, learner in itertools.product(asked.seeds, asked.domains, asked.learners):
        keep(trained(domain, learner, seed, asked.plan), domain)
    summary(kept)


if __name__ == "__main__":
    main()
