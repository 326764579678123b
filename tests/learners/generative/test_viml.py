"""VIML, whose oracles are a loop over classes and the exact evidence of a linear model."""

from typing import Any

from innerloop.learners.generative.viml import VIML
from innerloop.nn.decoder import JoinedMLP
from innerloop.nn.mlp import MLP
from tests.conformance import Conformance
from tests.problems import INPUTS

UNITS, CODE, LATENT = 8, 3, 2


def statistician(warp: bool = False, inputs: int = INPUTS, **fields: Any) -> VIML:
    """Small, and smooth, so that finite differences hold."""
    begun = warp * (UNITS + inputs)
    return VIML(
        warp=warp,
        code_channels=CODE,
        latent=LATENT,
        encoder=MLP(inputs, (UNITS,), UNITS, "tanh"),
        statistic=MLP(UNITS, (UNITS,), 2 * CODE, "tanh"),
        posterior=JoinedMLP(UNITS * (1 + warp) + CODE, (UNITS,), (2 * LATENT,)),
        decoder=JoinedMLP(CODE + LATENT + begun, (UNITS,), (inputs,), "example" if warp else None),
        **fields,
    )


class TestVIML(Conformance):
    learner = statistician()


class TestVIMLOfAnother(Conformance):
    learner = statistician(warp=True)


class TestVIMLByDivergence(Conformance):
    learner = statistician(predict_by="kl")
