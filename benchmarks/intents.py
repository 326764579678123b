"""What maps learned on some intents do for others. `python -m benchmarks.intents banking77 clinc150 strangers taught
heads minilm-banking77 minilm-clinc150`.

Five published splits of the classes, 5 ways, 1 and 5 shots, 5 queries, 600 episodes a split, the same for every row.
Maps begin from `use-multilingual` and are trained as `innerloop train LEARNER --data NAME` trains them, with one shot
and three seeds. Strangers: CLINC150's sentences out of scope against the 50 intents of each test split, ten examples
each. Where to reject is chosen on the validation intents, once with a half of these sentences, drawn anew each time,
and once with those that are published for training and validation, which are easier to tell than those for testing.

Taught: all unseen intents of the first split at once, with 1 to 20 sentences each, by what ships with the head that it
chooses and with its own learner, and by the encoder alone, which chooses as well; all read names. Five draws, at most
1,000 other sentences are asked. Heads: the same of a map that each of the five splits was trained for, one draw
each. MiniLM: the frozen centroid of that encoder, as others have measured it.

What comes out is kept in `intents.json`; `docs/guide/texts.md` tells it.
"""

import argparse
import functools
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from benchmarks import machine
from innerloop import encoders
from innerloop.core.context import Context
from innerloop.core.dry_run import support
from innerloop.core.interval import SHARES, interval
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import meta_train
from innerloop.evaluate import calibration
from innerloop.evaluate.meta_test import meta_test
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import Source, source
from innerloop.learners.baselines.logistic_regression import LogisticRegression
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.problems.texts import TextClasses
from innerloop.runs import build, defaults
from innerloop.tasks import EpisodeSampler, Pool, Splits, texts
from innerloop.tasks.cache import data_folder
from innerloop.tasks.pool import from_rows
from innerloop.tasks.texts.splits import SCHEMES

PLACE = Path(__file__).with_name("intents.json")
ENCODER = "use-multilingual"
EPISODES, QUERIES, SEEDS = 600, 5, 3
LEARNED = ("protonet", "r2d2", "maml")
FROZEN = NearestCentroid(distance="cosine")
LINEAR = LogisticRegression(tolerance=1e-4)
"""Also the most probable linear head under a normal prior, which on a learned map is the MAP head."""
TAUGHT, DRAWS, STATED = 10, 5, 0.05
SHOTS = (1, 5, 10, 20)


class Trained(NamedTuple):
    """A learner with what it was trained to."""

    learner: Learner[Any]
    params: Params
    seconds: float


def trained(name: str, dataset: str, scheme: str, seed: int) -> Trained:
    """As the command line trains it, up to the split and the seed."""
    usual = defaults(name, dataset)
    task = usual.task.changed({"split_scheme": scheme})
    run = build(replace(usual, task=task, train=replace(usual.train, seed=seed, plan="loop")))
    begin = time.process_time()
    params = meta_train(run.learner, run.train, run.config)
    return Trained(run.learner, params, time.process_time() - begin)


def accuracy(dataset: str) -> dict[str, Any]:
    """Every row of the table of a data set."""
    scores: dict[tuple[str, int], list[Tensor]] = {}  # of (row, shots): a split each, [seeds, episodes]
    seconds: dict[str, list[float]] = {name: [] for name in LEARNED}
    for scheme in SCHEMES:
        pools = TextClasses(data=dataset, split_scheme=scheme, encoder=ENCODER).load(Context())
        words = texts.load(dataset, None, scheme).test
        rows: dict[str, list[tuple[Learner[Any], Params, Pool]]] = {
            "TF-IDF, centroid": [(FROZEN, {}, _tf_idf(words))],
            "frozen, centroid": [(FROZEN, {}, pools.test)],
            "frozen, logistic regression": [(LINEAR, {}, pools.test)],
        }
        for name in LEARNED:
            made = [trained(name, dataset, scheme, seed) for seed in range(SEEDS)]
            seconds[name] += [one.seconds for one in made]
            rows[f"map, {name}"] = [(one.learner, one.params, pools.test) for one in made]
            if name == "protonet":
                mapped = [_mapped(one, pools.test) for one in made]
                rows["map of protonet, MAP head"] = [(LINEAR, {}, pool) for pool in mapped]
        for shots in (1, 5):
            for row, each in rows.items():
                scores.setdefault((row, shots), []).append(torch.stack([scores_of(*one, shots) for one in each]))
            print(dataset, scheme, shots, {r: f"{100 * scores[r, shots][-1].mean():.1f}" for r in rows}, flush=True)
    spent = {f"map, {name}": sum(each) / len(each) for name, each in seconds.items()}
    return {
        f"{shots} shots": {
            row: _told(each, scores["frozen, centroid", shots]) for (row, k), each in scores.items() if k == shots
        }
        for shots in (1, 5)
    } | {"training_seconds": spent}


def scores_of(learner: Learner[Any], params: Params, pool: Pool, shots: int) -> Tensor:
    """[episodes] accuracy."""
    sampler = EpisodeSampler(pool=pool, ways=5, shots=shots, queries=QUERIES, seed=77)
    return meta_test(learner, params, sampler, EPISODES, curve=False, quiet=True).scores[:, 0]


