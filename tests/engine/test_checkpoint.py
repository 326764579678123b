"""What comes out of a run folder: the same numbers in the same order, in aligned memory, wherever the file has them."""

import json
import os
import sys

import pytest
import safetensors
import safetensors.torch
import torch

from innerloop.core.aligned import is_aligned
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.engine import TrainConfig, checkpoint, load, meta_train
from innerloop.fewshot.sources import SHIPPED
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid
from tests.problems import classifier
from tests.unaligned import shift

LEARNER = MAML(model=Module(classifier))
SINUSOID = MAML(model=MLP(), inner_lr=0.01, objective=regression)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder, on a machine where files lie at odd addresses."""
    config = TrainConfig(steps=3, meta_batch_size=2, plan="loop")
    meta_train(SINUSOID, Sinusoid(), config, tmp_path / "run", validation=None)
    shift(monkeypatch)
    return tmp_path / "run"


@pytest.mark.exact
def test_parameters_and_states_are_aligned(run):
    _, params = load(run)
    state = checkpoint.read_state(run)
    assert state is not None
    for tensor in (*params.values(), *state["params"].values(), *state["update"].values()):
        assert is_aligned(tensor)
    assert not all(map(is_aligned, torch.load(run / "state.pt")["params"].values())), "the machine is as it should be"


@pytest.mark.exact
@pytest.mark.parametrize("name", ["kanji-protonet", "kanji-maml", "kanji-viml"])
def test_shipped_parameters_are_aligned(name, monkeypatch):
    shift(monkeypatch)
    assert all(map(is_aligned, load(SHIPPED / name)[1].values()))


def test_parameters_come_back_in_their_order(tmp_path):
    """A norm or a sum over them is rounded otherwise in another one."""
    params = LEARNER.init(0)
    backwards = dict(reversed(params.items()))
    checkpoint.save_params(tmp_path, LEARNER, backwards)
    assert list(checkpoint.read_params(tmp_path)) == list(backwards) != sorted(params)


def test_a_file_of_an_earlier_release_is_read_by_name(tmp_path):
    params = LEARNER.init(0)
    (tmp_path / "params.safetensors").write_bytes(safetensors.torch.save(dict(reversed(params.items()))))
    found = checkpoint.read_params(tmp_path)
    assert found.keys() == params.keys() and all(torch.equal(found[k], params[k]) for k in params)


@pytest.mark.parametrize("order", ['["a"]', "[]", "7", "{", '["0.0.weight", ["x"]]', "[" * 100_000])
def test_an_order_of_other_tensors_is_damage(tmp_path, order):
    content = safetensors.torch.save(LEARNER.init(0), {"order": order})
    (tmp_path / "params.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="no readable params"):
        checkpoint.read_params(tmp_path)


@pytest.mark.exact
@pytest.mark.parametrize("plan", ["loop", "replay"])
def test_a_run_resumed_anywhere_from_odd_addresses_is_the_unbroken_one(tmp_path, monkeypatch, plan):
    """25 sinusoids of 10 points take 1,000 bytes, so that where a step's lie depends on where it was resumed."""

    def train(steps, out=None):
        config = TrainConfig(steps=steps, meta_batch_size=25, meta_lr=1e-3, plan=plan)
        return meta_train(SINUSOID, Sinusoid(), config, out)

    expected = train(11)
    shift(monkeypatch)
    for steps in (3, 4, 11):
        found = train(steps, tmp_path / "run")
    assert all(torch.equal(found[k], expected[k]) for k in expected)


def test_the_file_is_an_ordinary_one(run):
    with safetensors.safe_open(run / "params.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["order"]) == list(load(run)[1])
    assert safetensors.torch.load_file(run / "params.safetensors").keys() == load(run)[1].keys()


def _train(run, steps, **changes):
    config = TrainConfig(steps=steps, meta_batch_size=2, plan="loop", unchecked=True, schedule="constant", **changes)
    return meta_train(SINUSOID, Sinusoid(), config, run)


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("told", [True, False], ids=["of this release", "without metadata"])
def test_parameters_behind_their_state_are_refused_and_made_again(tmp_path, told):
    run = tmp_path / "run"
    _train(run, 2)
    behind = (run / "params.safetensors").read_bytes() if told else safetensors.torch.save(load(run)[1])
    expected = _train(run, 4)
    (run / "params.safetensors").write_bytes(behind)
    for read in (load, checkpoint.read_params):
        with pytest.raises(InputError, match=r"params\.safetensors is not of the checkpoint .* step 4.*makes it again"):
            read(run)
    assert _equal(_train(run, 4), expected) and _equal(load(run)[1], expected)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_parameters_that_are_gone_are_made_again(tmp_path, damage):
    run = tmp_path / "run"
    expected = _train(run, 2)
    file = run / "params.safetensors"
    _ = file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="no readable params"):
        load(run)
    assert _equal(_train(run, 2), expected) and _equal(load(run)[1], expected)


def test_parameters_ahead_of_their_state_are_read(tmp_path):
    run = tmp_path / "run"
    _train(run, 2)
    state = (run / "state.pt").read_bytes()
    expected = _train(run, 4)
    (run / "state.pt").write_bytes(state)
    assert _equal(load(run)[1], expected)
    assert _equal(_train(run, 4), expected) and checkpoint.steps_done(run) == 4


def test_a_damaged_state_does_not_take_the_parameters_away(tmp_path):
    run = tmp_path / "run"
    expected = _train(run, 2)
    (run / "state.pt").write_bytes(b"damaged")
    assert _equal(load(run)[1], expected)
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        _train(run, 2)


def test_the_same_tensors_are_the_same_file(tmp_path):
    for name in "ab":
        checkpoint.write_tensors(tmp_path / name, {"x": torch.ones(2)}, dict.fromkeys(("é", "b", "c", "a", "d"), "v"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert checkpoint.read_tensors(tmp_path / "a")[1]["é"] == "v"


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": 2.5},
        {"step": True},
        {"waited": "x"},
        {"params": {"a": 1}},
        {"params": {}},
        {"params": {"0.weight": torch.ones(3)}},
        {"best": {"score": 1.0}},
        {"best": [1]},
        {"plan": {"kind": "loop"}},
        {"plan": {"name": "fast"}},
        {"plan": "loop"},
        {"world_size": 0.5},
        {"cpu_seconds": float("nan")},
        {"update": {"x": 3}},
        {"update": {"x": torch.ones(1)}},
    ],
)
def test_a_state_that_nobody_wrote_is_refused(tmp_path, change):
    run = tmp_path / "run"
    _train(run, 2)
    state = torch.load(run / "state.pt", weights_only=True)
    torch.save(state | change, run / "state.pt")
    with pytest.raises(InputError, match=r"state|checkpoint"):
        _train(run, 4)


def test_a_state_runs_no_code(tmp_path):
    class Planted:
        def __reduce__(self):
            return (print, ("ran",))

    run = tmp_path / "run"
    _train(run, 2)
    torch.save({"step": Planted()}, run / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        checkpoint.read_state(run)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_run_may_lie_in_a_folder_named_in_latin_1(tmp_path):
    run = tmp_path / os.fsdecode("été".encode("latin-1"))
    expected = _train(run, 2)
    assert _equal(load(run)[1], expected) and list(load(run)[1]) == list(expected)
    assert _equal(_train(run, 4), load(run)[1]) and checkpoint.steps_done(run) == 4
