"""Rows of papers: all are there, each builds in both sizes, and is trained and tested as its paper says."""

import pkgutil
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.problems.classes import Classes
from innerloop.problems.texts import TextClasses
from innerloop.runs import papers
from innerloop.runs.paper import Budget, Changes, Figure, Report, Row
from innerloop.tasks import Pool, Splits

ROWS = {(suite, row.name): row for suite in papers.suites() for row in papers.rows(suite)}
OMNIGLOT = (
    "protonet",
    "matching",
    "maml",
    "fomaml",
    "reptile",
    "meta_sgd",
    "maml_plus_plus",
    "r2d2",
    "anil",
    "relation",
)


@pytest.fixture
def noise(monkeypatch):
    """Classes of noise, of the shapes of Omniglot and of rows of texts, as many as are needed."""

    def splits(shape: tuple[int, ...]) -> Splits:
        def pool(split: str, classes: int) -> Pool:
            names = tuple(f"{split} {i}" for i in range(classes))
            data = torch.rand(classes, 24, *shape)
            return Pool(data=data, counts=torch.full((classes,), 24), names=names, split=split)

        return Splits(train=pool("train", 60), validation=pool("validation", 20), test=pool("test", 20))

    pictures, texts = splits((1, 28, 28)), splits((64,))
    monkeypatch.setattr(Classes, "load", lambda self, context: pictures)
    monkeypatch.setattr(TextClasses, "load", lambda self, context: texts)


def test_every_file_is_a_method_on_a_data_set():
    for info in pkgutil.iter_modules(papers.__path__):
        suite, _, method = info.name.partition("_")
        rows = [row for row in papers.rows(suite) if row.method == method]
        assert rows, info.name
        assert all(row.data == suite == row.small.task.data == row.full.task.data for row in rows)


def test_omniglot_has_every_learner_at_every_size_and_curves_have_two():
    cells = [f"{ways}w{shots}s" for ways in (5, 20) for shots in (1, 5)]
    assert {name for suite, name in ROWS if suite == "omniglot"} == {f"{m}-{c}" for m in OMNIGLOT for c in cells}
    curves = {f"{m}-{shots}s" for m in ("maml", "meta_sgd", "reptile") for shots in (5, 10)}
    assert {name for suite, name in ROWS if suite == "sinusoid"} == curves
    assert {suite for suite, name in ROWS if name == "protonet-5w5s"} == {"omniglot", "clinc150", "banking77"}


@pytest.mark.parametrize("key", ROWS, ids="/".join)
def test_every_row_builds_in_both_sizes(key, noise):
    row = ROWS[key]
    for budget in get_args(Budget):
        run = row.run(budget, seed=3, minutes=0.5)
        assert run.config.seed == 3 and run.config.cpu_minutes == 0.5 and run.calibrate_on is None
        about = run.test().describe()
        assert about["shots"] == row.shots and about.get("ways", row.ways) == row.ways
    small, full = (row.run(budget) for budget in get_args(Budget))
    assert type(small.learner) is type(full.learner)
    assert full.config.cpu_minutes is None and full.config.steps >= small.config.steps
    assert row.fair.transductive is False and row.fair.steps == row.as_paper.steps
    assert (row.fair.queries, row.fair.episodes) == ((100, 600) if row.ways is None else (15, 600))


@pytest.mark.parametrize("method", OMNIGLOT)
def test_a_small_row_trains(method, noise):
    run = ROWS["omniglot", f"{method}-5w1s"].run("cpu-hour")
    params = replace(
        run, config=replace(run.config, steps=1, meta_batch_size=1, plan="loop", unchecked=True)
    ).meta_train()
    assert all(value.isfinite().all() for value in tree.flatten(params))


def full(method: str, cell: str) -> Row:
    return ROWS["omniglot", f"{method}-{cell}"]


def learner_of(row: Row, budget: Budget = "paper") -> Any:
    """The learner of a row, whose own fields are looked at."""
    return row.run(budget).learner


def tasks_of(row: Row) -> Any:
    """What the tasks of the paper's training are."""
    return row.run("paper").train.describe()


@pytest.mark.parametrize(
    ("ways", "cell", "inner", "batch", "steps"),
    [(5, "5w1s", 1, 32, 3), (5, "5w5s", 1, 32, 3), (20, "20w1s", 5, 16, 5), (20, "20w5s", 5, 16, 5)],
)
@pytest.mark.parametrize("method", ["maml", "fomaml", "anil"])
def test_maml_is_that_of_its_paper(method, ways, cell, inner, batch, steps, noise):
    row = full(method, cell)
    config, learner, shots = row.run("paper").config, learner_of(row), row.shots
    assert learner.inner_lr == 2.0, "0.4 for 5 ways and 0.1 for 20, on a loss summed over classes"
    assert learner.inner_steps == inner and config.steps == 60_000 and config.meta_batch_size == batch
    assert getattr(learner, "first_order", False) == (method == "fomaml") and learner.transductive
    about = tasks_of(row)
    assert (about["ways"], about["shots"], about["queries"]) == (ways, shots, shots)
    network = learner.encoder if method == "anil" else learner.model
    assert (network.width, network.pool) == (64, "stride")
    test = row.as_paper
    assert (test.queries, test.episodes, test.steps, test.transductive) == (shots, 600, steps, True)


