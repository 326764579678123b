import torch
from torch import nn

from innerloop.core import tree
from innerloop.core.model import Module
from innerloop.learners.online.anml import ANML
from innerloop.learners.online.oml import OML
from innerloop.nn.mlp import Linear
from tests.conformance import Conformance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise


def gate() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, FEATURES))


LEARNER = ANML(encoder=Module(gate), gate=Module(gate), head=Linear(inputs=FEATURES, outputs=3), inner_lr=0.5)


class TestANML(Conformance):
    learner = LEARNER


def test_open_gates_are_oml_and_closed_ones_learn_nothing():
    learner = LEARNER
    params = {k: v.double() for k, v in learner.init(0).items()}
    oml = OML(encoder=learner.encoder, head=learner.head, inner_lr=0.5)
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)

    def answers(bias: float) -> torch.Tensor:
        """With every gate at one value."""
        still = {k: torch.zeros_like(v) for k, v in params.items() if k.startswith("gate.")}
        mine = params | still | {"gate.2.bias": still["gate.2.bias"] + bias}
        return learner.predict(mine, learner.adapt(mine, support), query.x)

    plain = oml.predict(params, oml.adapt(params, support), query.x)
    assert torch.allclose(answers(40.0), plain)
    assert torch.allclose(answers(-40.0), answers(-40.0)[:1].expand_as(plain)), "all rows look the same"
    assert not torch.allclose(answers(0.0), plain)
