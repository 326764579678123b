"""Further examples of a task's classes over HTTP: the sheet that Python and the command line write of it."""

import pytest

from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.generated_files import sheet
from innerloop.fewshot.generation import of_task
from innerloop.fewshot.wish import Wish
from tests.generative import Shaded, draw, save
from tests.service.served import PLAIN, serving


@pytest.fixture
def drawn(tmp_path):
    """A client with the task `t` of a learner that generates."""
    run = str(save(tmp_path / "runs" / "shaded", Shaded()))
    draw(tmp_path / "pictures")
    with serving(tmp_path / "store", sources=(PLAIN, run)) as client:
        client.post("/api/tasks", json={"name": "t", "source": run}).raise_for_status()
        for label in ("kind0", "kind1", "kind2"):
            files = [("files", (p.name, p.read_bytes())) for p in sorted((tmp_path / "pictures" / label).iterdir())]
            client.post("/api/tasks/t/examples", data={"label": label}, files=files).raise_for_status()
        yield client


def test_the_sheet_is_that_of_python(drawn, tmp_path):
    file = tmp_path / "t.fewshot"
    file.write_bytes(drawn.get("/api/tasks/t/download").content)
    task = FewShotClassifier.load(file, allow=["tests"]).task
    for query, wish in {"": Wish(count=16), "?count=3&seed=5&ink=soft": Wish(count=3, seed=5, ink="soft")}.items():
        answer = drawn.get(f"/api/tasks/t/generated{query}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == sheet(of_task(task, wish))
    assert drawn.get("/api/tasks/t/abilities").json() == {"generate": True, "mutual_information": False}


def test_what_cannot_be_made_is_said(drawn):
    for wrong in ("count=0", "count=65", "seed=x", "temperature=-1", "temperature=nan", "ink=pink", "mean=perhaps"):
        assert drawn.get(f"/api/tasks/t/generated?{wrong}").status_code == 422, wrong
    assert drawn.get("/api/tasks/nobody/generated").status_code == 404
    assert drawn.get("/api/tasks/nobody/abilities").status_code == 404
    drawn.post("/api/tasks", json={"name": "plain", "source": PLAIN}).raise_for_status()
    assert drawn.get("/api/tasks/plain/abilities").json() == {"generate": False, "mutual_information": False}
    examples = [{"label": label, "features": [float(i)] * 8} for i, label in enumerate("ab")]
    drawn.post("/api/tasks/plain/examples", json={"examples": examples}).raise_for_status()
    refused = drawn.get("/api/tasks/plain/generated")
    assert refused.status_code == 422 and "viml" in refused.json()["error"]
