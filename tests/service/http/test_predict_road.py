"""What is asked most takes a road of its own: whatever is asked, it is answered as the framework's route answers."""

import json

import pytest

from innerloop.service.store import keys
from tests.service.served import PLAIN, serving

FRAMEWORK = "?explain=false"
"""A question that the quick road leaves to the framework."""
ROW = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("road"), sources=(PLAIN,)) as made:
        for task in ("t", "bare"):
            made.post("/api/tasks", json={"name": task, "source": PLAIN}).raise_for_status()
        examples = [{"label": label, "features": [value] * 8} for value, label in enumerate("aabb")]
        made.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status()
        yield made


BODIES = {
    "right": json.dumps({"features": [ROW, ROW[::-1]]}),
    "two kinds": json.dumps({"features": [ROW], "texts": ["a"]}),
    "other kind": json.dumps({"texts": ["a"]}),
    "nothing": "{}",
    "too short": json.dumps({"features": [[1.0]]}),
    "not finite": '{"features": [[NaN]]}',
    "no JSON": "{",
    "empty": "",
    "a list": "[]",
    "another field": json.dumps({"features": [ROW], "explain": True}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("task", ["t", "bare", "none", "a%2Fb", "%00", "-", "x" * 70])
def test_both_roads_say_the_same(client, task, kind, body):
    path, headers = f"/api/tasks/{task}/predict", {"content-type": kind}
    answers = [client.post(path + how, content=body, headers=headers) for how in ("", FRAMEWORK)]
    plain = [answer.json() for answer in answers]
    for one in plain:
        for prediction in one.get("predictions", ()):
            prediction.pop("id")
    assert plain[0] == plain[1]
    lengths = [dict(answer.headers, **{"content-length": ""}) for answer in answers]
    assert answers[0].status_code == answers[1].status_code and lengths[0] == lengths[1]


def test_it_is_taken_and_counted_by_the_route(client, monkeypatch):
    body = {"features": [ROW]}
    with monkeypatch.context() as other:
        other.setattr("innerloop.service.http.routes.payload", None)
        assert client.post(f"/api/tasks/t/predict{FRAMEWORK}", json=body).status_code == 500
        assert client.post("/api/tasks/t/predict", json=body).status_code == 200
    count = 'requests_total{method="POST",route="/api/tasks/{name}/predict",status="200"}'

    def counted():
        return next(float(line.split()[-1]) for line in client.get("/metrics").text.splitlines() if count in line)

    before = counted()
    assert client.post("/api/tasks/t/predict", json=body).status_code == 200 and counted() == before + 1


def test_a_key_for_other_tasks_gets_no_further(tmp_path):
    with serving(tmp_path, sources=(PLAIN,), demand_keys=True) as made:
        headers = {"authorization": f"Bearer {keys.add(tmp_path, 'read', tasks=['u'])[1]}"}
        for how in ("", FRAMEWORK):
            for task, status in (("t", 403), ("u", 404)):
                answer = made.post(f"/api/tasks/{task}/predict{how}", json={"features": [ROW]}, headers=headers)
                assert answer.status_code == status, answer.text
