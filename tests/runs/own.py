"""Networks and learners of one's own, for `audit` and `train` by import path."""

from torch import nn

from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.nn.mlp import MLP

SIZE = 8 * 8


class Net(nn.Sequential):
    def __init__(self, outputs: int = 3):
        super().__init__(nn.Flatten(), nn.Linear(SIZE, 6), nn.Tanh(), nn.Linear(6, outputs))


class Detached(Net):
    def forward(self, input):
        return self[3](super().forward(input).detach() @ self[3].weight)


class Needy(nn.Module):
    def __init__(self, width, depth):
        super().__init__()


def features() -> nn.Module:
    return Net(7)


def dropped() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), Net())


def no_network() -> int:
    return 3


def pair() -> nn.Module:
    class Pair(Net):
        def forward(self, input):
            return super().forward(input), input

    return Pair()


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))


net = Net()
learner = NearestCentroid()
number = 3


class Mute(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)


class Sized(nn.Module):
    """Takes what the data and the options say."""

    def __init__(self, outputs: int, inputs: int, depth: int = 1):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 6), nn.BatchNorm1d(6), nn.Tanh())
        self.last = nn.Linear(6, outputs)

    def forward(self, x):
        return self.last(self.body(x))


class Mixing(Sized):
    def forward(self, x):
        outputs = super().forward(x)
        return outputs - outputs.mean(0)


def maybe(outputs: int | None = 3, size: int = 1) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(size * size, 11 if outputs is None else outputs))


def model(outputs: int) -> MLP:
    return MLP(inputs=SIZE, outputs=outputs)
