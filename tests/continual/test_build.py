"""Options into runs on streams, and what is refused before anything is learned."""

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from innerloop.cli.main import main
from innerloop.continual.baselines import asked
from innerloop.continual.build import FollowOptions, Options, build
from innerloop.continual.features import featured
from innerloop.continual.hindsight import end_of
from innerloop.continual.report import command
from innerloop.continual.streams import ClassOptions, DigitOptions, kind_of, names, of_record
from innerloop.core.errors import InputError
from innerloop.engine.checkpoint import read_config, save_params, write_config
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.problems.networks import NetworkOptions
from innerloop.tasks import Pool

SMALL = ClassOptions(stream="digits", split="all", classes=4, rows=12, batch_size=6)
NETWORK = NetworkOptions(width=8)


def options(stream: Any = SMALL, **other: Any) -> Options:
    """Fine-tuning on a few digits."""
    return Options(**({"learner": "fine_tune_online", "network": NETWORK} | other), stream=stream)


def test_a_run_is_what_its_options_say():
    run: Any = build(options(follow=FollowOptions(seed=3, room=6), fields={"inner_lr": 0.2}))
    assert (run.learner.inner_lr, run.learner.model.outputs, run.stream.seed, run.stream.room) == (0.2, 6, 3, 4)
    assert of_record(json.loads(json.dumps(run.record))["options"]) == SMALL
    shuffled: Any = build(options(SMALL.shuffled())).stream
    assert shuffled.order == "shuffled"
    rainbow: Any = build(options(DigitOptions(stream="rainbow-digits", tasks=2, rows=5, held_out=5)))
    assert (rainbow.learner.model.channels, rainbow.learner.model.norm) == (3, False)


def test_the_same_seed_brings_the_same_rows_and_parameters_and_another_seed_others():
    runs = [build(options(follow=FollowOptions(seed=seed))) for seed in (0, 0, 1)]
    x, params = ([f(run) for run in runs] for f in (lambda r: r.stream.batches(0, 1).x, lambda r: r.params["1.weight"]))
    for values in (x, params):
        assert torch.equal(values[0], values[1])
        assert not torch.equal(values[0], values[2])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"learner": "maml"}, "maml learns a task at once and not row by row.*These can: .*fine_tune_online"),
        ({"learner": "fine_tune_onlin"}, "there is no learner 'fine_tune_onlin'"),
        ({"fields": {"outer_lr": 1}}, "fine_tune_online has no hyper-parameter 'outer_lr'"),
        ({"follow": FollowOptions(room=3)}, "4 classes, 0 to 3, and the head room for 3: .* --room 4"),
        ({"stream": replace(SMALL, classes=11)}, "the stream is shorter than asked: digits .all. has 10 classes"),
        ({"stream": replace(SMALL, rows=500)}, "the stream is shorter than asked: 500 rows and 5 held out"),
        ({"stream": replace(SMALL, features="kanji-protonet")}, r"trained on examples of shape \[1, 28, 28\]"),
        ({"network": NetworkOptions(network="conv5")}, "there is no network 'conv5'"),
    ],
)
def test_what_does_not_fit_is_refused(asked, said):
    with pytest.raises(InputError, match=said):
        build(options(**asked))


def test_a_stream_is_found_by_its_name():
    assert kind_of("rotated-digits") is DigitOptions
    assert kind_of("kanji") is ClassOptions
    assert {"rotated-digits", "permuted-digits", "rainbow-digits", "kanji", "omniglot"} <= set(names())
    with pytest.raises(InputError, match="no stream and no folder 'rotated-digit'; did you mean 'rotated-digits'"):
        kind_of("rotated-digit")


def test_a_run_begins_with_the_parameters_of_another(tmp_path):
    first = build(options())
    first.learn(tmp_path)
    start = replace(NETWORK, start=str(tmp_path))
    wider = build(options(replace(SMALL, classes=5), network=start, follow=FollowOptions(seed=9)))
    assert torch.equal(wider.params["1.weight"], first.params["1.weight"])
    assert wider.params["5.weight"].shape == (5, 8)


def encoder_run(folder, record) -> str:
    """A run of protonet, untrained, whose encoder has batch norms."""
    learner = ProtoNet(encoder=Conv4(size=8, outputs=None, width=4, pool="stride"))
    save_params(folder, learner, learner.init(0))
    write_config(folder, learner, {}, record)
    return str(folder)


class TestFeatures:
    def test_a_row_is_its_own_whatever_comes_with_it(self, tmp_path):
        source = encoder_run(tmp_path, {"task": {"data": "digits"}})
        pool = Pool(data=torch.rand(3, 4, 1, 8, 8), counts=torch.tensor([4, 4, 2]), names=("a", "b", "c"))
        whole, part = featured(pool, source), featured(pool.take([2]), source)
        assert torch.allclose(whole.data[2], part.data[0], atol=1e-5)
        assert not whole.data[2, 2:].any()
        assert whole.names == pool.names
        assert whole.shape == (4,)
        learner: Any = build(options(replace(SMALL, features=source))).learner
        head = learner.model
        assert (head.inputs, head.hidden, head.outputs) == (4, (), 4)

    def test_a_run_without_an_encoder_has_none(self, tmp_path):
        build(options()).learn(tmp_path)
        with pytest.raises(InputError, match="a run of FineTuneOnline, which has no encoder"):
            build(options(replace(SMALL, features=str(tmp_path))))

    def test_statistics_that_nobody_knows_are_not_guessed(self, tmp_path):
        with pytest.raises(InputError, match="it does not say what that was"):
            build(options(replace(SMALL, features=encoder_run(tmp_path, {}))))


