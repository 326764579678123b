from dataclasses import replace

import numpy as np
import pytest
import torch

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.objectives import regression
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.mixture.experts import Experts
from innerloop.nn.decoder import JoinedMLP
from innerloop.nn.mlp import MLP
from tests.conformance import TransductiveConformance
from tests.problems import INPUTS, RaggedPlanes, classifier, inputs, real_rows

EXAMPLES = JoinedMLP(inputs=INPUTS + 3, hidden=(5,), shape=(4,))
DECODER = MLP(inputs=4, hidden=(), outputs=INPUTS + 3)
NETWORK = MLP(inputs=INPUTS, hidden=(5,), outputs=3, activation="tanh")


LEARNER = Experts(model=Module(classifier), examples=EXAMPLES, decoder=DECODER, code=4, inner_lr=0.3, inner_steps=1)


class TestExperts(TransductiveConformance):
    learner = LEARNER


@pytest.fixture
def learner() -> Experts:
    return replace(LEARNER, model=NETWORK, objective=regression, hierarchy=(3, 2), spread=1.5, inner_steps=2)


@pytest.mark.parametrize("biases", ["moved", "gated"])
def test_the_tree_and_its_gates_are_those_of_the_paper(learner, biases):
    """Equations 4 to 9, cluster by cluster in NumPy; then MAML's steps from the gated initialisation."""
    learner = replace(learner, biases=biases)
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = map(real_rows, tree.slice(RaggedPlanes().episodes(0, 1), 0))
    codes = learner.examples.apply(tree.part(params, "examples"), {"x": inputs(support), "y": support.y})
    p = {k: v.numpy() for k, v in params.items()}

    def cluster(level, k, node):
        return np.tanh(p[f"tree.{level}.weight"][k] @ node + p[f"tree.{level}.bias"][k])

    nodes, gate = [codes.mean(0).numpy()], None
    for level, count in enumerate((3, 2)):
        above = [0.0] * count
        for node in nodes:
            near = [np.exp(-np.sum(((node - c) / 1.5) ** 2) / 2) for c in p[f"tree.{level}.centres"]]
            shares = [n / sum(near) for n in near]
            gate = shares if gate is None else gate
            above = [a + s * cluster(level, k, node) for k, (a, s) in enumerate(zip(above, shares, strict=True))]
        nodes = above
    root = sum(cluster("root", 0, node) for node in nodes)
    numbers = p["gates.weight"] @ np.concatenate([codes.mean(0).numpy(), root]) + p["gates.bias"]
    gated, at = {}, 0
    for name, w in tree.part(p, "model").items():
        outputs, at = numbers[at : at + len(w)], at + len(w)
        opened = outputs
        if w.ndim == 2:
            columns, at = numbers[at : at + w.shape[1]], at + w.shape[1]
            opened = np.array([[o + i for i in columns] for o in outputs])
        moved = biases == "moved" and "bias" in name
        gated[name] = torch.tensor(w + opened if moved else 2 * w / (1 + np.exp(-opened)))
    assert at == len(numbers)
    maml = MAML(model=NETWORK, objective=regression, inner_lr=0.3, inner_steps=2)
    with torch.no_grad():
        found = learner.predict(params, learner.adapt(params, support), query.x)
        assert torch.allclose(learner.gate(params, support), torch.tensor(gate))
        assert torch.allclose(found, maml.predict(gated, maml.adapt(gated, support), query.x))


def test_the_decoder_pays_for_what_it_loses_of_the_support(learner):
    params, episode = learner.init(0), tree.slice(RaggedPlanes(dtype=torch.float32).episodes(0, 1), 0)
    real, rate = real_rows(episode.support), 0.01
    codes = learner.examples.apply(tree.part(params, "examples"), {"x": inputs(real), "y": real.y})
    lost = DECODER.apply(tree.part(params, "decoder"), codes) - torch.cat([inputs(real), real.y], 1)
    loss, metrics = learner.loss(params, episode)
    plain = replace(learner, reconstruction=0.0, decoder=None).loss(params, episode)[0]
    assert torch.allclose(loss - plain, rate * lost.square().mean(), rtol=1e-4)
    shares = torch.stack([metrics[f"expert_{k}"] for k in range(3)])
    assert torch.allclose(shares, learner.gate(params, episode.support)) and torch.allclose(
        shares.sum(), torch.ones(())
    )
    assert torch.allclose(metrics["gate_entropy"], -(shares * shares.log()).sum())


def test_no_level_and_no_decoder_are_refused(learner):
    with pytest.raises(InputError, match=r"a level at least, such as \(4,\)"):
        replace(learner, hierarchy=())
    with pytest.raises(InputError, match="needs a decoder: give one"):
        replace(learner, decoder=None)