def _told(splits: Sequence[Tensor], frozen: Sequence[Tensor]) -> dict[str, Any]:
    """Accuracy in percent, and what it is above the frozen centroid's, paired by episode.

    Args:
        splits: [seeds, episodes] of each split.
        frozen: Likewise, [1, episodes].
    """
    mean = torch.cat([each.mean(0) for each in splits])
    gain = mean - torch.cat([each[0] for each in frozen])
    about, paired = interval(mean, SHARES), interval(gain)
    told: dict[str, Any] = {
        "mean": 100 * about.mean,
        "ci95": 100 * about.ci95,
        "gain": 100 * paired.mean,
        "gain_ci95": 100 * paired.ci95,
    }
    told["each_split"] = [100 * float(each.mean()) for each in splits]
    told["gain_of_each_split"] = [100 * float(each.mean() - f.mean()) for each, f in zip(splits, frozen, strict=True)]
    seeds = torch.stack([each.mean(1) for each in splits]).mean(0)
    return told | {"each_seed": [100 * float(seed) for seed in seeds]}


def _mapped(made: Trained, pool: Pool) -> Pool:
    """The pool's rows through the map that a ProtoNet learned."""
    assert isinstance(made.learner, ProtoNet)
    with torch.no_grad():
        rows = made.learner.encoder.apply(made.params, pool.data.flatten(0, 1))
    return replace(pool, data=rows.unflatten(0, pool.data.shape[:2]))


def _tf_idf(words: texts.Texts) -> Pool:
    """Rows of TF-IDF, in the order of `TextClasses`; how common words are is taken from all test sentences."""
    rows = TfidfVectorizer(sublinear_tf=True).fit_transform(words.texts)
    names = sorted(set(words.labels))
    dense = torch.from_numpy(rows.toarray().astype(np.float32))  # pyright: ignore[reportAttributeAccessIssue]
    return from_rows(dense, [names.index(label) for label in words.labels], names, dataset="tf-idf", split="test")


