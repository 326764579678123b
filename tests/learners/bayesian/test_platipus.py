from innerloop.core.model import Module
from innerloop.learners.bayesian.platipus import PLATIPUS
from tests.conformance import TransductiveConformance
from tests.problems import classifier


class TestPLATIPUS(TransductiveConformance):
    learner = PLATIPUS(model=Module(classifier), inner_lr=0.3, inner_steps=2, members=3, std=0.05, kl_weight=0.1)
