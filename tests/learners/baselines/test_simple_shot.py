import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid as Oracle

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.learners.baselines.simple_shot import SimpleShot
from innerloop.nn.mlp import Linear
from innerloop.tasks import BatchSampler
from tests.conformance import Conformance, TransductiveConformance
from tests.evaluate import tiny
from tests.problems import FEATURES, NeedlesInNoise, encoder


def learner(transform):
    return SimpleShot(encoder=Module(encoder), head=Linear(inputs=FEATURES, outputs=10), transform=transform)


class TestSimpleShot(TransductiveConformance):
    learner = learner("centred_l2")
    training = NeedlesInNoise(ways=10, queries=6, fixed=True, dtype=torch.float32)
    train = TrainConfig(steps=300, meta_batch_size=1, meta_lr=1e-2, plan="loop")


class TestSimpleShotOfPlainFeatures(Conformance):
    learner = learner("none")
    training = TestSimpleShot.training
    train = TestSimpleShot.train


@torch.no_grad()
@pytest.mark.parametrize("transform", ["none", "l2", "centred_l2"])
def test_it_is_scikit_learns_on_transformed_features(transform):
    model = learner(transform)
    params = {k: v.double() for k, v in model.init(0).items()}
    params["centre"] = torch.linspace(-0.3, 0.4, FEATURES, dtype=torch.float64)
    for i in range(5):
        support, query = tree.slice(NeedlesInNoise().episodes(i, 1), 0)
        adapted = model.adapt(params, support)
        f, g = (model.encoder.apply(adapted.encoder, b.x).numpy() for b in (support, query))
        if transform == "centred_l2":
            f, g = (part - params["centre"].numpy() for part in (f, g))
        if transform != "none":
            f, g = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (f, g))
        oracle = Oracle().fit(f, support.y.numpy()).predict(g)
        assert (model.predict(params, adapted, query.x).argmax(-1).numpy() == oracle).all()


@pytest.mark.parametrize("steps", [0, 3], ids=["converted", "trained"])
def test_the_centre_is_the_mean_feature_of_the_training_classes(steps, tmp_path):
    """Over random batches and over every example once: within four standard errors of the former."""
    pool, batches = tiny.pool(), BatchSampler(pool=tiny.pool(), batch_size=48)
    model = SimpleShot(encoder=tiny.protonet().encoder, head=Linear(inputs=4, outputs=len(pool)))
    config = TrainConfig(steps=steps, meta_batch_size=1, plan="loop", meta_lr=1e-2, checkpoint_every=2)
    params = meta_train(model, batches, config, tmp_path)
    assert torch.equal(load(tmp_path)[1]["centre"], params["centre"])
    x = pool.data.flatten(0, 1)
    with torch.no_grad():
        features = model.encoder.apply(tree.part(params, "encoder"), x)
    tolerance = 4 * features.std(0) / (32 * 48) ** 0.5
    assert bool(((params["centre"] - features.mean(0)).abs() <= tolerance + 0.02 * features.mean(0)).all())


def test_centring_takes_out_what_all_features_share():
    """Far from the origin all directions are alike; around the centre they are not."""
    support, query = tree.slice(NeedlesInNoise(dtype=torch.float64).episodes(0, 1), 0)
    models = {
        t: SimpleShot(encoder=Module(torch.nn.Identity), head=Linear(inputs=8), transform=t)
        for t in ("l2", "centred_l2")
    }
    far = 1e4
    params = {"centre": torch.full((8,), far, dtype=torch.float64)}
    logits = {
        t: m.predict(params, m.adapt(params, support._replace(x=support.x + far)), query.x + far)
        for t, m in models.items()
    }
    near = models["l2"].predict({}, models["l2"].adapt({}, support), query.x)
    assert torch.allclose(logits["centred_l2"], near, atol=1e-6) and logits["l2"].abs().max() < 1e-5


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="use none, l2, centred_l2"):
        learner("cosine")
