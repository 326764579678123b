from innerloop.core.model import Module
from innerloop.learners.bayesian.amortised_vi import AmortisedVI
from innerloop.nn.mlp import Linear
from tests.conformance import TransductiveConformance
from tests.problems import FEATURES, encoder


class TestAmortisedVI(TransductiveConformance):
    learner = AmortisedVI(encoder=Module(encoder), prior=Linear(FEATURES, 3), inner_lr=0.3, inner_steps=3, samples=4)
