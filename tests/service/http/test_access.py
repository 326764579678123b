"""Keys that are for some tasks alone, at every route that the application has."""

from typing import Any

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.service.limits import Limits
from innerloop.service.store import keys
from tests.service.served import WORDS, serving, teach

OPEN = {"/", "/docs", "/healthz", "/static/{name}", "/api/sources", "/v2", "/v2/health/live", "/v2/health/ready"}
"""Routes that say nothing of any task."""
BODIES = {
    "/api/tasks": {"json": {"name": "theirs2", "source": WORDS}},
    "/api/tasks/import": {"files": {"file": ("theirs2.fewshot", b"x")}},
    "/api/tasks/{name}/examples": {"json": {"examples": [{"label": "a", "text": "a"}]}},
    "/api/tasks/{name}/predict": {"json": {"texts": ["a"]}},
    "/api/tasks/{name}/suggestions": {"json": {"texts": ["a"]}},
    "/api/tasks/{name}/table": {"files": {"file": ("t.csv", b"text,label\na,b\n")}},
    "/api/tasks/{name}/feedback": {"json": {"text": "a", "label": "a"}},
    "/api/tasks/{name}/examples/{id}": {"json": {"label": "a"}},
    "/api/tasks/{name}/rollback": {"json": {"version": 0}},
    "/v2/models/{name}/infer": {"json": {"inputs": [{"name": "texts", "datatype": "BYTES", "shape": [1]}]}},
    "/label-studio/{name}/setup": {"json": {"schema": "<View/>"}},
    "/label-studio/{name}/predict": {"json": {"label_config": "<View/>", "tasks": [{"data": {}}]}},
    "/label-studio/{name}/webhook": {"json": {"action": "START_TRAINING"}},
    "/api/taggers": {"json": {"name": "theirs2", "sentences": [{"text": "a"}]}},
    "/api/taggers/import": {"files": {"file": ("theirs2.conll", b"a B-x\n")}},
    "/api/taggers/words": {"json": {"texts": ["a"]}},
    "/api/taggers/{name}/tag": {"json": {"texts": ["a"]}},
    "/api/taggers/{name}/sentences": {"json": {"sentences": [{"text": "a"}]}},
}


@pytest.fixture
def client(tmp_path):
    """With tasks `mine` and `theirs`, and a key for `mine` and `later`."""
    with serving(tmp_path) as free:
        for name in ("mine", "theirs"):
            teach(free, name)
    token = keys.add(tmp_path, "write", tasks=["mine", "later", "mine"])[1]
    with serving(tmp_path, demand_keys=True, limits=Limits(rate=1e6)) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def routes(client) -> list[tuple[str, str]]:
    """Method and path of everything that the application answers, also what newer FastAPI keeps in routers."""
    routers = [getattr(route, "original_router", None) for route in client.app.routes]
    nested = [route for router in routers if router is not None for route in router.routes]
    flat = [route for route in (*client.app.routes, *nested) if hasattr(route, "path")]
    return [(method, route.path) for route in flat for method in route.methods if route.path != "/openapi.json"]


def ask(client, method: str, path: str, name: str) -> Any:
    place = (
        path.replace("{name}", name)
        .replace("{id}", "1")
        .replace("{version}", "1")
        .replace("{label:path}", "a")
        .replace("{type:path}", "a")
    )
    return client.request(method, place, **({} if method in ("GET", "HEAD") else BODIES.get(path, {})))


def test_no_route_reaches_a_task_of_somebody_else(client):
    asked = [(method, path) for method, path in routes(client) if path not in OPEN]
    assert len(asked) >= 18
    for method, path in asked:
        answer = ask(client, method, path, "theirs")
        if (method, path) == ("GET", "/api/tasks"):
            assert [task["name"] for task in answer.json()] == ["mine"]
            continue
        if (method, path) == ("GET", "/api/taggers"):
            assert answer.json()["taggers"] == []
            continue
        if path == "/api/taggers/words":
            assert answer.json() == {"texts": [{"text": "a", "words": [[0, 1]]}]}  # it says nothing of any tagger
            continue
        if (method, path) == ("GET", "/v2/models"):
            assert answer.json() == {"models": ["mine"]}
            continue
        assert answer.status_code == 403 and "for mine, later alone" in answer.text, (method, path, answer.text)
        assert ask(client, method, path, "nowhere").text == answer.text, "nor says whether there is one"


def test_every_route_reaches_its_own(client):
    for method, path in routes(client):
        if any(f"/{of}/{{name}}" in path for of in ("tasks", "taggers", "models", "label-studio")):
            answer = ask(client, method, path, "mine")
            assert answer.status_code != 403, (method, path)
    made = client.post("/api/tasks", json={"name": "later", "source": WORDS})
    assert made.status_code == 201 and client.get("/api/tasks/later").status_code == 200


def test_a_route_that_is_added_is_closed_until_somebody_opens_it(client):
    client.app.add_api_route("/api/everything", lambda: "all tasks")
    assert client.get("/api/everything").status_code == 403


def test_a_prediction_of_another_task_is_no_way_in(tmp_path):
    with serving(tmp_path) as client:
        teach(client, "mine")
        teach(client, "theirs")
        said = client.post("/api/tasks/theirs/predict", json={"texts": ["a"]}).json()["predictions"][0]["id"]
        answer = client.post("/api/tasks/mine/feedback", json={"prediction": said, "label": "a"})
        assert answer.status_code == 410


def test_the_command_line_makes_and_lists_them(tmp_path, capsys):
    add = ["serve", "keys", "add", "--store", str(tmp_path), "--scope", "write"]
    assert main([*add, "--task", "a", "b"]) == 0 and main(add) == 0
    assert [key.tasks for key, _ in keys.used(tmp_path)] == [("a", "b"), None]
    capsys.readouterr()
    assert main(["serve", "keys", "list", "--store", str(tmp_path)]) == 0
    assert "a, b" in capsys.readouterr().out
    for wrong in ("", "x" * 65, "a\nb"):
        with pytest.raises(InputError, match="no task can be called"):
            keys.add(tmp_path, "read", tasks=[wrong])
