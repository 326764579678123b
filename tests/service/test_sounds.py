"""A sound through every door: the same answer to the bit; and what is no sound is refused by its name."""

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from innerloop.cli.main import main
from innerloop.engine import TrainConfig, meta_train
from innerloop.fewshot.asking import predictions
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.service.parts import parts
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.audio import sound_folder
from tests.service.live import service
from tests.service.served import serving
from tests.service.tabs import facts, make
from tests.tasks import sounds
from tests.tasks.sounds import tone, wav


def run(folder: Path, tones: Path) -> Path:
    """A run on sounds that has learned for a moment."""
    pool = sound_folder(tones)
    record = {"learner": "protonet", "dataset": "tones", "shape": list(pool.shape), "preprocessing": pool.preprocessing}
    sampler = EpisodeSampler(pool=pool, ways=3, shots=1, queries=1, seed=0)
    learner = ProtoNet(encoder=MLP(inputs=1600, hidden=(), outputs=8))
    meta_train(learner, sampler, TrainConfig(steps=1, meta_batch_size=1, plan="loop"), out=folder, record=record)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with classes of tones, a run on them, and a task that was taught them on the command line."""
    root = tmp_path_factory.mktemp("sounds")
    run(root / "run", sounds.folder(root / "tones", 3))
    assert main(["adapt", str(root / "run"), str(root / "tones"), "--out", str(root / "t.fewshot")]) == 0
    return root


def probabilities(answer) -> list[dict[str, float]]:
    assert answer.status_code == 200, answer.text
    return [one["probabilities"] for one in answer.json()["predictions"]]


def test_any_sound_through_any_door(place):
    asked = [wav(tone(pitch, rate), rate) for pitch, rate in ((310, 44_100), (2_500, 8_000), (None, 16_000))]
    (place / "ask").mkdir()
    for i, content in enumerate(asked):
        (place / "ask" / f"{i}.wav").write_bytes(content)
    classifier = FewShotClassifier.load(place / "t.fewshot")
    assert classifier.kind == "sounds"
    names = classifier.classes_.tolist()
    expected = [dict(zip(names, row.tolist(), strict=True)) for row in classifier.predict_proba(asked)]
    alone = classifier.predict_proba(asked[1:2])[0]
    assert alone.tolist() == list(expected[1].values())
    assert [p["probabilities"] for p in predictions(place / "t.fewshot", [place / "ask"])] == expected
    assert [p["probabilities"] for p in predictions(place / "t.fewshot", [place / "ask/1.wav"])] == expected[1:2]
    again = FewShotClassifier(place / "run").fit_folder(place / "tones")
    assert again.predict_proba(asked).tolist() == classifier.predict_proba(asked).tolist()

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((place / "tones").rglob("*.wav")):
            archive.write(file, file.relative_to(place / "tones"))
    with serving(place / "store", sources=(str(place / "run"),)) as client:
        client.post("/api/tasks", json={"name": "t", "source": str(place / "run")}).raise_for_status()
        taught = client.post("/api/tasks/t/examples", files=[("files", ("tones.zip", packed.getvalue()))])
        assert taught.status_code == 201 and len(taught.json()["classes"]) == 4, taught.text
        files = [("files", (f"{i}.wav", content)) for i, content in enumerate(asked)]
        assert probabilities(client.post("/api/tasks/t/predict", files=files)) == expected
        ((rows, _),) = parts(asked, "sounds")
        body = {"sounds": [row["sound"] for row in rows]}
        assert probabilities(client.post("/api/tasks/t/predict", json=body)) == expected
        example = client.get("/api/tasks/t/examples", params={"label": "low"}).json()
        shown = client.get(f"/api/tasks/t/examples/{example[0]['id']}/picture")
        assert shown.headers["content-type"] == "image/png"  # what is seen of a sound


def test_what_is_no_sound_is_refused_by_its_name(place, tmp_path, capsys):
    (tmp_path / "odd.wav").write_text("only words")
    assert main(["predict", str(place / "t.fewshot"), str(tmp_path / "odd.wav")]) == 2
    assert "odd.wav is no WAV that can be read" in capsys.readouterr().err
    assert main(["adapt", str(place / "run"), str(tmp_path), "--out", str(tmp_path / "a.fewshot")]) == 2
    with serving(tmp_path / "store", sources=(str(place / "run"),)) as client:
        client.post("/api/tasks", json={"name": "t", "source": str(place / "run")}).raise_for_status()
        for name, content, said in (
            ("odd.wav", b"only words", "odd.wav is no WAV that can be read"),
            ("odd.mp3", b"ID3", "odd.mp3 is no WAV that can be read"),
            ("cut.wav", wav(tone())[:-5], "cut.wav is cut short"),
            ("a.png", b"\x89PNG", "takes sounds, not pictures"),
        ):
            answer = client.post("/api/tasks/t/examples", files=[("files", (name, content))], data={"label": "a"})
            assert answer.status_code == 422 and said in answer.text
        sent = {"label": "a", "sound": base64.b64encode(b"no").decode()}
        answer = client.post("/api/tasks/t/examples", content=json.dumps({"examples": [sent]}))
        assert answer.status_code == 422 and "examples[0].sound is no WAV" in answer.text


@pytest.mark.slow
def test_the_page_records(browser, tmp_path):
    """In a real browser, whose microphone is one that hears beeps."""
    runs = tmp_path / "runs"
    run(runs / "tones", sounds.folder(tmp_path / "tones", 2))
    hearing = browser.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
    )
    with service(tmp_path / "store", runs) as url:
        page = hearing.new_page()
        make(page, "heard", "tones", url=url)
        form = page.locator("form.composer").first
        for label in ("one", "two"):
            form.get_by_label("Class", exact=True).fill(label)
            form.get_by_role("button", name="Record").click()
            page.wait_for_timeout(1_500)
            form.get_by_role("button", name="Stop").click()
            form.locator(".pending audio").wait_for()
            form.get_by_role("button", name="Teach", exact=True).click()
            page.get_by_role("heading", name=label, level=3, exact=True).wait_for()
        facts(page, "2 classes · 2 examples · version 2")
        asking = page.locator("section.try")
        asking.get_by_role("button", name="Record").click()
        page.wait_for_timeout(1_200)
        asking.get_by_role("button", name="Stop").click()
        asking.locator(".answers li").first.wait_for()
    hearing.close()
