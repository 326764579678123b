"""Honest networks of different make, against which an audit must say nothing; `NETWORKS` has them by name."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from innerloop.core import random
from innerloop.core.model import Module
from innerloop.core.types import Batch, Episode
from tests.evaluate import tiny

SIZE, INPUTS, WAYS = tiny.SIZE, tiny.SIZE**2, 3
_WORDS, _LENGTH = 40, 6


class ConvNet(nn.Sequential):
    """Convolutions with batch norm and pooling."""

    def __init__(self):
        super().__init__(
            *(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4)),
            *(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16, WAYS)),
        )


class Transformer(nn.Module):
    """Patches, a layer of attention with layer norms, and their mean."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.place = nn.Parameter(0.02 * torch.randn(16, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, WAYS)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT + self.place
        return self.head(self.norm(self.layer(tokens)).mean(1))


class Recurrent(nn.Module):
    """An Elman network over the lines of a picture, written out."""

    def __init__(self):
        super().__init__()
        self.inside, self.across = nn.Linear(SIZE, 8), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, WAYS)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 8)
        for line in x.flatten(1, 2).unbind(1):
            state = torch.tanh(self.inside(line) + self.across(state))
        return self.head(state)


class Tied(nn.Module):
    """One matrix goes up and down again, under two names."""

    def __init__(self):
        super().__init__()
        self.down, self.up, self.head = (
            nn.Linear(INPUTS, 8, bias=False),
            nn.Linear(8, INPUTS, bias=False),
            nn.Linear(INPUTS, WAYS),
        )
        self.again = self.down

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.head(x - F.linear(torch.tanh(self.again(x)), self.down.weight.T))


class FunctionalNorms(nn.Module):
    """nanoGPT's layer norm, and a batch norm of the same kind."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(INPUTS, 8), nn.Linear(8, 8), nn.Linear(8, WAYS)
        self.scale, self.shift = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(F.layer_norm(self.first(x.flatten(1)), (8,), self.scale, self.shift, 1e-5))
        return self.head(torch.tanh(F.group_norm(self.second(x), 2)))


class GroupNormResNet(nn.Module):
    """Two residual blocks with group norm."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 4, 4), nn.Linear(8, WAYS)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


class SharedNorm(nn.Module):
    """One batch norm in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(INPUTS, 8), nn.Linear(8, 8), nn.Linear(8, WAYS)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.first(x.flatten(1))))
        return self.head(x + torch.tanh(self.norm(self.second(x))))


class WeightNormed(nn.Sequential):
    """Parametrised layers."""

    def __init__(self):
        super().__init__(
            *(nn.Flatten(), parametrizations.weight_norm(nn.Linear(INPUTS, 8)), nn.ELU()),
            *(parametrizations.weight_norm(nn.Linear(8, 8)), nn.ELU(), nn.Linear(8, WAYS)),
        )


class WordVectors(nn.Module):
    """Means of embedded words."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(_WORDS, 8), nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, WAYS))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x).mean(1))


class Regularised(nn.Sequential):
    """A multi-layer perceptron with its dropout switched off, as it must be here."""

    def __init__(self):
        layers = (nn.Flatten(), nn.Linear(INPUTS, 16), nn.ReLU(), nn.Dropout(0.0), nn.Linear(16, 8), nn.ReLU())
        super().__init__(*layers, nn.Dropout(0.0), nn.Linear(8, WAYS))


def trained_norm() -> nn.Module:
    """In eval mode, with running statistics that have seen data."""
    net = ConvNet()
    with torch.no_grad():
        for _ in range(20):
            net(torch.rand(8, 1, SIZE, SIZE))
    return net.eval()


@dataclass(frozen=True)
class Sentences:
    """Texts of six words; every class prefers words of its own."""

    seed: int = 0

    def episodes(self, first: int, count: int) -> Episode:
        keys = random.mix(self.seed, torch.arange(first, first + count))
        liked = random.bits(random.fold(keys, 0), (WAYS, 3)) % _WORDS
        return Episode(*(self._batch(random.fold(keys, n), liked, each) for n, each in ((1, 2), (2, 4))))

    def describe(self) -> dict[str, object]:
        return {"kind": "sentences", "score": "accuracy", "ways": WAYS, "seed": self.seed}

    def _batch(self, keys: Tensor, liked: Tensor, each: int) -> Batch:
        n = WAYS * each
        y = torch.stack([random.permutation(random.fold(key, 0), n) for key in keys]) % WAYS
        own = liked.gather(1, y[..., None].expand(-1, -1, 3)).gather(
            2, random.bits(random.fold(keys, 1), (n, _LENGTH)) % 3
        )
        other = random.bits(random.fold(keys, 2), (n, _LENGTH)) % _WORDS
        x = torch.where(random.uniform(random.fold(keys, 3), (n, _LENGTH)) < 0.5, own, other)
        return Batch(x, y, classes=torch.ones(len(keys), WAYS, dtype=torch.bool), key=keys)


NETWORKS: dict[str, Any] = {
    "convolutions with batch norm": Module(ConvNet),
    "transformer with layer norm": Module(Transformer),
    "recurrent": Module(Recurrent),
    "tied weights": Module(Tied),
    "functional norms": Module(FunctionalNorms),
    "residual with group norm": Module(GroupNormResNet),
    "residual with a shared norm": Module(SharedNorm),
    "weight norm": Module(WeightNormed),
    "word vectors": Module(WordVectors),
    "perceptron with dropout": Module(Regularised),
    "trained norm in eval mode": Module(trained_norm),
}
