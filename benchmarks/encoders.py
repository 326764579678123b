"""What the frozen encoders reach with the nearest centroid. `python -m benchmarks.encoders use-multilingual`.

Texts: CLINC150, 5 ways on the test classes of its five published class splits, and out-of-scope sentences against
10 and 50 random intents taught with 10 examples each. Pictures: Tiny ImageNet, whose classes the encoder was trained
on, and Omniglot, whose it was not. Temperatures are fitted on validation classes, which no test has.

What is found is kept in `encoders.json`; `docs/guide/encoders.md` tells it.
"""

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import machine
from innerloop.core import tree
from innerloop.core.dry_run import support
from innerloop.core.interval import SHARES, interval
from innerloop.evaluate import calibration
from innerloop.evaluate.calibration import calibrate
from innerloop.evaluate.meta_test import meta_test
from innerloop.fewshot.sources import Source, source
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.cache import data_folder
from innerloop.tasks.datasets.omniglot import omniglot
from innerloop.tasks.datasets.tiny_imagenet import tiny_imagenet
from innerloop.tasks.pool import Pool, from_rows

PLACE = Path(__file__).with_name("encoders.json")
EPISODES = 600
QUERIES = 5
REJECTED = {10: 20, 50: 20}
"""Intents in scope, and how many draws of them."""
TAUGHT = 10
PICTURES_A_CLASS = 20
OMNIGLOT_CLASSES = 100


def texts(found: Source) -> dict[str, Any]:
    """CLINC150 by a text encoder."""
    root = data_folder() / "clinc150"
    data = json.loads((root / "data_full.json").read_text(encoding="utf-8"))
    sentences = {part: [text for text, _ in data[part]] for part in data}
    rows, seconds = _encode(found, [text for part in sentences.values() for text in part])
    parts = dict(zip(sentences, rows.split([len(s) for s in sentences.values()]), strict=True))
    intents = {part: np.array([label for _, label in data[part]]) for part in data}
    every = torch.cat([parts[p] for p in ("train", "val", "test")])
    labels = np.concatenate([intents[p] for p in ("train", "val", "test")])
    made: dict[str, Any] = {"sentences_per_second": len(rows) / seconds}

    def pool(split: int, part: str) -> Pool:
        names = (root / "splits" / f"{split:02}.{part}.txt").read_text().split()
        return _pool(every, labels, names, "clinc150", f"{split:02}.{part}")

    for shots in (1, 5):
        made |= _accuracy(found, [pool(i, "test") for i in range(1, 6)], shots)
    made |= _temperature(found, [pool(i, "valid") for i in range(1, 6)])
    for count, draws in REJECTED.items():
        scores = [_rejection(found, parts, intents, count, seed) for seed in range(draws)]
        made[f"auroc_{count}_intents"] = interval(scores, SHARES)._asdict() | {"draws": draws, "lowest": min(scores)}
    return made


def photographs(found: Source) -> dict[str, Any]:
    """Tiny ImageNet and Omniglot by a picture encoder."""
    splits = tiny_imagenet()
    names = {part: set(getattr(splits, part).names) for part in ("validation", "test")}
    packed = np.load(data_folder() / "tiny_imagenet" / "tiny_imagenet_200x100.npz", allow_pickle=False)
    titles = [f"{w} {n.split(',')[0]}" for w, n in zip(packed["wnids"], packed["names"], strict=True)]
    content, offsets = packed["jpeg"].tobytes(), packed["offsets"].tolist()
    labels = packed["labels"].tolist()
    chosen = [i for c in range(len(titles)) for i in np.flatnonzero(np.array(labels) == c)[:PICTURES_A_CLASS]]
    chosen = [i for i in chosen if titles[labels[i]] in names["validation"] | names["test"]]
    rows, seconds = _encode(found, [content[offsets[i] : offsets[i + 1]] for i in chosen])
    called = np.array([titles[labels[i]] for i in chosen])
    made: dict[str, Any] = {"milliseconds_a_picture": 1000 * seconds / len(rows)}
    test = _pool(rows, called, sorted(names["test"]), "tiny-imagenet", "test")
    for shots in (1, 5):
        made |= _accuracy(found, [test], shots)
    made |= _temperature(found, [_pool(rows, called, sorted(names["validation"]), "tiny-imagenet", "validation")])
    return made | {"omniglot": _omniglot(found)}


