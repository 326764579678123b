"""Rows that count for more than one, where numbers are measured on some of them."""

from dataclasses import dataclass

import torch
from torch import nn

from innerloop.core.model import Module
from innerloop.core.types import Episode
from innerloop.evaluate.calibration import calibrate
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.pool import from_rows


@dataclass(frozen=True)
class Weighing:
    own: EpisodeSampler
    weight: float | None

    def describe(self):
        return self.own.describe()

    def episodes(self, first, count):
        support, query = self.own.episodes(first, count)
        weights = None if self.weight is None else torch.full(support.y.shape, self.weight)
        return Episode(support._replace(weight=weights), query)


def test_a_calibration_takes_the_weights_of_the_rows_that_are_real_and_of_the_classes_that_are_taught():
    labels = [i % 8 for i in range(64)]
    rows = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)) + torch.tensor(labels)[:, None]
    pool = from_rows(rows, labels, [f"class {i}" for i in range(8)], dataset="blobs")
    learner = R2D2(encoder=Module(nn.Flatten))
    uneven = EpisodeSampler(pool=pool, ways=5, shots=(1, 3), queries=3)
    plain, ones, more = (calibrate(learner, learner.init(0), Weighing(uneven, w), 5) for w in (None, 1.0, 9.0))
    assert plain == ones != more
