"""What comes out of a run folder: the same numbers in the same order, in aligned memory, wherever the file has them."""

import json

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
@pytest.mark.parametrize("name", ["kanji-protonet", "kanji-maml"])
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
