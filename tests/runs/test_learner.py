"""Networks of learners that nobody here knows, made from what their fields declare."""

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from torch import Tensor

from innerloop.cli import early
from innerloop.cli.fields import chosen, train_command
from innerloop.cli.main import main
from innerloop.cli.options import parse
from innerloop.core import networks, tree
from innerloop.core.encoder_learner import EncoderLearner
from innerloop.core.errors import InputError
from innerloop.core.learner import EpisodicClassifier
from innerloop.core.model import Model
from innerloop.core.networks import (
    FEATURES,
    OUTPUTS,
    Cell,
    ClassCode,
    Critic,
    Decoder,
    Encoder,
    Features,
    Latent,
    Painter,
    Pairs,
    Parts,
    Recurrent,
    Role,
    Rows,
    Sequence,
    Size,
    role,
)
from innerloop.core.objectives import classification
from innerloop.core.types import Batch, Params
from innerloop.learners import catalogue
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP, Linear
from innerloop.problems.learner import hyper_parameters, make_learner
from innerloop.problems.networks import NetworkOptions, in_role
from innerloop.runs import build, defaults
from innerloop.runs.defaults import learner_class
from innerloop.tasks.environments.bandits import Bandits

PICTURE, SMALL = (1, 28, 28), NetworkOptions(width=4)


@dataclass(frozen=True, kw_only=True)
class Strange(EncoderLearner[Params], EpisodicClassifier[Params]):
    """Learns nothing of its support: features, a bottleneck, a score a class."""

    trains_on = ("episodes",)

    scorer: Model = field(metadata=role(Rows(Size("bottleneck"), OUTPUTS)))
    """Declared before what it is made from."""
    bottleneck: Model = field(metadata=role(Rows(FEATURES, 3, hidden=(2 * FEATURES,), activation="tanh")))
    style: str = "plain"
    """How."""
    extra: Model | None = field(default=None, metadata=role(Rows(3, 1, when={"style": "fancy"}, unless={"level": 0})))
    level: int = 1

    def init(self, seed: int) -> Params:
        own = {"encoder": self.encoder, "scorer": self.scorer, "bottleneck": self.bottleneck}
        return tree.join(**{k: v.init(seed) for k, v in own.items()})

    def adapt(self, params: Params, support: Batch) -> Params:
        return self.encoder.with_statistics(tree.part(params, "encoder"), support.x, support.mask)

    def predict(self, params: Params, adapted: Params, x: Tensor | dict[str, Tensor]) -> Tensor:
        narrow = self.bottleneck.apply(tree.part(params, "bottleneck"), self.encoder.apply(adapted, x))
        return self.scorer.apply(tree.part(params, "scorer"), narrow)


@dataclass(frozen=True, kw_only=True)
class Silent(ProtoNet):
    trains_on = ("episodes",)

    judge: Model | None = None


@dataclass(frozen=True, kw_only=True)
class Wide(ProtoNet):
    trains_on = ("episodes",)

    width: int = 3


@dataclass(frozen=True, kw_only=True)
class Seeded(ProtoNet):
    trains_on = ("episodes",)

    seed: int = 3


@dataclass(frozen=True, kw_only=True)
class OwnNetwork(ProtoNet):
    judge: Model = field(default=Linear(3, 1))


@dataclass(frozen=True, kw_only=True)
class Circle(ProtoNet):
    one: Model = field(metadata=role(Rows(Size("another"), 1)))
    another: Model = field(metadata=role(Rows(Size("one"), 1)))


@dataclass(frozen=True, kw_only=True)
class Nowhere(ProtoNet):
    one: Model = field(metadata=role(Rows(Size("gone"), 1)))


@dataclass(frozen=True, kw_only=True)
class Misspelt(ProtoNet):
    one: Model | None = field(default=None, metadata=role(Rows(1, 1, when={"distancee": "cosine"})))


@dataclass(frozen=True, kw_only=True)
class Written(ProtoNet):
    judge: "Model | None" = None


class Unheard(Role):
    """A role that nobody has a network for."""


@dataclass(frozen=True, kw_only=True)
class Novel(ProtoNet):
    one: Model = field(metadata=role(Unheard()))


@pytest.fixture
def own(monkeypatch):
    everyone = catalogue() | {"strange": Strange, "silent": Silent, "wide": Wide, "seeded": Seeded}
    monkeypatch.setattr(sys.modules[learner_class.__module__], "catalogue", lambda: everyone)
    monkeypatch.setattr(early, "_has_file", lambda learner: True)  # a kept list of learners knows none of these


