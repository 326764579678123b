import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from innerloop.apps.recsys.dialogue import interview
from innerloop.apps.recsys.onboarding import most_telling
from innerloop.apps.recsys.recommender import Recommender
from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.core.types import Batch
from innerloop.evaluate.diversity import alike
from tests.apps.recsys.small import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table of two kinds of items, of which every user likes one."""
    return trained(tmp_path_factory.mktemp("ratings"))


@pytest.fixture(scope="module")
def recommender(run):
    with pytest.warns(UserWarning, match="categories: kind"):
        return Recommender.load(run)


LIKES_A = {"Film 0": 5, "i2": 5, "film 4": 4, "Film 1": 1, "Film 3": 2}


def test_it_recommends_the_kind_that_is_liked_and_says_why(recommender):
    found = recommender.fit(LIKES_A).recommend(8)
    assert all(int(one.item[1:]) % 2 == 0 for one in found[:5])
    assert not {one.title for one in found} & {"Film 0", "Film 2", "Film 4"}
    assert [one.rating for one in found] == sorted((one.rating for one in found), reverse=True)
    assert all(1 <= one.rating <= 5 and one.deviation > 0 and one.because for one in found)
    assert "because of Film" in str(found[0])
    other = recommender.fit({k: 6 - v for k, v in LIKES_A.items()}).recommend(5)
    assert all(int(one.item[1:]) % 2 for one in other)


def test_reasons_add_up_to_what_the_ratings_changed(recommender):
    at = torch.tensor([recommender.find(item) for item in ("i6", "i7")])
    before, after = (recommender.fit(r).scores().float()[at] for r in ({}, LIKES_A))
    user = recommender._fitted
    values = torch.tensor(list(user.ratings.values()))
    shares = recommender._taste.shares(user.adapted, list(user.ratings), values, at)
    assert torch.allclose(shares.sum(1), after - before, atol=1e-4)


def test_predictions_are_the_learners_own(recommender):
    recommender.fit(LIKES_A)
    at, taste = np.array([recommender.find(item) for item in LIKES_A]), recommender._taste
    inputs = {name: torch.from_numpy(rows) for name, rows in recommender._encoding.rows(None, at).items()}
    with torch.no_grad():
        y = torch.tensor([float(v) for v in LIKES_A.values()])[:, None]
        adapted = taste._learner.adapt(taste._params, Batch(inputs, y))
        own = taste._learner.predictive(taste._params, adapted, inputs)
    assert torch.allclose(recommender.scores().float()[at], own.outputs[0, :, 0], atol=1e-5)
    assert torch.allclose(taste.deviations(recommender._fitted.adapted)[at], own.std[0, :, 0], atol=1e-5)


def test_what_is_asked_first_leaves_less_unknown_than_what_comes_last(recommender):
    recommender.fit({})
    everything = recommender.ask(100)
    assert len(everything) == 30 and recommender.ask(3) == everything[:3]

    def unknown(titles):
        fitted = recommender.fit(dict.fromkeys(titles, 3))._fitted
        return float(recommender._taste.deviations(fitted.adapted).square().mean())

    assert unknown(everything[:3]) < unknown(everything[-3:])


def test_the_first_question_is_the_best_of_all_by_trying_each():
    generator = torch.Generator().manual_seed(1)
    basis = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    weight, noise = torch.rand(6, generator=generator, dtype=torch.float64), 0.7

    def left(rows):
        covariance = torch.linalg.inv(torch.eye(3).double() + rows.T @ rows / noise**2)
        return float((weight * ((basis @ covariance) * basis).sum(1)).sum())

    chosen = most_telling(torch.eye(3), noise, basis, torch.ones(6), basis, weight, 2)
    assert chosen[0] == int(np.argmin([left(basis[[i]]) for i in range(6)]))
    pairs = [left(basis[[chosen[0], i]]) if i != chosen[0] else np.inf for i in range(6)]
    assert chosen[1] == int(np.argmin(pairs))


def test_adapting_to_somebody_takes_milliseconds(recommender):
    recommender.fit(LIKES_A)
    start = time.process_time()
    for _ in range(20):
        recommender.fit(LIKES_A)
    assert (time.process_time() - start) / 20 < 0.1  # 1 ms; a bound that a busy machine holds


def test_what_is_not_known_is_named_with_the_nearest(recommender):
    with pytest.raises(InputError, match="there is no item 'Flim 7'; the nearest are 'Film"):
        recommender.fit({"Flim 7": 3})
    for wrong in (9, 0, float("nan")):
        with pytest.raises(InputError, match=f"rating {wrong:g} is outside of the scale from 1 to 5"):
            recommender.fit({"Film 7": wrong})
    with pytest.raises(InputError, match="no item is left: 30 are rated"):
        recommender.fit({f"i{i}": 3 for i in range(30)}).recommend()
    with pytest.raises(InputError, match="call fit first"):
        Recommender(*(getattr(recommender, f"_{k}") for k in ("learner", "params", "table", "encoding"))).recommend()


def test_of_several_ratings_of_one_item_the_latest_is_kept_and_counted(recommender, tmp_path):
    mine = tmp_path / "me.csv"
    mine.write_text("item,rating,time\ni6,5,2026-03-01\nFilm 6,1,2026-01-01\ni7,2,2026-02-01\n")
    with pytest.warns(UserWarning, match="1 ratings of an item that was rated again"):
        recommender.fit(mine)
    assert recommender._fitted.ratings == {recommender.find("i6"): 5.0, recommender.find("i7"): 2.0}
    mine.write_text("user,item,rating\na,i6,5\nb,i7,2\n")
    with pytest.raises(InputError, match="ratings of 2 users, such as 'a' and 'b'"):
        recommender.fit(mine)


def test_a_name_that_is_the_title_of_another_item_is_said(recommender):
    table = replace(recommender._table, titles=("i7", *recommender._table.titles[1:]))
    other = Recommender(recommender._learner, recommender._params, table, recommender._encoding)
    at = table.item_names.index("i7")
    with pytest.warns(UserWarning, match=f"'i7' is taken for the name of 'Film 7', not .* of {table.item_names[0]}"):
        assert other.find("i7") == at
    assert at != 0


def test_items_of_one_title_are_told_by_their_names(recommender):
    table = replace(recommender._table, titles=("Film", "film", *recommender._table.titles[2:]))
    other = Recommender(recommender._learner, recommender._params, table, recommender._encoding)
    first, second = (f"{title} ({name})" for title, name in zip(table.titles[:2], table.item_names[:2], strict=True))
    with pytest.raises(InputError, match=f"2 items are called 'Film': say which, such as '{re.escape(first)}', '"):
        other.find("Film")
    assert [other.title(0), other.title(1)] == [first, second] and other.find(second.upper()) == 1


@pytest.mark.filterwarnings("ignore:.*categories. kind")
def test_the_command_line_says_the_same(run, recommender, tmp_path, capsys):
    mine = tmp_path / "me.csv"
    mine.write_text("item,rating\n" + "".join(f"{k},{v}\n" for k, v in LIKES_A.items()))
    expected = recommender.fit(LIKES_A)
    assert main(["recommend", str(run), "--user", str(mine), "--top", "2", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["recommended"]
    assert [one["item"] for one in lines] == [one.item for one in expected.recommend(2)]
    assert main(["recommend", str(run), "--user", str(mine), "--ask", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == expected.ask(2)
    mine.write_text("item,rating\nFlim 3,4\n")
    assert main(["recommend", str(run), "--user", str(mine)]) == 2
    assert "the nearest are" in capsys.readouterr().err


def test_features_that_count_are_what_changes_where_they_are_not_known(recommender):
    one = recommender.fit(LIKES_A).recommend(1)[0]
    assert one.features[0][0] == "kind: a" and one.features[0][1] > 0 and "kind: a (+" in str(one)
    at, encoding = np.array([recommender.find(one.item)]), recommender._encoding
    rows = encoding.rows(None, at)
    rows["categories"][:] = encoding.single.starts[0]
    hidden = recommender._taste.answer(recommender._fitted.adapted, {k: torch.from_numpy(v) for k, v in rows.items()})
    assert one.features[0][1] == pytest.approx(float(recommender.scores()[at[0]]) - float(hidden[0]), abs=1e-4)


def test_a_diverse_list_begins_with_the_best_and_is_less_alike(recommender):
    recommender.fit(LIKES_A)
    plain, mixed = recommender.recommend(6), recommender.recommend(6, diversity=0.7)
    assert recommender.recommend(6, diversity=0.0) == plain and mixed[0] == plain[0]

    def how_alike(some):
        return alike(recommender._taste.vectors[[recommender.find(one.item) for one in some]])

    assert how_alike(mixed) < how_alike(plain)
    assert {int(one.item[1:]) % 2 for one in mixed} == {0, 1}
    with pytest.raises(InputError, match="diversity is from 0 to 1, got 2"):
        recommender.recommend(3, diversity=2)


def test_a_dialogue_asks_what_tells_most_after_every_answer(recommender):
    answers, asked, said = iter(["skip", "much", "5", "2"]), [], []

    def read(question):
        asked.append(question)
        return next(answers)

    first = recommender.fit({}).ask(3)
    known = interview(recommender, {"Film 1": 4.0}, 2, read, said.append)
    assert list(known.values()) == [4.0, 5.0, 2.0] and len(asked) == 4
    assert asked[1] == asked[2] and asked[0].startswith("1 of 2. ") and asked[3].startswith("2 of 2. ")
    assert asked[0] not in asked[1:] and "'much' is no rating from 1 to 5" in said[1]
    assert recommender.ratings == {recommender._table.item_names[recommender.find(k)]: v for k, v in known.items()}
    assert recommender.fit({}).ask(2, without=first[:1]) != first[:2]

    def ended(_):
        raise EOFError

    assert interview(recommender, {}, 5, ended, said.append) == {}
    assert interview(recommender, {}, 2, lambda _: "", said.append) == {}  # nobody knows anything: it ends


def test_at_a_terminal_it_asks_and_then_recommends(run, recommender, monkeypatch, capsys):
    typed = iter(["5", "skip", "1"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: next(typed))
    with pytest.warns(UserWarning, match="categories: kind"):
        assert main(["recommend", str(run), "--ask", "2", "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Rate from 1 to 5") and len(lines) == 4 and next(typed, None) is None
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert main(["recommend", str(run), "--ask", "2", "--diversity", "0.5"]) == 2
    assert "leave them out with --ask" in capsys.readouterr().err
