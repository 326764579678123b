"""Tasks whose pictures are distorted anew in every one of them: more pictures of the same classes to train on."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from innerloop.core import random
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked
from innerloop.core.types import Batch, Episode, Sampler
from innerloop.tasks.augment import Augmentation
from innerloop.tasks.sound_augment import SoundAugmentation

_COPY = 0xD157
LIGHT = Augmentation(rotation=10.0, shift=1.5, scale=0.1, shear=0.1)
"""Half as strong again gave the same on Omniglot's meta-validation classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Distorted(Checked):
    """The tasks of a sampler, each of their pictures as a distorted copy; episode `i` stays a function of `(seed, i)`.

    Raises:
        InputError: The sampler's examples are not pictures.
    """

    sampler: Sampler
    """Its labels, masks and keys stay as they are, and so does padding."""
    augmentation: Augmentation | SoundAugmentation = LIGHT
    """What pictures of support and query are distorted by, each on its own; those of sounds need another."""

    def __post_init__(self) -> None:
        about = self.sampler.describe()
        shape = about.get("shape")
        if not isinstance(shape, list) or len(shape) != 3:
            raise InputError(
                f"distortion is for pictures; examples of {about.get('dataset')} have shape {shape}, not [channels, "
                "height, width]: leave it out"
            )

    def episodes(self, first: int, count: int) -> Episode:
        """See `innerloop.core.types.Sampler`."""
        support, query = self.sampler.episodes(first, count)
        return Episode(self._copies(support), self._copies(query))

    def describe(self) -> dict[str, object]:
        """See `innerloop.core.types.Sampler`."""
        return self.sampler.describe() | {"distorted": asdict(self.augmentation)}

    def _copies(self, batch: Batch) -> Batch:
        x, key = batch.x, batch.key
        assert isinstance(x, Tensor) and key is not None  # samplers of pictures give both
        rows = torch.arange(x.shape[1], device=x.device)
        each = random.fold(random.fold(key, _COPY)[:, None], rows)  # [count, n]
        return batch._replace(x=self.augmentation(x.flatten(0, 1), each.flatten()).view_as(x))
