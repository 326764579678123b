import json
import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from innerloop.cli.fields import chosen, train_command
from innerloop.cli.options import parse
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.engine.checkpoint import read_config
from innerloop.learners.baselines.fine_tune import FineTune
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.metric.matching import MatchingNet
from innerloop.learners.metric.relation import RelationNet
from innerloop.nn.context import BiLSTM, LSTMCell
from innerloop.nn.mlp import Linear
from innerloop.problems.classes import Classes
from innerloop.runs import build, defaults
from innerloop.runs.measure import MetaTestOptions, measure
from innerloop.runs.quickstart import QuickstartOptions, Training, quickstart
from innerloop.runs.record import command
from innerloop.tasks import BatchSampler, EpisodeSampler, UnsupervisedSampler
from tests.problems import classifiers


def with_fields(options, **changes):
    """The options with other hyper-parameters of the learner."""
    return replace(options, fields=options.fields | changes)


def small(name, **train):
    usual = defaults(name, "digits")
    changed = {"steps": 2, "plan": "loop"} | train
    network = replace(usual.network, width=4)
    fields = {k: 5 if k == "iterations" else v for k, v in usual.fields.items()}
    return replace(
        usual,
        task=replace(usual.task, ways=2),
        network=network,
        train=replace(usual.train, **changed),
        fields=fields,
    )


WITHOUT_PARAMETERS = (
    "nearest_centroid",
    "logistic_regression",
    "ridge_discriminant",
    "nearest_mean",
    "random_projection",
)


@pytest.mark.parametrize("name", classifiers())
def test_every_learner_has_a_run_that_trains_and_tests(name, tmp_path):
    run = build(small(name))
    params = run.meta_train(tmp_path)
    assert (params == {}) == (name in WITHOUT_PARAMETERS)
    assert run.record == json.loads(json.dumps(run.record)), "plain JSON, or a resumed run differs from itself"
    assert run.test().describe()["split"] == "test"
    tested = measure(tmp_path, MetaTestOptions(episodes=3))
    assert tested.report is not None and tested.report.exists() and 0 <= tested.result.mean <= 1


def test_full_context_embeddings_bring_their_networks():
    learner = build(with_fields(small("matching"), fce_steps=2)).learner
    assert isinstance(learner, MatchingNet)
    assert isinstance(learner.support_context, BiLSTM) and isinstance(learner.query_context, LSTMCell)
    assert learner.support_context.features == learner.query_context.units == 4
    without = build(small("matching")).learner
    assert isinstance(without, MatchingNet) and without.support_context is None


@pytest.mark.parametrize(("pool", "kind"), [("auto", "ConvMaps"), ("stride", "Conv4")])
def test_relations_are_of_feature_maps_where_these_are_kept(pool, kind, tmp_path):
    usual = defaults("relation", "kanji")
    run = build(replace(usual, network=replace(usual.network, width=4, pool=pool)))
    assert isinstance(run.learner, RelationNet) and type(run.learner.encoder).__name__ == kind
    replace(run, config=replace(run.config, steps=1, plan="loop")).meta_train(tmp_path)


def test_plain_pre_training_has_an_output_for_every_class():
    run = build(small("fine_tune"))
    assert isinstance(run.train, BatchSampler) and run.splits is not None
    assert isinstance(run.learner, FineTune) and isinstance(run.learner.head, Linear)
    assert run.learner.head.outputs == len(run.splits.train)


def test_an_untrained_encoder_is_a_baseline(tmp_path):
    usual = small("nearest_centroid", steps=0)
    run = build(replace(usual, network=replace(usual.network, network="mlp")))
    assert isinstance(run.learner, NearestCentroid) and run.learner.encoder is not None
    assert set(run.meta_train(tmp_path)) == set(run.learner.encoder.init(0))


def test_more_ways_in_training_only_as_far_as_there_are_classes():
    usual = small("protonet")
    assert isinstance(usual.task, Classes) and usual.task.train_ways == 20
    train = build(usual).train
    assert isinstance(train, EpisodeSampler) and train.ways == 5, "a default gives way"
    with pytest.raises(InputError, match="9 ways need 9 classes"):
        build(replace(usual, task=replace(usual.task, train_ways=9)))