def _omniglot(found: Source) -> dict[str, Any]:
    """Drawings of characters, as unlike photographs as pictures get."""
    pool = omniglot(split="lake").test
    index = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[:OMNIGLOT_CLASSES].tolist()
    contents = []
    for drawing in pool.data[index].flatten(0, 1)[:, 0]:
        out = io.BytesIO()
        Image.fromarray(255 - drawing.numpy()).save(out, "PNG")
        contents.append(out.getvalue())
    rows, _ = _encode(found, contents)
    names = [pool.names[i] for i in index]
    rows_of = _pool(rows, np.repeat(names, pool.data.shape[1]), names, "omniglot", "test")
    return _accuracy(found, [rows_of], 1) | _accuracy(found, [rows_of], 5)


def _encode(found: Source, raw: Sequence[str | bytes]) -> tuple[Tensor, float]:
    assert found.encoder is not None
    begin = time.process_time()
    rows = found.encoder.encode(raw)
    return rows, time.process_time() - begin


def _pool(rows: Tensor, labels: np.ndarray, names: Sequence[str], dataset: str, split: str) -> Pool:
    kept = np.isin(labels, names)
    index = [names.index(name) for name in labels[kept]]
    return from_rows(rows[torch.from_numpy(kept)], index, list(names), dataset=dataset, split=split)


def _accuracy(found: Source, pools: Sequence[Pool], shots: int) -> dict[str, Any]:
    results = []
    for pool in pools:
        sampler = EpisodeSampler(pool=pool, ways=5, shots=shots, queries=QUERIES, seed=77)
        results.append(meta_test(found.learner, found.params, sampler, EPISODES, quiet=True))
    scores = torch.cat([result.scores[:, 0] for result in results])
    each = [100 * result.mean for result in results]
    return {f"5w{shots}s": _percent(interval(scores, SHARES)) | {"episodes": len(scores), "each_split": each}}


def _temperature(found: Source, pools: Sequence[Pool]) -> dict[str, Any]:
    """At 5 ways and 1 to 5 shots, and what calibration error it leaves there and elsewhere."""
    samplers = [EpisodeSampler(pool=p, ways=5, shots=(1, 5), queries=QUERIES, seed=1) for p in pools]
    fitted = [calibrate(found.learner, found.params, sampler, 100) for sampler in samplers]
    temperature = float(np.mean([f.temperature for f in fitted]))
    errors = {}
    for ways, shots in ((5, 1), (5, 5), (10, 5), (20, 10)):
        parts = list(_answers(found, pools, ways, shots, temperature))
        confidence, right = (torch.cat(part) for part in zip(*parts, strict=True))
        errors[f"{ways}w{shots}s"] = calibration.expected_calibration_error(confidence, right)
    return {"temperature": temperature, "ece": errors}


def _answers(
    found: Source, pools: Sequence[Pool], ways: int, shots: int, temperature: float
) -> Iterator[tuple[Tensor, Tensor]]:
    for pool in pools:
        drawn = EpisodeSampler(pool=pool, ways=ways, shots=shots, queries=QUERIES, seed=2).episodes(0, 40)
        for i in range(40):
            taught, query = tree.slice(drawn, i)
            logits = found.learner.predict(found.params, found.learner.adapt(found.params, taught), query.x)
            p = torch.softmax(logits / temperature, 1)
            yield p.amax(1), p.argmax(1) == query.y


def _rejection(found: Source, parts: dict[str, Tensor], intents: dict[str, np.ndarray], count: int, seed: int) -> float:
    """AUROC of the largest cosine: test sentences of some intents against all out-of-scope test sentences."""
    draw = np.random.default_rng(seed)
    chosen = draw.choice(np.unique(intents["train"]), count, replace=False)
    taught = np.concatenate([draw.choice(np.flatnonzero(intents["train"] == c), TAUGHT, False) for c in chosen])
    x, y = parts["train"][torch.from_numpy(taught)], torch.arange(count).repeat_interleave(TAUGHT)
    adapted = found.learner.adapt(found.params, support(x, y, count))
    asked = parts["test"][torch.from_numpy(np.isin(intents["test"], chosen))]
    inside, outside = (
        found.learner.predict(found.params, adapted, rows).amax(1) for rows in (asked, parts["oos_test"])
    )
    return calibration.auroc(inside, outside)


def _percent(found: Any) -> dict[str, float]:
    return {"mean": 100 * found.mean, "ci95": 100 * found.ci95}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="encoders")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    kept = json.loads(PLACE.read_text()) if PLACE.exists() else {}
    for name in names:
        found = source(name)
        measured = photographs(found) if found.kind == "pictures" else texts(found)
        about = {"date": date.today().isoformat(), "machine": machine.describe()}
        kept[name] = about | measured
        print(json.dumps({name: kept[name]}, indent=2))
        PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
