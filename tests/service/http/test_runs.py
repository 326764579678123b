"""Runs over HTTP: as a source of tasks, with their numbers, and compared."""

from innerloop.engine import load
from innerloop.engine.checkpoint import save_params
from innerloop.evaluate.compare import compare
from innerloop.evaluate.result import ONE_TRAINING, Result
from innerloop.runs.measure import MetaTestOptions, measure
from tests.service.served import picture, refused, serving


def test_a_learner_with_fixed_ways_refuses_a_class_too_many(tmp_path):
    from dataclasses import replace

    from innerloop.runs import build, defaults

    usual = defaults("maml", "digits")
    options = replace(
        usual,
        task=replace(usual.task, ways=2),
        network=replace(usual.network, width=4),
        train=replace(usual.train, steps=1, plan="loop"),
    )
    build(options).meta_train(tmp_path / "runs" / "two")
    with serving(tmp_path / "store", runs=str(tmp_path / "runs")) as client:
        assert {s["name"]: s["kind"] for s in client.get("/api/sources").json()}["two"] == "pictures"
        client.post("/api/tasks", json={"name": "p", "source": "two"}).raise_for_status()
        files = [("files", (f"{c}.png", picture(c))) for c in ("red", "blue")]
        assert client.post("/api/tasks/p/examples", files=files, data={"label": ["a", "b"]}).status_code == 201
        third = client.post("/api/tasks/p/examples", files=files[:1], data={"label": "c"})
        refused(third, 422, "tells 2 classes apart, and these would be 3")
        assert client.post("/api/tasks/p/predict", files=files).status_code == 200
        runs = client.get("/api/runs").json()
        assert runs[0]["name"] == "two" and runs[0]["learner"] == "maml" and runs[0]["data"] == "digits"
        shown = client.get("/api/runs/two").json()
        assert shown["config"]["record"]["learner"] == "maml" and shown["metrics"][-1]["step"] == 1
        file = measure(tmp_path / "runs" / "two", MetaTestOptions(episodes=4, queries=3)).file
        (summary,) = client.get("/api/runs").json()
        names = [(test["file"], test["baseline"], test["mark"]) for test in summary["tests"]]
        assert names[0] == (file.name, None, None), "the run's own number first, baselines after it"
        assert {baseline for _, baseline, _ in names[1:]} == {"untrained", "pixels"}
        assert "scores" not in summary["tests"][0] and summary["tests"][0]["title"] == "accuracy"
        assert summary["tests"][0]["number"] == Result.load(file).number
        (table,) = client.get("/api/comparisons", params={"run": "two"}).json()
        results = [Result.load(tmp_path / "runs" / "two" / row["file"]) for row in table["rows"]]
        printed = compare(*results)
        assert [row["difference"] for row in table["rows"]] == [row.cells[2] or None for row in printed.rows]
        assert table["measured"] == printed.notes and ONE_TRAINING in table["measured"]
        assert table["rows"][0]["baseline"] is None and table["rows"][0]["run"] == "two"
        assert client.get("/api/comparisons?run=two&run=nix").status_code == 404
        assert client.get("/api/comparisons").status_code == 422
        learner, params = load(tmp_path / "runs" / "two")
        save_params(tmp_path / "runs" / "two", learner, {k: v + 0.1 for k, v in params.items()})
        stale = client.get("/api/runs/two").json()["tests"][0]
        assert stale["mark"] == "of other parameters than the run has now" and len(stale["scores"]) == 4
        file.write_text(file.read_text().replace('"mean": ', '"mean": 1'))
        for tests in (client.get("/api/runs").json()[0]["tests"], client.get("/api/runs/two").json()["tests"]):
            assert [test["baseline"] for test in tests[:2]].count(None) == 0 and "mean" not in tests[2]
            assert tests[2]["error"].startswith(f"{file.name} was edited")
            assert "`innerloop test two --ways 2" in tests[2]["error"] and str(tmp_path) not in tests[2]["error"]
        for trick in ("..", "%2e%2e", "two%2F..%2F..", "nix", "%00"):
            assert client.get(f"/api/runs/{trick}").status_code in (404, 422)