def strangers() -> dict[str, Any]:
    """AUROC of the largest logit, and what a threshold that validation chose lets through at test."""
    content = json.loads((data_folder() / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    encoder = encoders.named(ENCODER)
    rows = {part: encoder.encode([text for text, _ in content[part]]) for part in content}
    labels = {part: np.array([label for _, label in content[part]]) for part in content}
    found: dict[str, list[list[Rejected]]] = {}
    for scheme in SCHEMES:
        pools = TextClasses(data="clinc150", split_scheme=scheme, encoder=ENCODER).load(Context())
        made = [Trained(FROZEN, {}, 0.0)] + [trained("protonet", "clinc150", scheme, seed) for seed in range(SEEDS)]
        for i, one in enumerate(made):
            each = [_rejection(one, pools, rows, labels, draw) for draw in range(DRAWS)]
            found.setdefault("frozen, centroid" if i == 0 else f"map, protonet, seed {i - 1}", []).append(each)
        print(scheme, {row: np.mean(each[-1], 0).round(4).tolist() for row, each in found.items()}, flush=True)
    learned = torch.stack([torch.tensor(each) for row, each in found.items() if row.startswith("map")])
    frozen = torch.tensor(found["frozen, centroid"])[None]
    gain = (learned.mean(0) - frozen[0])[..., 0].flatten()
    told: dict[str, Any] = {"frozen, centroid": _rejected(frozen), "map, protonet": _rejected(learned)}
    told["map, protonet"] |= {"gain": interval(gain)._asdict(), "each_seed": learned.mean((1, 2))[:, 0].tolist()}
    return told | {"stated": STATED, "draws": DRAWS, "taught": TAUGHT}


class Rejected(NamedTuple):
    """What came of one draw of the taught sentences."""

    auroc: float
    passed: float
    """Strangers that are taken for an intent, of the half that the threshold was not chosen with."""
    answered: float
    """Sentences of the intents that are, at that threshold."""
    passed_as_published: float
    """Likewise of the published test sentences, where the threshold was chosen with the other published ones."""


def _rejected(seeds: Tensor) -> dict[str, Any]:
    """Means and intervals over splits and draws of [seeds, splits, draws, 4]."""
    mean = seeds.mean(0).flatten(0, 1)
    told: dict[str, Any] = {name: interval(mean[:, i])._asdict() for i, name in enumerate(Rejected._fields)}
    return told | {"auroc_of_each_split": seeds.mean((0, 2))[:, 0].tolist()}


def _rejection(
    made: Trained, pools: Splits, rows: dict[str, Tensor], labels: dict[str, np.ndarray], draw: int
) -> Rejected:
    strange = torch.cat([rows[part] for part in ("oos_train", "oos_val", "oos_test")])
    published = len(strange) - len(rows["oos_test"])
    halves = torch.randperm(len(strange), generator=torch.Generator().manual_seed(draw)).chunk(2)
    _, chosen_with = _logits(made, list(pools.validation.names), rows, labels, draw, ("val", strange))
    inside, outside = _logits(made, list(pools.test.names), rows, labels, draw, ("test", strange))
    threshold = calibration.threshold(chosen_with[halves[0]], STATED)
    other = calibration.threshold(chosen_with[:published], STATED)
    return Rejected(
        calibration.auroc(inside, outside[published:]),
        float((outside[halves[1]] >= threshold).double().mean()),
        float((inside >= threshold).double().mean()),
        float((outside[published:] >= other).double().mean()),
    )


def _logits(
    made: Trained,
    names: list[str],
    rows: dict[str, Tensor],
    labels: dict[str, np.ndarray],
    draw: int,
    asked: tuple[str, Tensor],
) -> list[Tensor]:
    """The largest logit of sentences of the intents, those of a published part, and of strangers."""
    part, strange = asked
    random = np.random.default_rng(draw)
    places = [random.choice(np.flatnonzero(labels["train"] == name), TAUGHT, False) for name in names]
    x, y = rows["train"][torch.from_numpy(np.concatenate(places))], torch.arange(len(names)).repeat_interleave(TAUGHT)
    own = rows[part][torch.from_numpy(np.isin(labels[part], names))]
    with torch.no_grad():
        adapted = made.learner.adapt(made.params, support(x, y, len(names)))
        return [made.learner.predict(made.params, adapted, some).amax(1) for some in (own, strange)]


def taught() -> dict[str, Any]:
    """Accuracy of the shipped `intents` and of its encoder, as somebody would teach them."""
    sources = {"intents": source("intents"), "intents, own": source("intents").headed("own"), ENCODER: source(ENCODER)}
    return {
        f"{dataset}, {shots}": _gains([_right(sources, dataset, SCHEMES[0], shots, draw) for draw in range(DRAWS)])
        for dataset in ("banking77", "clinc150")
        for shots in SHOTS
    }


def heads() -> dict[str, Any]:
    """The same of maps that were trained for each split, whatever of it is taught."""
    told: dict[str, Any] = {}
    for dataset in ("banking77", "clinc150"):
        right: dict[int, list[dict[str, float]]] = {shots: [] for shots in SHOTS}
        for scheme in SCHEMES:
            made, frozen = trained("protonet", dataset, scheme, 0), source(ENCODER)
            own = replace(frozen, learner=made.learner, params=made.params, head=None, encoder_name=ENCODER)
            sources = {"map, auto": own.headed("auto"), "map, own": own, ENCODER: frozen}
            for shots, each in right.items():
                each.append(_right(sources, dataset, scheme, shots, 0))
                print(dataset, scheme, shots, each[-1], flush=True)
        told |= {f"{dataset}, {shots}": _gains(each) for shots, each in right.items()}
    return told


def minilm(dataset: str) -> dict[str, Any]:
    """The frozen centroid of `minilm`, whose accuracy others have measured as well."""
    problems = [TextClasses(data=dataset, split_scheme=scheme, encoder="minilm") for scheme in SCHEMES]
    pools = [problem.load(Context()).test for problem in problems]
    told: dict[str, Any] = {}
    for shots in (1, 5):
        each = [scores_of(FROZEN, {}, pool, shots)[None] for pool in pools]
        told[f"{shots} shots"] = {key: value for key, value in _told(each, each).items() if "gain" not in key}
    return told


def _right(sources: dict[str, Source], dataset: str, scheme: str, shots: int, draw: int) -> dict[str, float]:
    """Share of other sentences that each names correctly."""
    words = texts.load(dataset, None, scheme).test
    labels, order = np.array(words.labels), np.random.default_rng(draw).permutation(len(words.labels))
    taught = np.concatenate([order[labels[order] == name][:shots] for name in np.unique(labels)])
    asked = np.setdiff1d(order, taught, assume_unique=True)[:1000]
    right = {}
    for name, about in sources.items():
        classifier = FewShotClassifier(about).fit([words.texts[i] for i in taught], labels[taught].tolist())
        right[name] = float(classifier.score([words.texts[i] for i in asked], labels[asked].tolist()))
    return right


def _gains(right: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Accuracy of each, and what the first is above the others, paired."""
    first, *others = right[0]
    told: dict[str, Any] = {name: interval([one[name] for one in right], SHARES)._asdict() for name in right[0]}
    gains = {name: interval([one[first] - one[name] for one in right])._asdict() for name in others}
    return told | {"gain": gains, "pairs": len(right)}


_OTHERS = {"strangers": strangers, "taught": taught, "heads": heads}
_OTHERS |= {f"minilm-{dataset}": functools.partial(minilm, dataset) for dataset in ("banking77", "clinc150")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("banking77", "clinc150", *_OTHERS))
    torch.set_num_threads(1)
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    for part in parser.parse_args().parts:
        kept[part] = {"date": date.today().isoformat(), "machine": machine.describe()}
        kept[part] |= _OTHERS[part]() if part in _OTHERS else accuracy(part)
        PLACE.write_text(json.dumps(kept, indent=2) + "\n")
        print(json.dumps(kept[part], indent=2))


if __name__ == "__main__":
    main()
