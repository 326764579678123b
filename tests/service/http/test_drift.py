"""Drift of served tasks: told alike over HTTP, in metrics and in a file, whichever worker answered."""

import numpy as np

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.drift import Drift
from tests.service.http.test_quality import CENTRES, taught
from tests.service.served import served_by, serving


def ask(client, label, rng, moved=()):
    row = CENTRES[label] + rng.normal(size=8) * 0.3 + np.array(moved or [0.0])
    return client.post("/api/tasks/t/predict", json={"features": [row.tolist()]}).json()["predictions"][0]


def feed(client, prediction, label, **headers):
    body = {"prediction": prediction["id"], "label": label}
    return client.post("/api/tasks/t/feedback", json=body, headers=headers)


def told(client):
    served_by(client).drifting.wait()
    return client.get("/api/tasks/t").json()["drift"]


def test_feedback_and_questions_are_noted_and_told_everywhere(tmp_path):
    rng = np.random.default_rng(0)
    with serving(tmp_path) as client:
        taught(client)
        assert told(client)["accuracy"]["count"] == 0 and "innerloop_drift{" not in client.get("/metrics").text
        for i in range(4):
            answer = ask(client, i, rng)
            assert feed(client, answer, "abcd"[i] if i else "b", key="x").status_code == 201
        one = ask(client, 0, rng)
        named = {"Idempotency-Key": "once"}
        first = feed(client, one, "a", **named).json()
        assert feed(client, one, "a", **named).json() == first  # learned once, and noted once
        feed(client, ask(client, 0, rng), "new")  # no answer could have been that
        now = told(client)
        assert (now["accuracy"]["count"], now["accuracy"]["recent"]) == (5, 0.8)
        assert now["distance"]["count"] == 6 and not now["drift"]
        metrics = client.get("/metrics").text
        assert 'innerloop_drift_values{chart="accuracy",task="t"} 5.0' in metrics
        assert 'innerloop_drift{chart="distance",task="t"} 0.0' in metrics
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
        assert FewShotClassifier.load(tmp_path / "t.fewshot", ("tests",)).show()["drift"] == now
        content = {"file": ("t.fewshot", (tmp_path / "t.fewshot").read_bytes())}
        again = client.post("/api/tasks/import", files=content, data={"name": "again"})
        assert again.json()["drift"] == now
        client.post("/api/tasks/t/undo").raise_for_status()
        assert told(client) == now
    with serving(tmp_path) as client:  # another process, or the same after a restart
        assert told(client) == now


def test_a_planted_drift_is_told_in_metrics_and_by_its_reason(tmp_path):
    rng = np.random.default_rng(1)
    with serving(tmp_path) as client:
        taught(client)
        ask(client, 0, rng)
        told(client)
        store, task = served_by(client).store, served_by(client).store.task("t")
        with store.database.writing() as c:  # what came before, which takes a while to ask
            before = Drift.from_json(task.drift)
            for value in rng.normal(before.far.mean, 0.2, size=200):
                before = before.asked(float(value))
            c.execute("UPDATE tasks SET drift = ?", (before.to_json(),))
        served_by(client).drifting.wait()
        for i in range(30):
            ask(client, i % 4, rng, moved=(0, 0, 0, 0, 9, 0, 0, 0))
        assert told(client)["distance"]["drift"] and told(client)["distance"]["since"]
        assert "times as far from the classes as before" in told(client)["reason"]
        assert 'innerloop_drift{chart="distance",task="t"} 1.0' in client.get("/metrics").text
