"""A served task that is taught for months. `python -m benchmarks.months`.

Classes: 200 kanji of the test split, which the shipped runs have not seen, are taught one after another to a service in
this process, one drawing each; the first 20 are asked after 20, 100 and 200 with ten further drawings each, by
`kanji-protonet` and by the heads of a frozen encoder, its features. What ways alone cost is what a task says that is
taught the same classes all at once. Answer times are of one example, after what was taught is learned.
Budget: 20 of these classes are taught the features of six drawings each again and again, with noise of the size of
their spread, with a budget of ten examples a class and without; five further drawings of each are asked.
Run lengths: streams of 1,000 values without drift, and with one, for each chart of `fewshot.drift`.

What comes out is kept in `months.json`; `docs/guide/months.md` tells it.
"""

import argparse
import base64
import gc
import io
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

from benchmarks import machine
from innerloop.core.interval import SHARES, interval
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.drift import Drift
from innerloop.fewshot.rows import floats
from innerloop.fewshot.sources import source
from innerloop.service.http.app import create
from innerloop.service.limits import Limits
from innerloop.service.settings import Settings
from innerloop.tasks.datasets.kanji import kanji

PLACE = Path(__file__).with_name("months.json")
SHOTS, ASKED, FIRST = 1, 10, 20
STOPS = (20, 100, 200)
SEEDS = (0, 1, 2)
BUDGET, TAUGHT = 10, (10, 50, 100)
FEATURES = "benchmarks.months:Features"  # not by __name__, which is __main__ here
LEARNERS: dict[str, tuple[str, str | None]] = {
    "prototypes": ("kanji-protonet", None),
    "class means": (FEATURES, "centroid"),
    "ridge": (FEATURES, "ridge"),
    "random projection": (FEATURES, "random_projection"),
    "trained head": (FEATURES, "linear"),
}


