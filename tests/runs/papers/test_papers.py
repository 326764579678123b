"""Rows of papers: all are there, each builds in both sizes, and is trained and tested as its paper says."""

import pkgutil
from dataclasses import replace

import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.problems.classes import Classes
from innerloop.problems.texts import TextClasses
from innerloop.runs import papers
from innerloop.runs.paper import Changes, Figure, Report
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
    for budget in ("cpu-hour", "paper"):
        run = row.run(budget, seed=3, minutes=0.5)
        assert run.config.seed == 3 and run.config.cpu_minutes == 0.5 and run.calibrate_on is None
        about = run.test().describe()
        assert about["shots"] == row.shots and about.get("ways", row.ways) == row.ways
    small, full = (row.run(budget) for budget in ("cpu-hour", "paper"))
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


def full(method: str, cell: str):
    return ROWS["omniglot", f"{method}-{cell}"]


@pytest.mark.parametrize(
    ("ways", "cell", "inner", "batch", "steps"),
    [(5, "5w1s", 1, 32, 3), (5, "5w5s", 1, 32, 3), (20, "20w1s", 5, 16, 5), (20, "20w5s", 5, 16, 5)],
)
@pytest.mark.parametrize("method", ["maml", "fomaml", "anil"])
def test_maml_is_that_of_its_paper(method, ways, cell, inner, batch, steps, noise):
    row = full(method, cell)
    run, shots = row.run("paper"), row.shots
    assert run.learner.inner_lr == 2.0, "0.4 for 5 ways and 0.1 for 20, on a loss summed over classes"
    assert run.learner.inner_steps == inner and run.config.steps == 60_000 and run.config.meta_batch_size == batch
    assert getattr(run.learner, "first_order", False) == (method == "fomaml") and run.learner.transductive
    about = run.train.describe()
    assert (about["ways"], about["shots"], about["queries"]) == (ways, shots, shots)
    network = run.learner.encoder if method == "anil" else run.learner.model
    assert (network.width, network.pool) == (64, "stride")
    test = row.as_paper
    assert (test.queries, test.episodes, test.steps, test.transductive) == (shots, 600, steps, True)


def test_other_methods_are_those_of_their_papers(noise):
    proto = full("protonet", "20w1s").run("paper")
    about = proto.train.describe()
    assert (about["ways"], about["shots"], about["queries"]) == (60, 1, 5)
    assert (proto.config.schedule, proto.config.schedule_every, proto.config.patience) == ("step", 2000, 200)
    assert full("protonet", "20w1s").as_paper.episodes == 1000
    assert [test.episodes for test in full("protonet", "20w1s").tests(400).values()] == [400, 400]
    matching = full("matching", "5w1s")
    assert matching.run("paper").learner.temperature is None and matching.run("cpu-hour").learner.temperature == 10
    for cell, queries in {"5w1s": 19, "5w5s": 15, "20w1s": 10, "20w5s": 5}.items():
        relation = full("relation", cell)
        assert relation.run("paper").train.describe()["queries"] == queries == relation.as_paper.queries
        assert relation.as_paper.transductive and relation.as_paper.episodes == 1000
    for cell in ("5w1s", "5w5s"):
        about = full("r2d2", cell).run("paper").train.describe()
        assert about["ways"] * (about["shots"] + about["queries"]) == 600
    plus = full("maml_plus_plus", "5w1s").run("paper")
    assert (plus.learner.inner_lr, plus.learner.inner_steps, plus.learner.model.pool) == (0.1, 5, "max")
    assert (plus.config.steps, plus.config.meta_batch_size, plus.config.schedule) == (50_000, 8, "cosine")
    assert full("meta_sgd", "20w1s").run("paper").learner.inner_lr == pytest.approx(20 * 0.0525)
    reptile = full("reptile", "5w1s")
    learner = reptile.run("paper").learner
    assert (learner.inner_lr, learner.inner_steps, learner.inner_batch, learner.test_steps) == (4.4e-4, 12, 5, 86)
    assert (reptile.as_paper.queries, reptile.as_paper.episodes, reptile.as_paper.transductive) == (1, 10_000, False)


def test_curves_are_those_of_their_papers():
    maml = ROWS["sinusoid", "maml-5s"]
    run = maml.run("paper")
    assert (run.learner.inner_lr, run.learner.inner_steps, run.learner.model.hidden) == (0.01, 1, (40, 40))
    assert (run.config.steps, run.config.meta_batch_size, run.config.meta_lr) == (70_000, 25, 1e-3)
    assert (maml.as_paper.queries, maml.as_paper.episodes, maml.as_paper.steps) == (5, 100, 1)
    reptile = ROWS["sinusoid", "reptile-10s"].run("paper")
    assert (reptile.learner.inner_lr, reptile.learner.inner_steps, reptile.learner.test_steps) == (0.02, 32, 32)
    assert reptile.learner.model.hidden == (64, 64) and reptile.train.describe()["shots"] == 50


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
    assert options.task.ways == 3 and options.fields["inner_lr"] == 0.2
    report = Report(source="a", read_at="b", numbers={(5, 1): (1.0, 0.5)})
    assert str(report.figure((5, 1))) == "1 ± 0.5" and report.figure((5, 5)) is None
