import math

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian


def test_it_is_a_mean_by_an_mlp_beside_a_deviation_that_nothing_moves():
    policy, mean = Gaussian(inputs=3, hidden=(5,), size=2, start_std=0.5), MLP(3, (5,), 2, "tanh")
    params, x = policy.init(0), torch.randn(7, 3)
    outputs = policy.apply(params, x)
    own = {k.removeprefix("mean."): v for k, v in params.items() if k.startswith("mean.")}
    assert outputs.shape == (7, 4) and torch.equal(outputs[:, :2], mean.apply(own, x))
    assert torch.allclose(outputs[:, 2:], torch.full((7, 2), math.log(0.5)))
    assert torch.equal(policy.apply(params | {"log_std": torch.ones(2)}, x)[:, 2:], torch.ones(7, 2))


def test_a_deviation_of_zero_is_refused():
    with pytest.raises(InputError, match="start_std must be more than 0"):
        Gaussian(start_std=0.0)
