"""Sinusoids, as torchmeta draws them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import Dataset


class Sinusoid(Dataset[Any]):
    """Tasks `y = A sin(x - phase)` of MAML: A from [0.1, 5], the phase from [0, pi], x from [-5, 5], in float64.

    Draws are those of torchmeta: its `np_random` of the same seed gives the same tasks, in the order they are read.

    Args:
        num_samples_per_task: Points of a task, support and query together.
        num_tasks: How many tasks there are; their points are new whenever one is read.
        noise_std: Standard deviation of what is added to y; None: nothing.
        transform: Done to every x, an array [1].
        target_transform: Done to every y, an array [1].
    """

    def __init__(
        self,
        num_samples_per_task: int,
        num_tasks: int = 1_000_000,
        noise_std: float | None = None,
        transform: Callable[[np.ndarray], Any] | None = None,
        target_transform: Callable[[np.ndarray], Any] | None = None,
    ):
        self.num_samples_per_task = num_samples_per_task
        self.num_tasks = num_tasks
        self.noise_std = noise_std
        self.transform = transform
        self.target_transform = target_transform
        self.seed()

    def seed(self, seed: int | None = None) -> None:
        """Begin anew; None: anywhere."""
        self.np_random = np.random.RandomState(seed)
        self._constants: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.num_tasks

    def __getitem__(self, index: int) -> list[tuple[Any, Any]]:
        """The points (x, y) of a task."""
        if self._constants is None:
            amplitudes = self.np_random.uniform(0.1, 5.0, size=self.num_tasks)
            self._constants = amplitudes, self.np_random.uniform(0, np.pi, size=self.num_tasks)
        amplitude, phase = (constants[index] for constants in self._constants)
        x = self.np_random.uniform(-5.0, 5.0, size=(self.num_samples_per_task, 1))
        y = amplitude * np.sin(x - phase)
        if self.noise_std:
            y += self.noise_std * self.np_random.randn(self.num_samples_per_task, 1)
        return [(_done(self.transform, a), _done(self.target_transform, b)) for a, b in zip(x, y, strict=True)]


def _done(transform: Callable[[np.ndarray], Any] | None, value: np.ndarray) -> Any:
    return value if transform is None else transform(value)