def test_other_methods_are_those_of_their_papers(noise):
    proto = full("protonet", "20w1s").run("paper")
    about = tasks_of(full("protonet", "20w1s"))
    assert (about["ways"], about["shots"], about["queries"]) == (60, 1, 5)
    assert (proto.config.schedule, proto.config.schedule_every, proto.config.patience) == ("step", 2000, 200)
    assert full("protonet", "20w1s").as_paper.episodes == 1000
    assert [test.episodes for test in full("protonet", "20w1s").tests(400).values()] == [400, 400]
    matching = full("matching", "5w1s")
    assert learner_of(matching).temperature is None and learner_of(matching, "cpu-hour").temperature == 10
    for cell, queries in {"5w1s": 19, "5w5s": 15, "20w1s": 10, "20w5s": 5}.items():
        relation = full("relation", cell)
        assert tasks_of(relation)["queries"] == queries == relation.as_paper.queries
        assert relation.as_paper.transductive and relation.as_paper.episodes == 1000
    for cell in ("5w1s", "5w5s"):
        about = tasks_of(full("r2d2", cell))
        assert about["ways"] * (about["shots"] + about["queries"]) == 600
    plus, config = learner_of(full("maml_plus_plus", "5w1s")), full("maml_plus_plus", "5w1s").run("paper").config
    assert (plus.inner_lr, plus.inner_steps, plus.model.pool) == (0.1, 5, "max")
    assert (config.steps, config.meta_batch_size, config.schedule) == (50_000, 8, "cosine")
    assert learner_of(full("meta_sgd", "20w1s")).inner_lr == pytest.approx(20 * 0.0525)
    reptile = full("reptile", "5w1s")
    learner = learner_of(reptile)
    assert (learner.inner_lr, learner.inner_steps, learner.inner_batch, learner.test_steps) == (4.4e-4, 12, 5, 86)
    assert (reptile.as_paper.queries, reptile.as_paper.episodes, reptile.as_paper.transductive) == (1, 10_000, False)


def test_curves_are_those_of_their_papers():
    maml = ROWS["sinusoid", "maml-5s"]
    learner, config = learner_of(maml), maml.run("paper").config
    assert (learner.inner_lr, learner.inner_steps, learner.model.hidden) == (0.01, 1, (40, 40))
    assert (config.steps, config.meta_batch_size, config.meta_lr) == (70_000, 25, 1e-3)
    assert (maml.as_paper.queries, maml.as_paper.episodes, maml.as_paper.steps) == (5, 100, 1)
    learner = learner_of(ROWS["sinusoid", "reptile-10s"])
    assert (learner.inner_lr, learner.inner_steps, learner.test_steps) == (0.02, 32, 32)
    assert learner.model.hidden == (64, 64) and tasks_of(ROWS["sinusoid", "reptile-10s"])["shots"] == 50


def test_every_number_says_where_it_is_from():
    figures = [one for row in ROWS.values() for one in (row.paper, *row.others) if one is not None]
    assert len(figures) > 60
    for figure in figures:
        where = figure.provenance
        assert figure.source in where and ("read in" in where) == (figure.read_at is not None)
        assert ("from memory" in where) == (figure.read_at is None)
    assert ROWS["omniglot", "anil-5w1s"].paper is None, "the paper has 20 ways only"
    assert ROWS["omniglot", "r2d2-5w1s"].paper == Figure(98.6, None, "Bertinetto et al. 2019", None)


def test_rows_are_chosen_by_name_or_by_method():
    assert [row.name for row in papers.rows("sinusoid", ("maml",))] == ["maml-5s", "maml-10s"]
    assert [row.name for row in papers.rows("sinusoid", ("reptile-5s", "maml-10s"))] == ["maml-10s", "reptile-5s"]
    for chosen, says in (("mamml", "did you mean 'maml'"), ("maml-20s", "did you mean 'maml-10s'")):
        with pytest.raises(InputError, match=says):
            papers.rows("sinusoid", (chosen,))
    with pytest.raises(InputError, match="did you mean 'omniglot'"):
        papers.rows("omniglott")


def test_changes_add_up_and_the_first_report_counts():
    changes = Changes(task={"ways": 3}, fields={"inner_lr": 0.1}) | Changes(fields={"inner_lr": 0.2})
    options = changes.of("maml", "kanji")
    assert isinstance(options.task, Classes) and options.task.ways == 3 and options.fields["inner_lr"] == 0.2
    report = Report(source="a", read_at="b", numbers={(5, 1): (1.0, 0.5)})
    assert str(report.figure((5, 1))) == "1 ± 0.5" and report.figure((5, 5)) is None
