"""Any picture, in any batch, through any door: the same answer to the bit."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from innerloop.cli.main import main
from innerloop.fewshot.asking import predictions
from innerloop.fewshot.calibrate import NOTHING
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.service.store.store import Store
from tests.fewshot.test_reading import drawing, photograph
from tests.service.served import WORDS, serving

KANJI = "kanji-protonet"
TAUGHT = {name: [drawing(10 * i + j) for j in range(3)] for i, name in enumerate("abc")}


@st.composite
def pictures(draw) -> bytes:
    """Drawings and noise, of any size and brightness, grey or tinted, with or without an edge around them."""
    g = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    low, high = sorted(g.integers(0, 256, 2))
    values = g.integers(low, high + 1, (height, width)).astype(np.uint8)
    if draw(st.booleans()):
        values = np.where(g.random((height, width)) < draw(st.sampled_from([0.02, 0.2, 0.9])), low, high).astype(
            np.uint8
        )
    edge = draw(st.integers(0, 8))
    values = np.pad(values, edge, constant_values=draw(st.sampled_from([0, 255])))
    picture = Image.fromarray(values)
    if draw(st.booleans()):
        picture = Image.merge("RGB", (picture, picture, picture.point([9 * v // 10 for v in range(256)])))
    out = io.BytesIO()
    picture.save(out, draw(st.sampled_from(["PNG", "JPEG"])))
    return out.getvalue()


def files(contents):
    return [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    """The same task behind every door, each a function from pictures to probabilities of a, b and c."""
    folder = tmp_path_factory.mktemp("doors")
    for name, contents in TAUGHT.items():
        (folder / "teach" / name).mkdir(parents=True)
        for i, content in enumerate(contents):
            (folder / "teach" / name / f"{i}.png").write_bytes(content)
    assert main(["adapt", KANJI, str(folder / "teach"), "--out", str(folder / "t.fewshot")]) == 0
    with serving(folder / "store", sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI}).raise_for_status()
        for name, contents in TAUGHT.items():
            client.post("/api/tasks/t/examples", files=files(contents), data={"label": name}).raise_for_status()
        content = client.get("/api/tasks/t/download").content
        (folder / "down.fewshot").write_bytes(content)

        def post(contents):
            answer = client.post("/api/tasks/t/predict", files=files(contents))
            assert answer.status_code == 200, answer.text
            return [p["probabilities"] for p in answer.json()["predictions"]]

        def command(contents):
            (folder / "ask").mkdir(exist_ok=True)
            paths = [folder / "ask" / f"{i}.png" for i in range(len(contents))]
            for path, one in zip(paths, contents, strict=True):
                path.write_bytes(one)
            (folder / "ask.csv").write_text("path\n" + "\n".join(map(str, paths)) + "\n")
            return [p["probabilities"] for p in predictions(folder / "t.fewshot", [folder / "ask.csv"])]

        def python(classifier):
            names = classifier.classes_.tolist()
            return lambda contents: [
                dict(zip(names, row.tolist(), strict=True)) for row in classifier.predict_proba(contents)
            ]

        taught = FewShotClassifier(KANJI).fit_folder(folder / "teach")
        loaded = [FewShotClassifier.load(folder / name) for name in ("t.fewshot", "down.fewshot")]
        yield [post, command, *map(python, (taught, *loaded))]


@pytest.mark.exact
@settings(max_examples=10, deadline=None)
@given(asked=st.lists(pictures(), min_size=1, max_size=7))
def test_any_picture_in_any_batch_through_any_door(doors, asked):
    expected = [doors[2]([one])[0] for one in asked]
    for door in doors:
        assert door(asked) == expected
        assert door(asked[::-1]) == expected[::-1]
        assert door(asked[-1:]) == expected[-1:]


def test_the_first_pictures_decide_for_a_task_of_the_service_also_after_a_restart(tmp_path):
    edged = [drawing(i, edge=6) for i in range(3)]
    store = tmp_path / "store"
    with serving(store, sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI}).raise_for_status()
        for name, contents in TAUGHT.items():
            client.post("/api/tasks/t/examples", files=files(contents), data={"label": name}).raise_for_status()
        before = client.post("/api/tasks/t/predict", files=files(edged)).json()["predictions"]
    with serving(store, sources=(KANJI,)) as client:
        after = client.post("/api/tasks/t/predict", files=files(edged[:1])).json()["predictions"]
    assert after[0]["probabilities"] == before[0]["probabilities"]
    kept = Store(store)
    assert kept.task("t").reading.ink == "dark"
    kept.close()


def test_a_photograph_asked_of_drawings_is_refused_by_name(tmp_path):
    with serving(tmp_path, sources=(KANJI,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": KANJI}).raise_for_status()
        for name, contents in TAUGHT.items():
            client.post("/api/tasks/t/examples", files=files(contents), data={"label": name}).raise_for_status()
        for path, data in (("predict", None), ("examples", {"label": "a"})):
            beach = [("files", ("beach.png", photograph(0)))]
            refused = client.post(f"/api/tasks/t/{path}", files=beach, data=data)
            assert refused.status_code == 422 and "beach.png is a colour photograph" in refused.text


def test_tasks_that_read_otherwise_are_answered_together_and_each_as_alone(tmp_path):
    """Requests to several tasks of one source share a batch."""
    from innerloop.fewshot import sources
    from innerloop.service.http.adapted import Adapted, Raw, decide, encode
    from innerloop.service.http.work import answered, scanned

    pairs = []
    for paper, ink in ((240, 20), (15, 230)):
        raw = [Raw("pictures", drawing(i, paper=paper, ink=ink), f"{i}") for i in range(6)]
        source = decide(sources.source(KANJI), scanned(raw, 28))
        adapted = Adapted(source, np.stack(encode(source, raw)), list("aabbcc"), NOTHING)
        pairs += [(Raw("pictures", drawing(50, edge=edge), "ask"), adapted) for edge in (0, 6)]
        pairs.append((Raw("features", [0.5] * 784, "numbers"), adapted))
    together = [answer.probabilities for _, answer in answered(pairs, pixels=10_000)]
    assert together == [answered([pair], pixels=10_000)[0][1].probabilities for pair in pairs]
    assert together[0] != together[3]


def test_numbers_of_requests_are_numbers_in_the_downloaded_file_as_well(tmp_path):
    with serving(tmp_path, sources=(WORDS,)) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS}).raise_for_status()
        rows = np.eye(8)[:4] * 200
        examples = [{"label": "aabb"[i], "features": row.tolist()} for i, row in enumerate(rows)]
        client.post("/api/tasks/t/examples", json={"examples": examples}).raise_for_status()
        (tmp_path / "t.fewshot").write_bytes(client.get("/api/tasks/t/download").content)
    task = FewShotClassifier.load(tmp_path / "t.fewshot", allow=("tests",))
    assert np.array_equal(task.predict_proba(rows.astype(np.uint8)), task.predict_proba(rows))
    assert json.loads(json.dumps(task._fitted().source.reading.to_json()))["unit"] == 1