class Features(nn.Module):
    """A frozen encoder whose examples come as the features that it made."""

    kind = "features"
    features = 64

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] as they are."""
        return x


def encoded(rows: Tensor) -> Tensor:
    """[n, d] features of drawings by the encoder of `kanji-protonet`, with the statistics of its training drawings."""
    shipped = source("kanji-protonet")
    encoder = shipped.learner.encoder  # pyright: ignore[reportAttributeAccessIssue]
    known = kanji().train
    with torch.no_grad():
        frozen = encoder.with_statistics(shipped.params, floats(known.data[::3, 0]))
        return torch.cat([encoder.apply(frozen, floats(part)) for part in rows.split(256)])


def classes(seed: int) -> tuple[Tensor, Tensor, Sequence[str]]:
    """[200, 15, ...] drawings, their [200, 15, d] features, and names, in the order in which they are taught."""
    pool = kanji().test
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pool.data), generator=g)[: max(STOPS)]
    places = torch.stack([torch.randperm(pool.data.shape[1], generator=g)[: SHOTS + ASKED] for _ in order])
    drawings = pool.data[order[:, None], places]
    features = encoded(drawings.flatten(0, 1)).unflatten(0, (len(order), -1))
    return drawings, features, [f"k{i}" for i in range(len(order))]


class Served:
    """A task of a service in this process."""

    def __init__(self, client: TestClient, name: str, learner: str):
        self._client, self._name = client, f"/api/tasks/{name}"
        taught_to, head = LEARNERS[learner]
        body = {"name": name, "source": taught_to} | ({} if head is None else {"head": head})
        client.post("/api/tasks", json=body).raise_for_status()

    def teach(self, rows: Tensor, labels: Sequence[str]) -> None:
        """Teach [n, d] rows, one version."""
        for first in range(0, len(rows), 200):
            last = first + 200 >= len(rows)
            examples = [
                {"label": label} | _said(row)
                for row, label in zip(rows[first : first + 200], labels[first : first + 200], strict=True)
            ]
            query = "" if last and first == 0 else f"?change=all&more={int(not last)}"
            self._client.post(f"{self._name}/examples{query}", json={"examples": examples}).raise_for_status()

    def ask(self, rows: Tensor) -> list[str]:
        """The classes of [n, d] rows."""
        said = [_said(row) for row in rows]
        (kind,) = said[0]
        body = {"images" if kind == "image" else kind: [one[kind] for one in said]}
        answer = self._client.post(f"{self._name}/predict", json=body)
        return [one["class"] for one in answer.raise_for_status().json()["predictions"]]

    def milliseconds(self, row: Tensor, times: int = 50) -> float:
        """Median time of an answer to one example."""
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            self.ask(row[None])
            taken.append(1e3 * (time.perf_counter() - start))
        return statistics.median(taken)


def _said(row: Tensor) -> dict[str, Any]:
    """An example in JSON: a drawing, dark on light paper, or its features."""
    if row.ndim == 1:
        return {"features": row.tolist()}
    content = io.BytesIO()
    Image.fromarray(255 - row[0].numpy()).save(content, "PNG")
    return {"image": base64.b64encode(content.getvalue()).decode()}


def incremental(client: TestClient, learner: str, seed: int) -> dict[str, Any]:
    """Accuracy on the first classes after more and more of them, one after another and all at once."""
    drawings, features, names = classes(seed)
    rows = features if LEARNERS[learner][0] == FEATURES else drawings
    asked = rows[:FIRST, SHOTS:].flatten(0, 1)
    truths = [name for name in names[:FIRST] for _ in range(ASKED)]
    one_by_one = Served(client, f"one-{seed}-{learner.replace(' ', '-')}", learner)
    result: dict[str, Any] = {"one_by_one": {}, "at_once": {}, "milliseconds": {}, "megabytes": {}}
    for i, name in enumerate(names, 1):
        one_by_one.teach(rows[i - 1, :SHOTS], [name] * SHOTS)
        if i not in STOPS:
            continue
        result["one_by_one"][i] = share(one_by_one.ask(asked), truths)
        result["milliseconds"][i] = one_by_one.milliseconds(asked[0])
        result["megabytes"][i] = resident()
    for stop in STOPS:
        at_once = Served(client, f"all-{seed}-{stop}-{learner.replace(' ', '-')}", learner)
        at_once.teach(rows[:stop, :SHOTS].flatten(0, 1), [name for name in names[:stop] for _ in range(SHOTS)])
        result["at_once"][stop] = share(at_once.ask(asked), truths)
    return result


def share(answers: Sequence[str], truths: Sequence[str]) -> float:
    """The share of answers that is right."""
    return sum(a == b for a, b in zip(answers, truths, strict=True)) / len(truths)


def resident() -> float:
    """Megabytes of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measure_classes() -> dict[str, Any]:
    """For every learner, means and intervals over seeds."""
    results: dict[str, Any] = {}
    for learner in LEARNERS:
        with tempfile.TemporaryDirectory() as store:
            settings = Settings(store=store, sources=(LEARNERS[learner][0],), allow=("benchmarks",), limits=Limits())
            with TestClient(create(settings), base_url="http://127.0.0.1") as client:
                runs = [incremental(client, learner, seed) for seed in SEEDS]
        about = {}
        for key in ("one_by_one", "at_once"):
            about[key] = {stop: interval([run[key][stop] for run in runs], SHARES) for stop in STOPS}
        beyond = [run["at_once"][stop] - run["one_by_one"][stop] for run in runs for stop in STOPS]
        about |= {"most_beyond_ways": max(beyond)}
        for key in ("milliseconds", "megabytes"):
            about[key] = {stop: statistics.median(run[key][stop] for run in runs) for stop in STOPS}
        results[learner] = about
        print(learner, json.dumps(about), flush=True)
    return results


