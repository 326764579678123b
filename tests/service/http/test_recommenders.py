"""Recommenders over HTTP: what Python and the command line say, and people whose ratings are kept."""

import json
import sqlite3
from typing import Any

import pytest

from innerloop.apps.recsys.recommender import Recommender
from innerloop.cli.main import main
from innerloop.service.store import keys
from tests.apps.recsys.small import taking, trained
from tests.service.served import serving

pytestmark = pytest.mark.filterwarnings("ignore:.*categories. (kind|town)")
ALL = "/api/recommenders/run"
RATED = {"Film 0": 5, "i2": 5, "film 4": 4, "Film 1": 1, "Film 3": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("ratings"))


@pytest.fixture(scope="module")
def client(run, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store"), sources=(str(run),)) as client:
        yield client


def post(client, path, status=200, headers=None, **body):
    answer = client.post(f"{ALL}{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_http_python_and_command_line_recommend_the_same(client, run, tmp_path, capsys):
    mine = tmp_path / "me.csv"
    mine.write_text("item,rating\n" + "".join(f"{k},{v}\n" for k, v in RATED.items()))
    python = Recommender.load(run).fit(RATED)
    for familiarity, diversity in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.6)):
        how = ["--top", "7", "--familiarity", str(familiarity), "--diversity", str(diversity), "--json"]
        assert main(["recommend", str(run), "--user", str(mine), *how]) == 0
        printed = json.loads(capsys.readouterr().out)["recommended"]
        answers = post(client, "/recommend", ratings=RATED, top=7, familiarity=familiarity, diversity=diversity)
        assert answers["notices"] == []
        for ours, line, own in zip(
            answers["recommended"], printed, python.recommend(7, familiarity, diversity), strict=True
        ):
            for reason in ("because", "features"):
                shares = {one["title"]: one["share"] for one in ours.pop(reason)}
                assert shares == line.pop(reason) == dict(getattr(own, reason))
            assert ours == line == {k: getattr(own, k) for k in ("item", "title", "rating", "deviation")}
    assert main(["recommend", str(run), "--user", str(mine), "--ask", "4"]) == 0
    asked = [one["title"] for one in post(client, "/ask", ratings=RATED, count=4)["items"]]
    assert asked == capsys.readouterr().out.splitlines() == python.ask(4)
    left = post(client, "/ask", ratings=RATED, count=4, without=asked[:2])["items"]
    assert [one["title"] for one in left] == python.ask(4, asked[:2])


def test_features_of_somebody_are_answered_as_by_the_command_line(tmp_path, capsys):
    run = trained(tmp_path, users=True)
    mine = tmp_path / "me.csv"
    mine.write_text("item,rating\n" + "".join(f"{k},{v}\n" for k, v in RATED.items()))
    how = ["--features", "town=Ash", "clubs=chess|boats", "age=30", "--user", str(mine)]
    assert main(["recommend", str(run), *how, "--json"]) == 0
    printed = [(one["item"], one["rating"]) for one in json.loads(capsys.readouterr().out)["recommended"]]
    assert main(["recommend", str(run), *how, "--ask", "4"]) == 0
    asked = capsys.readouterr().out.splitlines()
    about: dict[str, Any] = {"town": "Ash", "clubs": ["chess", "boats"], "age": 30}
    asking: tuple[dict[str, Any], ...] = ({"ratings": RATED}, {"person": "ada"})
    with serving(tmp_path / "store", sources=(str(run),)) as client:
        assert client.get(ALL).json()["features"] == [
            {"name": "town", "kind": "category", "values": ["Ash", "Bray"]},
            {"name": "clubs", "kind": "categories", "values": ["boats", "chess", "drama"]},
            {"name": "age", "kind": "number", "values": []},
        ]
        post(client, "/people", 201, name="ada", ratings=RATED)
        plain = post(client, "/recommend", ratings=RATED)["recommended"]
        for whom in asking:
            answer = post(client, "/recommend", features=about, **whom)
            assert [(one["item"], one["rating"]) for one in answer["recommended"]] == printed
            assert answer["notices"] == [] and answer["recommended"] != plain
            assert [one["title"] for one in post(client, "/ask", features=about, count=4, **whom)["items"]] == asked
            # Nothing of it stays with a name.
            assert post(client, "/recommend", **whom)["recommended"] == plain
        answer = post(client, "/recommend", ratings=RATED, features={"town": "Crewe"})
        assert answer["notices"][0].startswith("town is Crewe of nobody in training")
        for features, said in (
            ({"towns": "Ash"}, "did you mean 'town'"),
            ({"age": "old"}, "age is a number"),
            ({"age": True}, "age"),
            ({"town": ["Ash", "Bray"]}, "town is one category"),
            ({"clubs": ["x"] * 201}, "clubs"),
        ):
            assert said in post(client, "/recommend", 422, ratings=RATED, features=features)["error"]
    with open(tmp_path / "store" / "store.sqlite", "rb") as file:
        assert b"Ash" not in file.read()


