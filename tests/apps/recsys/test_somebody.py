"""What is known of somebody besides ratings, in Python and on the command line."""

import json

import numpy as np
import pytest
import torch

from innerloop.apps.recsys.dialogue import interview
from innerloop.apps.recsys.recommender import Recommender
from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.core.types import Batch
from tests.apps.recsys.small import taking, trained

pytestmark = pytest.mark.filterwarnings("ignore:.*categories. (kind|town)")
LIKES_A = {"Film 0": 5, "i2": 5, "Film 1": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table whose users live in a town by what they like."""
    return trained(tmp_path_factory.mktemp("ratings"), users=True)


@pytest.fixture(scope="module")
def recommender(run):
    return Recommender.load(run)


def test_somebody_with_the_features_of_a_user_is_that_user_to_the_network(recommender):
    users = recommender._table.user_features
    items, ages = np.arange(30), users.numbers["age"]
    for user in (0, 1, 2, 50):
        about = {"town": users.categories["town"][user], "clubs": list(users.several["clubs"][user])}
        about |= {} if np.isnan(ages[user]) else {"age": ages[user]}
        here = recommender.fit({}, about)._fitted.encoding.rows(None, items)
        there = recommender._encoding.rows(np.full(30, user), items)
        assert here.keys() == there.keys()
        for name in here:
            width = min(here[name].shape[-1], there[name].shape[-1]) if name == "several" else None
            assert (here[name][..., :width] == there[name][..., :width]).all(), name
            assert width is None or (not here[name][..., width:].any() and not there[name][..., width:].any())


def test_it_foresees_for_somebody_what_it_does_for_a_user_of_these_features_and_ratings(recommender):
    users, at = recommender._table.user_features, np.array([recommender.find(item) for item in LIKES_A])
    about = {"town": users.categories["town"][7], "clubs": users.several["clubs"][7], "age": users.numbers["age"][7]}

    def inputs(items):
        rows = recommender._encoding.rows(np.full(len(items), 7), items)
        return {name: torch.from_numpy(values) for name, values in rows.items()}

    learner, params, y = recommender._learner, recommender._params, torch.tensor([[5.0], [5.0], [1.0]])
    with torch.no_grad():
        own = learner.predict(params, learner.adapt(params, Batch(inputs(at), y)), inputs(np.arange(30)))[:, 0]
    scores = recommender.fit(LIKES_A, about).scores()
    assert torch.allclose(scores.float(), own, atol=1e-5)
    plain = recommender.fit(LIKES_A).scores()
    assert (scores - plain).abs().max() > 1e-3, "nothing of one is left to the next"
    texts = recommender.fit({}, {"clubs": "boats|drama", "age": "30"}).scores()
    assert (texts == recommender.fit({}, {"clubs": ["boats", "drama"], "age": 30}).scores()).all()


def test_shares_and_questions_are_of_somebody(recommender):
    recommender.fit({}, {"town": "Ash"})
    assert recommender.basis is recommender._fitted.taste.known.basis is not recommender._taste.known.basis
    before = recommender.scores().float()
    after = recommender.fit(LIKES_A, {"town": "Ash"}).scores().float()
    user = recommender._fitted
    values = np.array(list(user.ratings.values()))
    shares = user.taste.shares(user.adapted, list(user.ratings), torch.from_numpy(values), torch.arange(30))
    assert torch.allclose(shares.sum(1), after - before, atol=1e-4)
    assert recommender.ask(3)
    lines, answers = list[str](), iter(["5", "skip", "1"])
    interview(recommender.fit({}), {}, 2, lambda question: next(answers), lines.append, {"town": "Bray"})
    assert recommender._fitted.encoding.somebody["categories"].tolist() == [[_number(recommender, "Bray")]]


def _number(recommender, town):
    return recommender._encoding.single.number(0, town)


def test_the_command_line_answers_as_python_does(run, recommender, tmp_path, capsys):
    mine = tmp_path / "me.csv"
    mine.write_text("item,rating\nFilm 0,5\nFilm 1,1\n")
    how = ["--features", "town=Ash", "clubs=chess|boats", "age=30", "--user", str(mine), "--json"]
    assert main(["recommend", str(run), *how]) == 0
    printed = json.loads(capsys.readouterr().out)["recommended"]
    recommender.fit({"Film 0": 5, "Film 1": 1}, {"town": "Ash", "clubs": ["chess", "boats"], "age": 30})
    assert [(one["item"], one["rating"]) for one in printed] == [
        (one.item, one.rating) for one in recommender.recommend()
    ]
    assert main(["recommend", str(run), *how, "--ask", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["ask"] == recommender.ask(3)


def test_a_value_that_nobody_has_is_said_and_counts_as_not_known(recommender):
    notices = list[str]()
    strange = recommender.fit(LIKES_A, {"town": "Crewe", "clubs": "chess|go"}, notices.append).scores()
    assert notices == [
        "town is Crewe of nobody in training, so it counts as not known; there are Ash, Bray",
        "clubs is go of nobody in training, so it counts as not known; there are boats, chess, drama",
    ]
    with pytest.warns(UserWarning, match="town is Crewe"):
        recommender.fit(LIKES_A, {"town": "Crewe", "clubs": "chess|go"})
    hobby = recommender._encoding.several.number(0, "go")
    assert hobby == recommender._encoding.several.starts[0] and (strange != recommender.fit(LIKES_A).scores()).any()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"towns": "Ash"}, "nothing is called 'towns' that is known of users; did you mean 'town'"),
        ({"height": 3}, "There are town, clubs, age"),
        ({"age": "old"}, "age is a number, got 'old'"),
        ({"age": float("inf")}, "age is a number, got inf"),
        ({"age": ["3"]}, "age is a number"),
        ({"age": 1e300}, "age is a number, got 1e"),
        ({"age": 10**400}, "age is a number, got 1000"),
        ({"town": None}, "town is one category, got None: leave it out"),
        ({"clubs": {"chess": 1}}, "clubs is a list of categories, got {'chess': 1}"),
        ({3: "Ash"}, "nothing is called '3'"),
        ({"town": ""}, "town is one category, got ''"),
        ({"town": ["Ash", "Bray"]}, "town is one category"),
        ({"clubs": ["x"] * 201}, "clubs has 201 values, and 200 are most"),
    ],
)
def test_what_is_no_feature_is_refused(recommender, features, message):
    with pytest.raises(InputError, match=message):
        recommender.fit(LIKES_A, features)


def test_numbers_of_numpy_are_numbers(recommender):
    plain, array = (recommender.fit(LIKES_A, {"age": age}).scores() for age in (30, np.int64(30)))
    assert (plain == array).all() and (plain != recommender.fit(LIKES_A).scores()).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["town"], "'town' is no feature: give the name of a column and its value, as in age=30"),
        (["=3"], "'=3' is no feature"),
        (["town=Ash", "town=Bray"], "'town' was given twice"),
        (["towns=Ash"], "did you mean 'town'"),
    ],
)
def test_the_command_line_refuses_the_same(run, words, message, capsys):
    assert main(["recommend", str(run), "--features", *words]) == 2
    assert message in capsys.readouterr().err


def test_of_clicks_nothing_is_known_of_users_here(tmp_path):
    recommender = Recommender.load(taking(tmp_path))
    assert recommender.columns == []
    with pytest.raises(InputError, match="'town' is not known of users: the run was trained without --user-features"):
        recommender.fit(["i0"], {"town": "Ash"})
