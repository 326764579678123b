"""Networks and learners of one's own, for `audit` by import path."""

from torch import nn

from innerloop.learners.baselines.nearest_centroid import NearestCentroid

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
