import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from innerloop.cli.main import main
from innerloop.core.errors import FailedError, InputError
from innerloop.evaluate.ink import inked
from innerloop.fewshot import generated_files
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.generation import generate
from innerloop.fewshot.wish import Wish
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from tests import generative
from tests.generative import SIZE, Shaded


@pytest.fixture
def run(tmp_path):
    return str(generative.save(tmp_path / "run", Shaded()))


@pytest.fixture
def folders(tmp_path):
    return generative.draw(tmp_path / "drawn")


def said(capsys, words):
    status = main(["generate", *map(str, words), "--allow", "tests"])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_python_command_line_and_a_taught_task_generate_the_same(tmp_path, run, folders, capsys):
    made = generate(run, folders, Wish(count=20, seed=3), allow=("tests",))
    assert made.classes == ("kind0", "kind1", "kind2") and made.x.shape == (3, 20, 1, SIZE, SIZE)
    out = tmp_path / "made.npz"
    status, text, _ = said(capsys, [run, *folders, "--count", 20, "--seed", 3, "--out", out, "--json"])
    about = json.loads(text)
    assert status == 0 and about["examples"] == {"kind0": 3, "kind1": 3, "kind2": 3} and about["ink"] == "crisp"
    arrays = np.load(out)
    assert np.array_equal(arrays["x"], (made.x.flatten(0, 1) * 255).numpy())
    assert arrays["y"].tolist() == ["kind0"] * 20 + ["kind1"] * 20 + ["kind2"] * 20
    classifier = FewShotClassifier.load(run, ("tests",)).fit_folder(tmp_path / "drawn")
    assert torch.equal(classifier.generate(Wish(count=20, seed=3)).x, made.x)
    taught = classifier.save(tmp_path / "taught.fewshot")
    assert said(capsys, [taught, "--count", 20, "--seed", 3, "--out", tmp_path / "again.npz"])[0] == 0
    assert np.array_equal(np.load(tmp_path / "again.npz")["x"], arrays["x"])
    # Another count has the same first examples, one folder of classes is its classes, others differ.
    few = generate(run, [tmp_path / "drawn"], Wish(count=5, seed=3), allow=("tests",))
    assert torch.equal(few.x, made.x[:, :5])
    assert not torch.equal(generate(run, folders, Wish(count=5), allow=("tests",)).x, few.x)


def test_ink_is_made_crisp_by_the_stated_rule(run, folders):
    soft, crisp = (generate(run, folders, Wish(count=4, ink=ink), allow=("tests",)) for ink in ("soft", None))
    assert crisp.ink == "crisp" and set(crisp.x.unique().tolist()) == {0.0, 1.0} and len(soft.x.unique()) > 50
    assert torch.equal(crisp.x, inked(soft.x, "crisp"))
    cut = generate(run, folders, Wish(count=4, ink="cut"), allow=("tests",))
    assert torch.equal(cut.x == 1, soft.x >= 0.5) and not torch.equal(cut.x, crisp.x)
    still = generate(run, folders, Wish(count=4, ink="soft", temperature=0.0), allow=("tests",))
    given = {tuple(x.flatten().tolist()) for x in still.given[1]}
    assert {tuple(x.flatten().tolist()) for x in still.x[1]} <= given