def test_a_strange_learner_gets_the_networks_that_it_declares():
    learner = make_learner(Strange, {}, PICTURE, 5, SMALL)
    assert learner.encoder == Conv4(size=28, outputs=None, width=4, pool="max")
    assert learner.bottleneck == MLP(inputs=4, hidden=(8,), outputs=3, activation="tanh")
    assert learner.scorer == Linear(inputs=3, outputs=5) and learner.extra is None
    assert make_learner(Strange, {"style": "fancy"}, PICTURE, 5, SMALL).extra == Linear(inputs=3, outputs=1)
    assert make_learner(Strange, {"style": "fancy", "level": 0}, PICTURE, 5, SMALL).extra is None


def test_a_network_that_is_given_stays_and_others_are_made_from_it():
    learner = make_learner(Strange, {"encoder": MLP(784, (), 6)}, PICTURE, 5, SMALL)
    assert learner.encoder == MLP(784, (), 6) and learner.bottleneck == MLP(6, (12,), 3, "tanh")


def test_a_strange_learner_trains_from_the_command_line(own, tmp_path):
    usual = train_command("strange", "digits")
    words = ["--data", "digits", "--ways", "2", "--train-ways", "2", "--steps", "2", "--width", "4", "--plan", "loop"]
    parsed = parse(type(usual), words, "train strange", "", usual)
    run = build(chosen("strange", parsed))
    assert isinstance(run.learner, Strange) and run.learner.scorer == Linear(inputs=3, outputs=2)
    assert any(k.startswith("bottleneck.") for k in run.meta_train(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wide", "Wide has a field 'width', and --width is an option of NetworkOptions"),
        ("seeded", "Seeded has a field 'seed', and --seed is an option of TrainConfig"),
    ],
)
def test_a_field_named_like_a_general_option_is_refused_by_name(own, name, message, capsys):
    assert main(["train", name, "--data", "digits", "--steps", "1"]) == 2
    assert message in capsys.readouterr().err


def test_a_network_without_a_role_is_refused_by_name(own):
    usual = defaults("silent", "digits")
    with pytest.raises(InputError, match="Silent does not say what its network 'judge' is for: declare it by field"):
        build(replace(usual, network=SMALL))
    assert make_learner(OwnNetwork, {}, PICTURE, 5, SMALL).judge == Linear(3, 1), "it has a network of its own"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Circle, "the networks one, another of Circle are made from one another"),
        (Nowhere, "a network of Nowhere is made from 'gone', which is no network of it"),
        (Misspelt, "Misspelt.one depends on 'distancee', which is no field of it"),
        (Novel, "no network is known here for the role Unheard"),
    ],
)
def test_what_cannot_be_made_is_refused(cls, message):
    with pytest.raises(InputError, match=message):
        make_learner(cls, {}, PICTURE, 5, SMALL)


@pytest.mark.parametrize("name", catalogue())
def test_every_network_of_the_catalogue_has_a_role(name):
    cls = learner_class(name)
    declared, fields = networks.roles(cls), networks.network_fields(cls)
    assert declared.keys() == fields.keys()
    assert not fields.keys() & hyper_parameters(cls).keys()


OF_THEIR_KIND = {Recurrent, Parts, networks.Dynamics}
"""Roles whose networks a kind of problem makes of what it knows: agents of an environment, ratings of their tables."""


@pytest.mark.parametrize("name", catalogue())
def test_a_fixed_number_of_classes_is_what_networks_say(name):
    """Those whose training needs the ways of testing are those with a network that changes with the outputs."""
    values: dict[str, Any] = {"objective": classification} if name == "l2o" else {}
    values |= {"env": Bandits()} if "returns" in learner_class(name).targets else {}
    if any(isinstance(role, Recurrent | networks.Dynamics) for role in networks.roles(learner_class(name)).values()):
        pytest.skip("its networks are made by the kind of problem, of what there is to be told")
    two, five = (make_learner(learner_class(name), values, PICTURE, k, SMALL) for k in (2, 5))
    assert networks.counts_outputs(learner_class(name)) == (two != five)


def test_types_that_are_text_are_read():
    assert "judge" in networks.network_fields(Written) and "judge" not in hyper_parameters(Written)


def test_every_role_has_a_network():
    roles = {Encoder(maps=True), Pairs(), Sequence(FEATURES), Cell(FEATURES, 2), Rows(1, 1), networks.Whole()}
    roles |= {Features(), ClassCode(2), Latent(2, code=2), Decoder(2, code=2, likelihood="gaussian")}
    roles |= {Painter(2), Critic(), networks.Labelled(2)}
    assert {type(r) for r in roles} | {Unheard} | OF_THEIR_KIND == set(Role.__subclasses__())
    encoder = Conv4(size=28, outputs=None, width=4, pool="max")
    assert all(in_role(r, PICTURE, 5, SMALL, lambda _: encoder).init(0) for r in roles)
