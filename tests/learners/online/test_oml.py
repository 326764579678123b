from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.learners.online.oml import OML
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import Linear
from innerloop.problems.classes import Classes
from innerloop.runs import build, defaults
from tests.conformance import Conformance
from tests.problems import FEATURES, INPUTS, NeedlesInNoise, inputs


def rowwise_encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, FEATURES), nn.Tanh(), nn.Linear(FEATURES, FEATURES))


LEARNER = OML(encoder=Module(rowwise_encoder), head=Linear(inputs=FEATURES, outputs=3), inner_lr=0.3)


class TestOML(Conformance):
    learner = LEARNER


def growing_head(features, labels, start, rate, batches):
    """Rows of classes as they come, by `torch.optim.SGD`: the last is that of all others, and stays."""
    rows: dict[int, torch.Tensor] = {}
    x = F.pad(features, (0, 1), value=1.0)
    for batch in batches:
        for label in labels[batch].tolist():
            rows.setdefault(label, start.clone().requires_grad_())
        order = list(rows)
        descent = torch.optim.SGD(rows.values(), rate)
        logits = torch.stack([*(x[batch] @ rows[k] for k in order), x[batch] @ start], 1)
        descent.zero_grad()
        F.cross_entropy(logits, torch.tensor([order.index(int(k)) for k in labels[batch]])).backward()
        descent.step()
    return rows


def test_a_stream_is_descent_of_a_head_that_grows():
    """Row by row, then a batch; the start is the mean of the slow head, and rows of no class are never moved."""
    learner = LEARNER
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    support, query = (tree.slice(b._replace(classes=None, key=None), b.y != 1) for b in (support, query))
    support, query = (b._replace(classes=torch.ones(3, dtype=torch.bool)) for b in (support, query))
    network = rowwise_encoder().double()
    network.load_state_dict(tree.part(params, "encoder"))
    x, y = torch.cat([inputs(support), inputs(query)]), torch.cat([support.y, query.y])
    n = len(support.y)
    with torch.no_grad():
        features = network(x)
        state = learner.observe(params, learner.adapt(params, support), query)
    start = torch.cat([params["head.weight"], params["head.bias"][:, None]], 1).mean(0)
    batches = [torch.tensor([i]) for i in range(n)] + [torch.arange(n, len(y))]
    rows = growing_head(features, y, start, learner.inner_lr, batches)
    for label in (0, 2):
        assert torch.allclose(state.weight[label], rows[label])
    assert torch.equal(state.weight[1], start) and state.counts[1] == 0


def trajectory(classes: int) -> Episode:
    """A task of three classes whose query also asks for others, with the labels of all."""
    support, query = tree.slice(NeedlesInNoise().episodes(0, 1), 0)
    more = tree.slice(NeedlesInNoise(seed=1).episodes(0, 1), 0).query
    every = torch.ones(classes, dtype=torch.bool)
    asked = Batch(torch.cat([inputs(query), inputs(more)]), torch.cat([query.y, more.y + 3]), classes=every)
    return Episode(support._replace(classes=every), asked)


def test_the_slow_head_answers_for_classes_that_were_not_shown():
    learner = replace(LEARNER, head=Linear(inputs=FEATURES, outputs=6))
    params = {k: v.double() for k, v in learner.init(0).items()}
    support, query = trajectory(6)
    state = learner.adapt(params, support)
    with torch.no_grad():
        features = learner.features(params, query.x)
        logits = F.linear(features, params["head.weight"], params["head.bias"])
        logits[:, :3] = F.linear(features, state.weight[:3, :-1], state.weight[:3, -1])
        expected = F.cross_entropy(logits, query.y)
    assert torch.allclose(learner.loss(params, Episode(support, query))[0], expected)
    gradient, _ = meta_gradient(learner, params, tree.stack([Episode(support, query)]), "loop")
    assert (gradient["head.weight"].abs().sum(1) > 0).all()
    # The same start of as many rows as it likes: what was learned at test does not hang on the classes of training.
    few = support._replace(classes=support.classes[:3] if support.classes is not None else None)
    assert torch.allclose(learner.adapt(params, few).weight, state.weight[:3])


def test_the_encoder_is_asked_once_and_no_step_moves_it(monkeypatch):
    calls = []
    whole = OML.features
    monkeypatch.setattr(OML, "features", lambda self, params, x: calls.append(len(x)) or whole(self, params, x))
    learner = LEARNER
    params = {k: v.double().requires_grad_() for k, v in learner.init(0).items()}
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    state = learner.adapt(params, support)
    assert calls == [len(support.y)], "all rows at once, and no step of it"
    encoder = [v for k, v in params.items() if k.startswith("encoder.")]
    slopes = torch.autograd.grad(state.weight.sum(), encoder, allow_unused=True)
    assert all(g is not None for g in slopes), "the meta-gradient goes through all steps"
    rows = learner.seen(params, support)
    apart = learner.step(params, state._replace(weight=state.weight.detach()), rows._replace(x=inputs(rows).detach()))
    slopes = torch.autograd.grad(apart.weight.sum(), encoder, allow_unused=True)
    assert all(g is None for g in slopes), "a step by itself has nothing to do with it"


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (OML(encoder=Conv4(outputs=None), head=Linear(inputs=64)), "network with batch norms"),
        (OML(encoder=Module(rowwise_encoder), head=Module(rowwise_encoder)), "one linear layer"),
    ],
)
def test_networks_that_cannot_learn_online_are_refused(learner, said):
    support = tree.slice(NeedlesInNoise().episodes(0, 1), 0).support
    with pytest.raises(InputError, match=said):
        learner.begin(learner.init(0), support)


def test_what_is_remembered_is_an_option_of_training():
    options = defaults("oml", "digits")
    given = {"ways": 2, "queries": 3, "remember": 4}
    run = build(replace(options, task=options.task.changed(given)))
    assert isinstance(run.learner, OML) and isinstance(run.learner.head, Linear) and run.learner.head.outputs == 5
    assert run.train.episodes(0, 1).query.y.shape == (1, 2 * 3 + 4)
    tested = options.task.after(options.task.changed(given), "digits")
    assert isinstance(tested, Classes) and tested.remember == 0, "a test asks for its own"
    plain = build(replace(options, task=options.task.changed({**given, "remember": 0}))).learner
    assert isinstance(plain, OML) and isinstance(plain.head, Linear) and plain.head.outputs == 2
    options = defaults("protonet", "digits")
    with pytest.raises(InputError, match="leave out --remember"):
        build(replace(options, task=options.task.changed(given)))
    options = defaults("oml", "digits")
    with pytest.raises(InputError, match="leave out --interpolate"):
        build(replace(options, task=options.task.changed({**given, "interpolate": 0.5})))