def test_own_pictures_come_to_the_size_and_ink_of_the_run(tmp_path, run):
    inks = []
    for dark in (True, False):
        folders = generative.draw(tmp_path / f"large{dark}", size=3 * SIZE, dark=dark)
        made = generate(run, folders, Wish(count=4), allow=("tests",))
        inks.append(made.x)
        assert made.given[0].shape[1:] == (1, SIZE, SIZE) and made.given[0].mean() < 0.4 and made.dark is dark
        out = generated_files.write(made, tmp_path / f"pictures{dark}")
        files = sorted(out.rglob("*.png"))
        assert len(files) == 12 and oct(out.stat().st_mode & 0o777) == oct(0o777 & ~umask())
        first = np.asarray(Image.open(files[0]))  # with ink as the given pictures had it
        assert np.array_equal(first < 128, made.x[0, 0, 0].numpy() == (1 if dark else 0))
    assert torch.equal(inks[0], inks[1])


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_one_example_is_enough_and_names_that_are_alike_go_by_the_folder_above(tmp_path, run, capsys):
    one = generative.draw(tmp_path / "a", classes=1, each=1) + generative.draw(tmp_path / "b", classes=1, each=2)
    assert generate(run, one, Wish(count=2), allow=("tests",)).classes == ("a/kind0", "b/kind0")
    assert said(capsys, [run, *one, "--count", 2, "--out", tmp_path / "sheets" / "s.png"])[0] == 0
    sheet = Image.open(tmp_path / "sheets" / "s.png")
    assert sheet.size == (2 * (2 * 14 + 8 + 2 * 14 - 2), 2 * (2 * 14 - 2)) and not list(tmp_path.rglob(".*"))
    assert said(capsys, [run, *one, "--count", 2, "--out", tmp_path / "p"])[0] == 0
    assert sorted(place.name for place in (tmp_path / "p").iterdir()) == ["a-kind0", "b-kind0"]


def test_arrays_and_vectors_by_class(tmp_path):
    run = generative.save(tmp_path / "run", Shaded(), preprocessing=None, shape=[4])
    made = generate(run, {"a": np.eye(4)[:2], 7: np.eye(4)[2:]}, Wish(count=3), allow=("tests",))
    assert made.x.shape == (2, 3, 4) and made.ink == "soft"
    assert np.load(generated_files.write(made, tmp_path / "v.npz"))["x"].dtype == np.float32
    for out in ("v.png", "v"):
        with pytest.raises(InputError, match="no pictures"):
            generated_files.write(made, tmp_path / out)
        assert not (tmp_path / out).exists()
    with pytest.raises(InputError, match="no drawings in grey"):
        generate(run, {"a": np.eye(4)}, Wish(ink="crisp"), allow=("tests",))
    with pytest.raises(InputError, match="give arrays by class"):
        generate(run, [tmp_path], allow=("tests",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", 0], "count is a whole number from 1 to 1,000"),
        (["--count", 10000], "count is a whole number from 1 to 1,000"),
        (["--temperature", -1], "temperature is a number from 0 on"),
        (["--mean"], "Shaded has no mean to set"),
        (["--out", "there"], "there exists already and is a folder"),
        (["--out", "there.png"], "there.png exists already and is a folder"),
        (["--out", "file"], "file exists already and is a file"),
        (["--out", "sheet.jpg"], "ends otherwise than in .png"),
        (["--out", "file/sheet.png"], "cannot write"),
        (["drawn/kind0"], "class 'drawn/kind0' is given twice"),
        (["nowhere"], "there is no folder nowhere"),
        (["file"], "file is a file: give the folder"),
        (["there"], "no sub-folders"),
        (["text"], "no picture"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(tmp_path, run, folders, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("there", "there.png", "text/notes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "text" / "notes" / "a.txt").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = said(capsys, [run, *folders, *words])
    assert status == 2 and message in err and err.count("\n") == 1 and not out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_cannot_generate_is_told_who_can(tmp_path, folders):
    run = generative.save(tmp_path / "centroid", NearestCentroid())
    with pytest.raises(InputError, match=r"NearestCentroid tells classes apart and cannot generate.*figr"):
        generate(run, folders)
    with pytest.raises(InputError, match="knows its classes"):
        generated_files.generate("mine.fewshot", folders, str(tmp_path / "x.png"))
    with pytest.raises(InputError, match="no class"):
        generate(generative.save(tmp_path / "run", Shaded()), [], allow=("tests",))


def test_what_is_not_finite_is_no_picture(tmp_path, folders):
    run = generative.save(tmp_path / "run", Shaded(temperature=1e38))
    with pytest.raises(FailedError, match="not finite"):
        generate(run, folders, Wish(count=2), allow=("tests",))