def test_the_three_sinusoid_streams_never_meet():
    run = build(
        replace(defaults("maml", "sinusoid"), train=replace(defaults("maml", "sinusoid").train, validate_every=1))
    )
    samplers: tuple[Any, ...] = (run.train, run.validation, run.test())
    seeds = {sampler.seed for sampler in samplers}
    assert len(seeds) == 3


def test_unknown_hyper_parameters_are_refused():
    with pytest.raises(InputError, match="did you mean 'inner_lr'"):
        build(with_fields(small("maml"), inner_rate=1.0))


@pytest.mark.parametrize("name", ["maml", "reptile", "protonet"])
def test_the_command_in_the_report_makes_the_same_run(name, tmp_path):
    fields = {"inner_steps": 2, "transductive": False} if name == "maml" else {}
    options = with_fields(small(name, clip=1.5, seed=3), **fields)
    run = build(options)
    run.meta_train(tmp_path)
    words = shlex.split(command(read_config(tmp_path)) or "")
    assert words[:3] == ["innerloop", "train", name]
    usual = train_command(name, "digits")
    again = build(chosen(name, parse(type(usual), words[3:], "train", "", usual)))
    assert (again.learner, again.config, again.record) == (run.learner, run.config, run.record)


def test_classes_of_training_are_no_test(tmp_path, context):
    usual = small("nearest_centroid")
    options = replace(usual, task=replace(usual.task, data="omniglot", split_scheme="vinyals"))
    build(options, context).meta_train(tmp_path)
    with pytest.raises(InputError, match="were trained on"):
        measure(tmp_path, MetaTestOptions(split_scheme="lake", episodes=2), context)
    assert not list(tmp_path.glob("test-*"))


def test_the_official_one_shot_runs(tmp_path, context):
    usual = small("protonet", steps=1)
    for cut, task in (("vinyals", {"data": "omniglot"}), ("lake", {"data": "omniglot", "split_scheme": "lake"})):
        build(replace(usual, task=replace(usual.task, **task)), context).meta_train(tmp_path / cut)
    with pytest.raises(InputError, match="train it with --split-scheme lake"):
        measure(tmp_path / "vinyals", MetaTestOptions(data="omniglot-runs"), context)
    tested = measure(tmp_path / "lake", MetaTestOptions(data="omniglot-runs"), context)
    assert len(tested.result.scores) == 20 and tested.result.protocol.task == "20-way 1-shot omniglot one-shot runs"
    pixels = tested.comparison.rows[0].result
    assert pixels.learner == "pixels, nearest centroid" and 0.1 < pixels.mean < 0.4


def test_siamese_and_self_supervised_get_the_networks_they_need():
    twins: Any = build(with_fields(small("siamese"), distance="weighted_l1")).learner
    assert twins.comparison.inputs == twins.encoder.outputs
    alone = build(small("self_supervised"))
    assert isinstance(alone.train, UnsupervisedSampler) and alone.train.ways == 64
    learner: Any = alone.learner
    assert learner.projection.inputs == learner.encoder.outputs


def test_quickstart(tmp_path):
    options = QuickstartOptions(out=str(tmp_path), data="digits", ways=3, width=4, episodes=5)
    trainings = [Training(name, {"steps": 2, "plan": "loop"}) for name in ("protonet", "maml")]
    said = []
    found = quickstart(options, trainings, Context(data_root=tmp_path), said.append)
    ((data, rows),) = found.tables
    assert data == "digits" and [row.name for row in rows] == [
        "pixels, nearest centroid",
        "ProtoNet, untrained",
        "MAML",
        "ProtoNet",
    ]
    assert len(said) == 5 and len(found.answers) == 12 and 0 <= found.right <= 12
    assert all(path.exists() for path in found.reports) and (tmp_path / "characters.fewshot").exists()
    assert json.loads(json.dumps(found.to_json()))["pictures"]["of"] == 12


def test_data_too_small_to_choose_on_train_where_nothing_is_chosen(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.repeat(np.arange(15), 2)
    np.savez(tmp_path / "small.npz", x=x, y=y)
    usual = defaults("protonet", str(tmp_path / "small.npz"))
    task = usual.task.changed({"ways": 2, "shots": 2, "train_shots": 1, "queries": 1})
    assert build(replace(usual, task=task)).choose_on is None