def measure_budget() -> dict[str, Any]:
    """Size of the file, time of an answer and of a change, and accuracy, as a task is taught more and more."""
    _, features, names = classes(0)
    rows = features[:FIRST]
    results: dict[str, Any] = {}
    for budget in (None, BUDGET):
        g = torch.Generator().manual_seed(0)
        spread = rows.flatten(0, 1).std(0)
        classifier, about = FewShotClassifier(head="centroid", budget=budget), {}
        classifier.source = source(FEATURES, ("benchmarks",))
        for i in range(1, max(TAUGHT) + 1):
            places = torch.randint(SHOTS + ASKED // 2, (FIRST,), generator=g)
            some = rows[torch.arange(FIRST), places]
            x = some + spread * torch.randn(some.shape, generator=g)
            start = time.perf_counter()
            classifier.partial_fit(x, names[:FIRST])
            change = 1e3 * (time.perf_counter() - start)
            if i not in TAUGHT:
                continue
            taken = []
            for _ in range(50):
                start = time.perf_counter()
                classifier.predict(rows[0, -1:])
                taken.append(1e3 * (time.perf_counter() - start))
            with tempfile.TemporaryDirectory() as folder:
                size = classifier.save(Path(folder) / "t.fewshot").stat().st_size
            asked = rows[:, SHOTS + ASKED // 2 :].flatten(0, 1)
            truths = [name for name in names[:FIRST] for _ in range(ASKED - ASKED // 2)]
            about[i * FIRST] = {
                "kept": len(classifier.task.taught[0]),
                "kilobytes": size / 1e3,
                "change_ms": change,
                "answer_ms": statistics.median(taken),
                "accuracy": share(classifier.predict(asked).tolist(), truths),
            }
        results[str(budget)] = about
        print(budget, json.dumps(about), flush=True)
    return results


def measure_run_lengths(streams: int = 1_000) -> dict[str, Any]:
    """Share of streams of 1,000 values without drift that a chart alarms in, and how many values it takes with one."""

    def wrong(rng: random.Random, drift: Drift, level: float) -> Drift:
        return drift.answered(rng.random() >= level)

    def far(rng: random.Random, drift: Drift, level: float) -> Drift:
        return drift.asked(rng.gauss(level, 1.0))

    results = {}
    charts: list[tuple[str, Callable[[random.Random, Drift, float], Drift], float, Sequence[float]]] = [
        ("accuracy 0.9", wrong, 0.1, (0.3, 0.4, 0.5, 0.6)),
        ("accuracy 0.7", wrong, 0.3, (0.5, 0.6, 0.7)),
        ("distance", far, 0.0, (1.0, 1.5, 2.0)),
    ]
    for name, step, usual, drifts in charts:
        false, starts = 0, []
        for seed in range(streams):
            rng, drift = random.Random(seed), Drift()
            for i in range(1_000):
                drift = step(rng, drift, usual)
                if drift.wrong.drifting or drift.far.drifting:
                    false += 1
                    break
                if i == 299 and seed < 200:
                    starts.append((seed, drift))
        told = {}
        for level in drifts:
            taken = [_steps(step, seed, drift, level) for seed, drift in starts]
            within = sum(one <= 50 for one in taken) / len(taken)
            told[level] = {"median": statistics.median(taken), "within_50": within}
        results[name] = {"streams": streams, "false_in_1000": false / streams, "usual": usual, "drifts": told}
        print(name, json.dumps(results[name]), flush=True)
    return results


def _steps(step: Callable[[random.Random, Drift, float], Drift], seed: int, drift: Drift, level: float) -> int:
    rng = random.Random(seed + 10_000)
    for i in range(1, 500):
        drift = step(rng, drift, level)
        if drift.wrong.drifting or drift.far.drifting:
            return i
    return 500


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"classes": measure_classes, "budget": measure_budget, "run_lengths": measure_run_lengths}
    parser.add_argument("parts", nargs="*", choices=[[], *parts], help="which to measure; all, where none is named")
    asked = parser.parse_args().parts or list(parts)
    kept = json.loads(PLACE.read_text(encoding="utf-8")) if PLACE.exists() else {}
    for part in asked:
        kept[part] = parts[part]() | {"date": date.today().isoformat(), "machine": machine.describe()}
        PLACE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