def test_people_are_kept_rated_changed_and_forgotten(client):
    first = post(client, "/people", 201, name="ada", ratings={"Film 0": 5, "i2": 5})
    assert first["version"] == 1
    assert first["ratings"] == [
        {"item": "i0", "title": "Film 0", "rating": 5},
        {"item": "i2", "title": "Film 2", "rating": 5},
    ]
    seen = {"If-Match": '"1"'}
    assert post(client, "/people/ada/ratings", 201, seen, ratings={"Film 2": None, "Film 4": 4}) == {"version": 2}
    assert post(client, "/people/ada/ratings", 412, seen, ratings={"Film 4": 1})["error"].startswith("'ada' is at")
    rest = {k: v for k, v in RATED.items() if k not in ("Film 0", "film 4", "i2")}
    post(client, "/people/ada/ratings", 201, ratings={**rest, "i2": 5})
    kept = client.get(f"{ALL}/people/ada").json()
    assert {one["title"]: one["rating"] for one in kept["ratings"]} == {
        "Film 0": 5, "Film 4": 4, "Film 1": 1, "Film 3": 2, "Film 2": 5
    }  # fmt: skip
    own = post(client, "/recommend", person="ada")["recommended"]
    sent = post(client, "/recommend", ratings=RATED)["recommended"]
    assert [one["item"] for one in own] == [one["item"] for one in sent]
    # Sums over ratings in another order are rounded otherwise.
    assert [one["rating"] for one in own] == pytest.approx([one["rating"] for one in sent], abs=1e-4)
    assert post(client, "/ask", person="ada") == post(client, "/ask", ratings=RATED)
    assert client.get(ALL).json() == {
        "name": "run",
        "items": 30,
        "lowest": 1,
        "highest": 5,
        "step": 1,
        "behaviour": False,
        "people": 1,
        "features": [],
    }
    assert [one["name"] for one in client.get(f"{ALL}/people").json()] == ["ada"]
    assert client.get(f"{ALL}/people", params={"after": kept["id"]}).json() == []
    assert client.delete(f"{ALL}/people/ada").status_code == 204
    assert client.get(f"{ALL}/people/ada").status_code == 404
    assert client.get("/api/recommenders").json()[0]["people"] == 0


def test_a_change_that_is_sent_again_is_made_once(client):
    once = {"Idempotency-Key": "once"}
    first, again = (post(client, "/people", 201, once, name="bo", ratings={"Film 1": 2}) for _ in range(2))
    assert first == again
    rated = [post(client, "/people/bo/ratings", 201, {"Idempotency-Key": "r"}, ratings={"i5": 3}) for _ in range(2)]
    assert rated == [{"version": 2}] * 2
    assert post(client, "/people/bo/ratings", 409, {"Idempotency-Key": "r"}, ratings={"i5": 4})
    for _ in range(2):
        assert client.delete(f"{ALL}/people/bo", headers={"Idempotency-Key": "gone"}).status_code == 204


def test_who_is_forgotten_forever_is_in_no_file(client, tmp_path, run):
    with serving(tmp_path, sources=(str(run),)) as own:
        post(own, "/people", 201, name="wilhelmine", ratings={"Film 1": 2})
        assert any(b"wilhelmine" in file.read_bytes() for file in tmp_path.iterdir())
        assert own.delete(f"{ALL}/people/wilhelmine", params={"forever": 1}).status_code == 204
        assert not any(b"wilhelmine" in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/recommend", {"ratings": {"Flim 7": 3}}, 422, "no item 'Flim 7'; the nearest are 'Film"),
        ("/recommend", {"ratings": {"Film 7": 9}}, 422, "rating 9 of 'Film 7' is outside of the scale from 1 to 5"),
        ("/recommend", {"ratings": {"Film 7": 3, "i7": 4}}, 422, "'Film 7' and 'i7' are one item"),
        ("/recommend", {"ratings": {"Film 7": "3"}}, 422, "ratings.Film 7"),
        ("/recommend", {"ratings": {f"i{i}": 3 for i in range(30)}}, 422, "no item is left"),
        ("/recommend", {"top": 0}, 422, "top"),
        ("/recommend", {"person": "nobody"}, 404, "'run' knows nobody called 'nobody'"),
        ("/recommend", {"person": "nobody", "ratings": {"i1": 3}}, 422, "ratings and a person were given"),
        ("/recommend", {"familiarity": -1}, 422, "familiarity"),
        ("/recommend", {"diversity": 1.5}, 422, "diversity"),
        ("/ask", {"count": 101}, 422, "count"),
        ("/people", {"name": "a/b"}, 422, "'/'"),
        ("/people/nobody/ratings", {"ratings": {"i1": 3}}, 404, "knows nobody called 'nobody'"),
        ("/people/nobody/ratings", {"ratings": {}}, 422, "ratings"),
        ("/people", {"name": "c", "ratings": {"x": 3}}, 422, "no item 'x'"),
    ],
)
def test_what_cannot_be_is_refused(client, path, body, status, said):
    assert said in post(client, path, status, **body)["error"]
    assert client.get(f"{ALL}/people").json() == []