FEW = ["--split", "all", "--classes", "4", "--rows", "12", "--batch-size", "6", "--width", "8"]
TRAIN = ["train", "fine_tune_online", "--stream", "digits", *FEW]


def told(capsys, *argv) -> dict:
    """What a command prints for machines."""
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_test_and_compare(tmp_path, capsys):
    many = told(capsys, *TRAIN, "--seeds", "0", "1", "--out", str(tmp_path / "a"))
    assert [run["steps"] for run in many["runs"]] == [8, 8]
    one = [*TRAIN, "--inner-lr", "0.02", "--out", str(tmp_path / "b"), "--curve-every", "1"]
    assert told(capsys, *one)["runs"][0]["report"] == str(tmp_path / "b" / "report.html")
    again = shlex.split(str(command(read_config(tmp_path / "b"))))
    assert again[:3] == ["innerloop", "train", "fine_tune_online"]
    assert set(again[3:]) == {*one[2:-4], "--curve-every", "1"}
    tested = told(capsys, "test", str(tmp_path / "b"), "--threshold", "0.5", "--first", "2")
    assert [row["name"] for row in tested["baselines"]] == ["i.i.d."]  # the run itself is plain fine-tuning
    assert len(tested["matrix"]) == 5
    assert tested["figures"]["BWT"]["over"] == 3
    assert set(tested["proficiency"]["rows"]) <= {6, 12, None}
    assert any(tested["proficiency"]["rows"])
    assert tested["first"]["i.i.d."]["when_they_ended"] is None
    own = tested["first"]["fine_tune_online"]
    assert own["among_their_own"] == pytest.approx(_among_the_first_two(tmp_path / "b"))
    assert own["among_their_own"] > own["at_end"]
    by_end = dict(own["among_their_own_by_end"])
    assert list(by_end) == [2, 3, 4]
    assert by_end[4] == pytest.approx(own["among_their_own"])
    assert by_end[2] >= own["when_they_ended"]
    assert "among_their_own_by_end" not in tested["first"]["i.i.d."]
    places = [str(tmp_path / "t.csv"), str(tmp_path / "t.tex")]
    table = told(capsys, "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--csv", places[0], "--latex", places[1])
    lines = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [(line["name"], line["seed"]) for line in lines] == [("a", "0"), ("a", "1"), ("b", "0")]
    assert float(lines[1]["BWT"]) == table["groups"][0]["runs"][1]["figures"]["BWT"]["value"]
    assert r"a & 2 & " in (tmp_path / "t.tex").read_text()
    assert [group["seeds"] for group in table["groups"]] == [[0, 1], [0]]
    assert table["groups"][1]["difference"]["ci95"] is None
    page = (tmp_path / "b" / "report.html").read_text()
    assert "What was kept" in page
    assert "i.i.d." in page
    assert "on the first tasks while others come: fine_tune_online, among all" in page
    beside = [str(tmp_path / "a"), str(tmp_path / "b"), "--first", "2", "--html", str(tmp_path / "c.html")]
    assert main(["compare", *beside]) == 0
    page = (tmp_path / "c.html").read_text()
    assert "2 learners on a stream" in page
    assert all(group["name"] in page for group in table["groups"])
    assert page.count("of every task after every end of") >= 2
    assert "on the first tasks while others come" in page
    assert "innerloop compare" in page


def _among_the_first_two(folder: Path) -> float:
    """Accuracy on their held-out rows at the end, of a run whose tasks are its classes 0 to 3."""
    run = build(asked(read_config(folder)))
    with torch.no_grad():
        rows = [
            (run.learner.predict(run.params, end_of(run, folder), b.x), b.y) for b in map(run.stream.held_out, (0, 1))
        ]
    return fmean((outputs[:, :2].argmax(1) == y).double().mean().item() for outputs, y in rows)


def test_learned_rates_are_drawn(tmp_path, capsys):
    told(capsys, "train", "la_maml", "--stream", "digits", *FEW, "--out", str(tmp_path))
    assert "Rates of all weights at the end, by layer" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "maml", "--stream", "digits"], "maml learns a task at once"),
        ([*TRAIN, "--seed", "1", "--seeds", "0"], "give one of them"),
        (["test", "RUN", "--ways", "5"], "--ways is of runs on tasks, and this one follows a stream"),
        (["test", "RUN", "--first", "5"], "the stream has 4 tasks, and --first 5 asks for more"),
        (["compare", "RUN", "--html", "RUN/config.json/page.html"], "cannot write"),
        (["compare", "RUN", "OTHER"], "did not follow the same stream: rows is"),
        ([*TRAIN, "--inner-lr", "0.5", "--out", "RUN"], "holds another run: its learner.fields.inner_lr is 0.1"),
    ],
)
def test_what_makes_no_sense_is_one_message(folders, argv, said, capsys):
    assert main([word.replace("RUN", folders["RUN"]).replace("OTHER", folders["OTHER"]) for word in argv]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs on other streams."""
    place = tmp_path_factory.mktemp("streams")
    build(options()).learn(place / "run")
    build(options(replace(SMALL, rows=6))).learn(place / "other")
    return {"RUN": str(place / "run"), "OTHER": str(place / "other")}
