"""A budget over HTTP: the same examples are learned from as in Python, and every version comes back."""

import numpy as np

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import source
from tests.service.http.test_quality import rows
from tests.service.served import PLAIN, served_by, serving

BUDGET = 3


def teach(client, x, y):
    examples = [{"label": label, "features": row.tolist()} for row, label in zip(x, y, strict=True)]
    return client.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status().json()


def test_a_task_with_a_budget_learns_what_python_does_and_says_so(tmp_path):
    x, y = rows([0, 1], 12)
    order = np.random.default_rng(0).permutation(len(x))
    with serving(tmp_path) as client:
        assert client.post("/api/tasks", json={"name": "t", "source": PLAIN, "budget": 0}).status_code == 422
        made = client.post("/api/tasks", json={"name": "t", "source": PLAIN, "budget": BUDGET}).json()
        assert made["budget"]["examples"] == BUDGET
        python = FewShotClassifier(source(PLAIN, ("tests",)), budget=BUDGET)
        for part in (order[:10], order[10:11], order[11:]):
            teach(client, x[part], y[part])
            python.partial_fit(x[part], y[part])
        shown = client.get("/api/tasks/t").json()
        assert shown["budget"] == python.show()["budget"] and shown["budget"]["kept"] == 2 * BUDGET
        assert {c["label"]: c["examples"] for c in shown["classes"]} == python.examples_ == {"a": 12, "b": 12}
        asked = rows([0, 1], 5, seed=2)[0]
        body = {"features": asked.tolist()}
        answers = client.post("/api/tasks/t/predict?explain=true", json=body).json()["predictions"]
        expected = python.predict_proba(asked)
        assert [[one["probabilities"][c] for c in "ab"] for one in answers] == expected.tolist()
        store = served_by(client).store
        learned, labels = store.support(store.task("t"))
        near, first = answers[0]["nearest"][0], python.explain(asked)[0][0]
        assert (near["label"], near["number"]) == (str(first.label), first.number)
        # Its id is that of the very example, not of the one that has its number among all that were taught.
        mine = [i for i, label in enumerate(labels) if label == near["label"]][near["number"] - 1]
        place = next(i for i, row in enumerate(x[order]) if np.array_equal(row, learned[mine]))
        with store.database.reading() as c:
            (row,) = c.execute("SELECT row FROM examples WHERE id = ?", (near["example"],)).fetchone()
        assert row == x[order][place].tobytes()
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
        file = FewShotClassifier.load(tmp_path / "t.fewshot", ("tests",))
        assert file.show()["budget"] == shown["budget"] and len(file.task.taught[0]) == 2 * BUDGET
        assert np.allclose(file.predict_proba(asked), expected, atol=1e-12)
        assert np.allclose(file.undo().predict_proba(asked), python.undo().predict_proba(asked), atol=1e-12)
        client.post("/api/tasks/t/undo").raise_for_status()
        answers = client.post("/api/tasks/t/predict", json=body).json()["predictions"]
        assert [[one["probabilities"][c] for c in "ab"] for one in answers] == python.predict_proba(asked).tolist()
        content = {"file": ("t.fewshot", (tmp_path / "t.fewshot").read_bytes())}
        refused = client.post("/api/tasks/import", files=content, data={"name": "again"})
        assert refused.status_code == 422 and "has let examples go, as its budget asks" in refused.json()["error"]