def test_json_of_no_number_and_unknown_recommenders_are_refused(client):
    for text in (b'{"ratings": {"i1": NaN}}', b'{"ratings": {"i1": 1e999}}'):
        answer = client.post(f"{ALL}/recommend", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
    for name in ("other", "..", "%2Fetc"):
        answer = client.post(f"/api/recommenders/{name}/recommend", json={})
        assert answer.status_code in (404, 405, 422)
    assert "this server has run" in client.post("/api/recommenders/other/ask", json={}).json()["error"]


def test_kept_ratings_that_a_run_does_not_know_stay_and_are_not_used(client):
    post(client, "/people", 201, name="eve", ratings={"Film 1": 2})
    path = client.app.state.service.store.database.path
    with sqlite3.connect(path) as c:
        c.execute('UPDATE people SET ratings = \'{"i1": 2, "gone": 3, "i2": 40}\' WHERE name = \'eve\'')
    c.close()
    answer = post(client, "/recommend", person="eve")
    assert answer["notices"] == ["2 kept ratings are of nothing that this run knows"]
    assert answer["recommended"] == post(client, "/recommend", ratings={"i1": 2})["recommended"]
    assert {"item": "gone", "title": "gone", "rating": 3} in client.get(f"{ALL}/people/eve").json()["ratings"]
    client.delete(f"{ALL}/people/eve").raise_for_status()


def test_items_are_looked_for(client):
    answer = client.get(f"{ALL}/items", params={"search": "film 1", "limit": 3}).json()
    assert len(answer) == 3 and all(one["title"].startswith("Film 1") for one in answer)


def test_keys_that_look_may_ask_and_change_nobody(run, tmp_path):
    _, reader = keys.add(tmp_path, "read", "", ())
    _, limited = keys.add(tmp_path, "write", "", ("other",))
    with serving(tmp_path, sources=(str(run),), demand_keys=True) as own:
        headers = {"Authorization": f"Bearer {reader}"}
        post(own, "/recommend", 200, headers, ratings=RATED)
        post(own, "/ask", 200, headers, ratings=RATED)
        post(own, "/people", 403, headers, name="ada")
        post(own, "/recommend", 403, {"Authorization": f"Bearer {limited}"}, ratings=RATED)
        post(own, "/recommend", 401, ratings=RATED)


def test_runs_of_a_folder_recommend_and_others_do_not(run, tmp_path):
    with serving(tmp_path / "store", runs=str(run.parent)) as own:
        assert [one["name"] for one in own.get("/api/recommenders").json()] == ["run"]
        assert post(own, "/recommend", ratings=RATED)["recommended"]
        assert "run" not in {one["name"] for one in own.get("/api/sources").json()}
    with serving(tmp_path / "other", runs=str(tmp_path)) as own:
        assert own.get("/api/recommenders").json() == []


def test_what_people_took_recommends_by_chances(tmp_path):
    run = taking(tmp_path)
    python = Recommender.load(run).fit(["i0", "i2"])
    with serving(tmp_path / "store", sources=(str(run),)) as own:
        (about,) = own.get("/api/recommenders").json()
        assert about["behaviour"] and about["name"] == "taken"
        path = "/api/recommenders/taken"
        answer = own.post(f"{path}/recommend", json={"ratings": {"i0": 1, "i2": 1}, "top": 4}).json()["recommended"]
        expected = python.recommend(4)
        assert [(one["item"], one["rating"], one["deviation"]) for one in answer] == [
            (one.item, one.rating, None) for one in expected
        ]
        refused = own.post(f"{path}/ask", json={"ratings": {"i0": 1}})
        assert refused.status_code == 422 and "which nobody is asked to rate" in refused.json()["error"]
        refused = own.post(f"{path}/recommend", json={"ratings": {"i0": 0}})
        assert refused.status_code == 422 and "the rating 0 of 'i0' is not above 0" in refused.json()["error"]
