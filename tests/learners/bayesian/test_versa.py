from innerloop.core.model import Module
from innerloop.learners.bayesian.versa import VERSA
from innerloop.nn.mlp import MLP
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, encoder

HEAD, BIAS = (MLP(FEATURES, (FEATURES,), outputs, "elu") for outputs in (FEATURES, 1))
NETWORKS = {
    "weight_mean": HEAD,
    "weight_log_variance": HEAD,
    "bias_mean": BIAS,
    "bias_log_variance": BIAS,
    "pooled": MLP(2 * FEATURES, (FEATURES,), FEATURES, "elu"),
}


class TestVERSA(TransductiveConformance):
    learner = VERSA(encoder=Module(encoder), samples=4, **NETWORKS)
