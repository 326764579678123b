import json
import shlex
from dataclasses import replace

import pytest
import torch

from innerloop.cli.fields import chosen, train_command
from innerloop.cli.options import parse
from innerloop.core.errors import InputError
from innerloop.engine import load
from innerloop.engine.checkpoint import read_config, read_params
from innerloop.evaluate.select import select
from innerloop.runs import build
from innerloop.runs.measure import MetaTestOptions, measure
from innerloop.runs.record import command
from innerloop.runs.select import choose
from tests.runs.test_build import small, with_fields


def begun(name, run, width=4, **train):
    options = small(name, **train)
    return replace(options, network=replace(options.network, start=str(run), width=width))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A run of a classifier, with `encoder.*` and `head.*`."""
    out = tmp_path_factory.mktemp("runs") / "f"
    build(small("fine_tune")).meta_train(out)
    return out


@pytest.mark.parametrize(
    ("name", "new", "left"),
    [
        ("linear_probe", {"C"}, set()),
        ("simple_shot", {"centre"}, set()),
        ("protonet", set(), {"head"}),
        ("anil", {"head"}, {"head"}),
    ],
)
@pytest.mark.exact
def test_one_pre_training_serves_several(pretrained, tmp_path, capsys, name, new, left):
    run = build(begun(name, pretrained, steps=0))
    start = run.start
    assert start is not None
    assert {k.partition(".")[0] for k in start.new} == new and {k.partition(".")[0] for k in start.left} == left
    params = run.meta_train(tmp_path / "r")
    source = read_params(pretrained)
    bare = name == "protonet"
    for k, v in source.items():
        if k.startswith("encoder."):
            assert torch.equal(params[k.removeprefix("encoder.") if bare else k], v)
    said = capsys.readouterr().err
    assert f"begun with {pretrained}: " in said and f"{'6 of the network' if bare else '6 of encoder'}" in said
    assert ("new: " in said) == bool(new) and ("left there: " in said) == bool(left)
    assert measure(tmp_path / "r", MetaTestOptions(episodes=3)).result.fingerprint is not None
    if name == "simple_shot":
        assert params["centre"].shape == (4,) and bool((params["centre"] != 0).any())


def test_from_bare_names_to_an_encoder(tmp_path):
    build(small("protonet")).meta_train(tmp_path / "p")
    run = build(begun("simple_shot", tmp_path / "p", steps=0))
    assert run.start is not None
    assert all(torch.equal(run.start.params[f"encoder.{k}"], v) for k, v in read_params(tmp_path / "p").items())
    assert set(run.start.new) == {"head.weight", "head.bias", "centre"}


def test_training_goes_on_from_there_and_leaves_the_other_run_alone(pretrained, tmp_path):
    before = read_params(pretrained)
    run = build(begun("fine_tune", pretrained, steps=1, meta_lr=1e-3, optimizer="sgd"))
    params = run.meta_train(tmp_path / "r")
    moved = [(params[k] - before[k]).abs().max() for k in before]
    assert 0 < max(moved) < 0.1
    assert run.start is not None
    assert all(torch.equal(v, before[k]) for k, v in run.start.params.items())
    again = run.meta_train(tmp_path / "r")
    assert all(torch.equal(again[k], params[k]) for k in params), "a finished run is left as it is"


def test_it_is_part_of_what_a_run_is(pretrained, tmp_path):
    options = begun("simple_shot", pretrained)
    run = build(options)
    run.meta_train(tmp_path / "r")
    with pytest.raises(InputError, match=r"its record\.network\.start is '.*', now None"):
        build(small("simple_shot")).meta_train(tmp_path / "r")
    config = read_config(tmp_path / "r")
    assert config["record"]["start"]["trained_on"] == [{"data": "digits", "split_scheme": None, "dataset": "digits"}]
    words = shlex.split(command(config) or "")
    assert words[words.index("--start") + 1] == str(pretrained)
    usual = train_command("simple_shot", "digits")
    again = build(chosen("simple_shot", parse(type(usual), words[3:], "train", "", usual)))
    assert again.record == run.record


@pytest.mark.parametrize(
    ("name", "width", "says"),
    [("fine_tune", 6, "there and 6x"), ("nearest_centroid", 4, "it has no parameters")],
)
def test_what_does_not_fit_is_said(pretrained, name, width, says):
    with pytest.raises(InputError, match=says):
        build(begun(name, pretrained, width=width))


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        build(begun("fine_tune", tmp_path))


def test_classes_that_an_earlier_run_has_seen_are_no_test(tmp_path, context):
    """Trained on one cut of Omniglot, begun again elsewhere, tested on another cut."""

    def of(data, cut=None, **network):
        usual = small("protonet", steps=0)
        return replace(
            usual, task=replace(usual.task, data=data, split_scheme=cut), network=replace(usual.network, **network)
        )

    build(of("omniglot", "vinyals"), context).meta_train(tmp_path / "a")
    build(of("kanji", start=str(tmp_path / "a")), context).meta_train(tmp_path / "b")
    build(of("kanji", start=str(tmp_path / "b")), context).meta_train(tmp_path / "c")
    for data, cut in (("omniglot", "lake"), ("omniglot-runs", None)):
        with pytest.raises(InputError, match=r"were trained on|was trained on"):
            measure(tmp_path / "c", MetaTestOptions(data=data, split_scheme=cut, episodes=2), context)
    assert measure(tmp_path / "c", MetaTestOptions(data="omniglot", episodes=2, baselines=False), context)


def test_C_is_chosen_once_and_kept(tmp_path, capsys):
    run = build(small("linear_probe"))
    params = run.meta_train(tmp_path)
    assert "C = " in capsys.readouterr().err and float(params["C"]) in (0.01, 0.1, 1.0, 10.0, 100.0)
    assert torch.equal(read_params(tmp_path)["C"], params["C"])
    assert (tmp_path / "selection.json").exists()
    again = run.meta_train(tmp_path)
    assert "chosen" not in capsys.readouterr().err, "the run holds the choice"
    assert all(torch.equal(again[k], params[k]) for k in params)
    choice = json.loads((tmp_path / "selection.json").read_text())
    for content in ([], choice | {"value": "much"}, choice | {"value": 77.0}):
        (tmp_path / "selection.json").write_text(json.dumps(content))
        assert torch.equal(run.meta_train(tmp_path)["C"], params["C"]) and "chosen" in capsys.readouterr().err


def test_a_run_is_not_finished_before_the_last_of_two_choices(tmp_path, monkeypatch, capsys):
    run = build(small("linear_probe"))
    params = run.meta_train(tmp_path)
    assert run.choose_on is not None
    calls = []

    def killed(learner, params, sampler, name, values, episodes):
        calls.append(name)
        if name == "D":
            raise KeyboardInterrupt
        return select(learner, params, sampler, name, values, episodes)

    monkeypatch.setattr("innerloop.runs.select.select", killed)
    trained = {k: v for k, v in params.items() if k != "C"}
    with pytest.raises(KeyboardInterrupt):
        choose(run.learner, trained, run.choose_on, {"C": (0.1, 1.0), "D": (1.0,)}, tmp_path, episodes=2)
    assert calls == ["C", "D"] and "C = " in capsys.readouterr().err
    with pytest.raises(InputError, match="not finished"):
        load(tmp_path)


def test_a_given_C_is_not_chosen(capsys):
    run = build(with_fields(small("linear_probe"), C=3.0))
    assert "C" not in run.meta_train() and "chosen" not in capsys.readouterr().err
