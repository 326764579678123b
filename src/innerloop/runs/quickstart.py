"""The whole library once, on data that need no download: train, test, adapt, predict."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.evaluate import Comparison, Result, compare
from innerloop.fewshot.asking import predictions
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.commands import adapt
from innerloop.fewshot.evaluation import Evaluation, evaluate
from innerloop.runs.build import build
from innerloop.runs.defaults import defaults
from innerloop.runs.measure import MetaTestOptions, Tested, measure
from innerloop.runs.options import Options
from innerloop.tasks import Pool, cache
from innerloop.tasks.datasets import load

_SHOTS = (1, 2, 3, 1, 2)
"""Pictures of each new character that are learned from."""
_HELD_OUT = 4
"""Further pictures of each, to be sorted."""


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions:
    """How much to do; the defaults take less than four minutes on two cores."""

    out: str = "runs/quickstart"
    """Folder of the two runs and the pictures; finished runs in it are not trained again."""
    data: str = "kanji"
    """Data set, as in `innerloop train`."""
    ways: int = 5
    """Classes of a task."""
    width: int = 32
    """Channels of the networks."""
    episodes: int = 600
    """Unseen tasks that everything is tested on."""


class Training(NamedTuple):
    """A learner, and what of its usual training is different."""

    learner: str
    changes: Mapping[str, Any]
    """Fields of `TrainConfig`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One line of the table."""

    name: str
    result: Result
    difference: str
    """Paired, to pixels."""
    trained: float | None
    """Seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quickstart:
    """What was found."""

    tables: tuple[tuple[str, tuple[Row, ...]], ...]
    """By data set."""
    right: int
    """Held-out pictures that were named rightly."""
    answers: tuple[dict[str, Any], ...]
    """As of `fewshot.asking.predictions`, with `truth`."""
    evaluation: Evaluation
    """How good the small task is, on the same pictures."""
    adapted: dict[str, Any]
    """As of `fewshot.commands.adapt`."""
    reports: tuple[Path, ...]
    seconds: float
    """Wall time of everything."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [
            {
                "data": data,
                "name": row.name,
                "mean": row.result.mean,
                "ci95": row.result.ci95,
                "episodes": row.result.protocol.episodes,
                "mode": row.result.protocol.normalisation,
                "against_pixels": row.difference,
                "train_seconds": row.trained,
                "seconds_per_task": row.result.seconds_per_task,
            }
            for data, table in self.tables
            for row in table
        ]
        answers = {"right": self.right, "of": len(self.answers), "answers": list(self.answers), "adapted": self.adapted}
        answers |= {"evaluation": self.evaluation.to_json()}
        return {"rows": rows, "pictures": answers, "reports": [str(p) for p in self.reports], "seconds": self.seconds}


def quickstart(
    options: QuickstartOptions,
    trainings: Sequence[Training],
    context: Context = Context(),
    progress: Callable[[str], None] = lambda _: None,
) -> Quickstart:
    """Run it.

    Args:
        options: How much to do.
        trainings: Of which learners; the first one is taught the new characters.
        context: Where Omniglot may lie; it is tested on only where it does.
        progress: Called with what is being done.
    """
    start, out = time.perf_counter(), Path(options.out)
    files.writable(out)
    seconds: dict[str, float] = {}
    for name, changes in trainings:
        run = build(_options(name, changes, options), context)
        progress(
            f"meta-training {name} on {options.data}: {run.config.steps} steps of {run.config.meta_batch_size} tasks"
        )
        begin = time.perf_counter()
        run.meta_train(out / name)
        seconds[name] = time.perf_counter() - begin

    progress(f"testing on {options.episodes} tasks of classes that neither has seen")
    tests = MetaTestOptions(episodes=options.episodes)
    tables, reports = [], []
    # The newest result heads the report: the data that were trained on come last.
    places = [*(["omniglot"] if _has_omniglot(context) and options.data == "kanji" else []), options.data]
    for data in places:
        chosen = replace(tests, data=data)
        # The learner that is taught below is measured last; the table's baselines are its own.
        tested = {name: measure(out / name, chosen, context) for name, _ in reversed(trainings)}
        reports = [t.report for t in tested.values() if t.report is not None]
        tables.insert(0, (data, _rows(tested, seconds)))

    progress("learning five new characters from a few pictures each")
    # Test classes: neither run has seen the characters that are taught here.
    truth = write_pictures(load(options.data, context).test, out / "characters", out / "unsorted")
    adapted = adapt(out / trainings[0].learner, out / "characters", out / "characters.fewshot")
    predicted = predictions(out / "characters.fewshot", [str(out / "unsorted")])
    answers = tuple(answer | {"truth": truth[Path(answer["path"]).name]} for answer in predicted)
    progress("evaluating what it has learned")
    classifier = FewShotClassifier.load(out / "characters.fewshot")
    paths, labels = [Path(answer["path"]) for answer in answers], [answer["truth"] for answer in answers]
    taught, unsorted = str(out / "characters.fewshot"), str(out / "unsorted")
    return Quickstart(
        tables=tuple(tables),
        right=sum(answer["class"] == answer["truth"] for answer in answers),
        evaluation=evaluate(classifier, paths, labels, name=taught, data=unsorted),
        answers=answers,
        adapted=adapted,
        reports=tuple(reversed(reports)),
        seconds=time.perf_counter() - start,
    )


def write_pictures(pool: Pool, labelled: Path, unsorted: Path) -> dict[str, str]:
    """Write a few classes as ordinary dark-on-white pictures: some in a sub-folder for each class, others unsorted.

    Args:
        pool: Of grey pictures; some of its classes are taken.
        labelled: Folder to write the sub-folders to.
        unsorted: Folder of the others.

    Returns:
        The class of every unsorted file.
    """
    count, truth = min(len(_SHOTS), len(pool)), {}
    for i in range(count):
        index = i * len(pool) // count
        name = pool.names[index].rpartition("/")[2]
        for j, picture in enumerate(pool.data[index, : _SHOTS[i] + _HELD_OUT]):
            if j < _SHOTS[i]:
                path = labelled / name / f"{j + 1}.png"
            else:
                path = unsorted / f"{len(truth) + 1:02d}.png"
                truth[path.name] = name
            # Data sets hold bright strokes; people draw dark ones on paper.
            _write_png(path, 255 - picture)
    return truth


def _write_png(path: Path, picture: Tensor) -> None:
    """[1, size, size] uint8, four times as large."""
    from PIL import Image

    image, content = Image.fromarray(picture[0].numpy()), io.BytesIO()
    image.resize((4 * image.width, 4 * image.height), Image.Resampling.BICUBIC).save(content, format="png")
    files.write(path, content.getvalue())


def _options(name: str, changes: Mapping[str, Any], options: QuickstartOptions) -> Options:
    usual = defaults(name, options.data)
    return replace(
        usual,
        task=usual.task.changed({"ways": options.ways}),
        network=replace(usual.network, **{"width": options.width}),
        train=replace(usual.train, **changes),
    )


def _rows(tested: dict[str, Tested], seconds: dict[str, float]) -> tuple[Row, ...]:
    *others, taught = tested.values()
    pixels, *before, best = [row.result for row in taught.comparison.rows]
    comparison: Comparison = compare(pixels, *before, *(other.result for other in others), best)
    # By identity: two learners may have the same name in a table, and baselines were not trained.
    trained = {id(tested[name].result): seconds[name] for name in tested}
    return tuple(
        Row(name=row.cells[0], result=row.result, difference=row.cells[2], trained=trained.get(id(row.result)))
        for row in comparison.rows
    )


def _has_omniglot(context: Context) -> bool:
    root = cache.data_folder(context)
    return any(
        (folder / f"images_background{end}").exists() for folder in (root, root / "omniglot") for end in ("", ".zip")
    )
