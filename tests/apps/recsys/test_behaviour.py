"""Clicks without a rating, from a file to a list: trained, tested, recommended, with texts and without."""

import csv
import json
from pathlib import Path

import pytest

from innerloop.apps.recsys.recommender import Recommender
from innerloop.cli.main import main
from innerloop.core.errors import InputError
from tests.tasks.ratings.made import made

QUIET = "ignore:.*(no line|categories|texts|left out|optional package).*"
WORDS = {0: "a quiet love story in a village", 1: "robots fight in space"}


def written(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clicks of users who like one of two kinds of items, and what the items are; nobody clicked `new0` and `new1`."""
    path, table = tmp_path_factory.mktemp("clicks"), made(users=150).as_behaviour(4.0)
    names = [(table.user_names[u], table.item_names[i]) for u, i in zip(table.users, table.items, strict=True)]
    written(path / "clicks.csv", [("user", "item"), *names, names[0]])
    own = [(name, f"Film {name[1:]}", WORDS[int(name[1:]) % 2]) for name in table.item_names]
    more = [("new0", "Village", WORDS[0]), ("new1", "Stars", WORDS[1])]
    written(path / "items.csv", [("item", "title", "description"), *own, *more])
    return path


def train(folder, name, *options):
    words = ["train", "anil", "--data", str(folder / "clicks.csv"), "--implicit", "--product-features"]
    words += [str(folder / "items.csv"), "--shots", "3", "--at-least", "6", "--steps", "120", "--meta-lr", "0.01"]
    words += ["--inner-lr", "1", "--meta-batch-size", "8", "--plan", "vmap", "--validate-every", "0"]
    out = folder / name
    assert main([*words, *options, "--out", str(out)]) == 0
    return str(out)


@pytest.fixture(scope="module")
def run(folder):
    with pytest.warns(UserWarning, match="1 rows of a pair that is there again were left out"):
        return train(folder, "run")


@pytest.mark.filterwarnings(QUIET)
def test_a_ranking_of_all_items_is_above_popularity(run, capsys):
    assert main(["test", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["learner"]: row["mean"] for row in told["baselines"]}
    assert told["protocol"]["metric"] == "ndcg" and {"popularity", "items by items (EASE)"} <= rows.keys()
    assert told["mean"] > rows["popularity"] + 0.1 and told["mean"] > rows["ANIL, untrained"]
    assert main(["test", run]) == 0
    assert "recall@10" in capsys.readouterr().out.splitlines()[0]
    pytest.importorskip("jinja2", reason="the report needs innerloop[report]")
    assert "What --diversity costs: nDCG@10 " in (Path(run) / "report.html").read_text()


@pytest.mark.filterwarnings(QUIET)
def test_items_of_the_kind_that_was_clicked_are_recommended_through_every_door(run, folder, capsys):
    mine = written(folder / "me.csv", [("item",), ("Film 0",), ("i2",), ("Film 4",)])
    assert main(["recommend", run, "--user", mine, "--top", "6", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["recommended"]
    recommender = Recommender.load(run).fit(["Film 0", "i2", "film 4"])
    own = recommender.recommend(6)
    assert [one["item"] for one in lines] == [one.item for one in own]
    assert sum(int(one.item[1:]) % 2 == 0 for one in own) >= 5
    assert all(one.deviation is None and 0 < one.rating < 1 and one.because for one in own)
    assert sum(recommender.predict([f"i{i}" for i in range(30)])) == pytest.approx(1, abs=1e-5)
    assert recommender.predict(["Film 0"]) == [0.0] and "%" in str(own[0])  # it is taken
    assert not {"new0", "new1"} & {one.item for one in recommender.recommend(40)}  # nothing is known of them
    assert recommender.fit({"i0": 5, "i2": 1, "i4": 3}).recommend(6) == own


@pytest.mark.filterwarnings(QUIET)
def test_an_item_that_nobody_has_seen_is_recommended_by_its_text(folder):
    pytest.importorskip("wordllama", reason="it reads the texts")
    recommender = Recommender.load(train(folder, "texts", "--text-encoder", "wordllama"))
    scores = recommender.fit(["i0", "i2", "i4"]).scores()
    village, stars = scores[recommender.find("Village")], scores[recommender.find("Stars")]
    assert village > stars
    everything = [one.item for one in recommender.recommend(40)]
    assert len(everything) == 29 and everything.index("new0") < everything.index("new1")
    scores = recommender.fit(["i1", "i3", "i5"]).scores()
    assert scores[recommender.find("Stars")] > scores[recommender.find("Village")]


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize(
    ("user", "words", "said"),
    [
        ([("item",), ("Flim 3",)], (), "there is no item 'Flim 3'; the nearest are 'Film 3'"),
        ([("thing",), ("Film 3",)], (), "first line must name the columns item"),
        ([("user", "item"), ("a", "i3"), ("b", "i4")], (), "ratings of 2 users, such as 'a' and 'b'"),
        ([("item",), ("i3",)], ("--ask", "3"), "which nobody is asked to rate"),
        ([("item",), ("i3",)], ("--diversity", "7"), "diversity is from 0 to 1, got 7"),
    ],
)
def test_what_cannot_be_recommended_is_said(run, folder, capsys, user, words, said):
    assert main(["recommend", run, "--user", written(folder / "bad.csv", user), *words]) == 2
    assert said in capsys.readouterr().err


def test_values_of_clicks_are_above_0(run):
    with pytest.warns(UserWarning, match="texts: description"):
        recommender = Recommender.load(run)
    with pytest.raises(InputError, match="'i3' has the value 0: name only what was taken"):
        recommender.fit({"i3": 0})
    assert recommender.fit({}).scores().isfinite().all()


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize(
    ("learner", "words", "said"),
    [
        ("anil", (), "where rows are clicks or purchases, add --implicit"),
        ("alpaca", ("--implicit",), "of clicks nobody says what is not liked: try anil"),
        ("anil", ("--liked", "4"), "--liked says which ratings count as taken: give --implicit as well"),
        ("anil", ("--implicit", "--liked", "4"), "first line must name the columns user, item, rating"),
        ("anil", ("--implicit", "--text-encoder", "nothing"), "'nothing' is no encoder of texts"),
        ("anil", ("--implicit", "--at-least", "99"), "has 99 known items: ask for fewer shots, or lower at_least"),
    ],
)
def test_what_cannot_be_trained_is_said(folder, capsys, learner, words, said):
    out = folder / "never"
    assert main(["train", learner, "--data", str(folder / "clicks.csv"), *words, "--out", str(out)]) == 2
    assert said in capsys.readouterr().err and not out.exists()
