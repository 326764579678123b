"""Where tasks come from: pools of classes, samplers of episodes, data sets, regression problems, pictures.

A name is imported when it is asked for: reading a table needs no torch, which takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from innerloop.tasks.audio import sound_folder
    from innerloop.tasks.augment import Augmentation
    from innerloop.tasks.distorted import Distorted
    from innerloop.tasks.dynamics import MassSpringDamper
    from innerloop.tasks.episodes import BatchSampler, EpisodeSampler
    from innerloop.tasks.images import image_files, image_folder
    from innerloop.tasks.interpolation import Interpolated
    from innerloop.tasks.multi import TaskBatchSampler
    from innerloop.tasks.pool import Pool, Splits
    from innerloop.tasks.regression import GPCurves, Mixture, Polynomial, Sinusoid, mixture
    from innerloop.tasks.scored import Scored
    from innerloop.tasks.sound_augment import SoundAugmentation
    from innerloop.tasks.trajectories import TrajectorySampler
    from innerloop.tasks.unsupervised import UnsupervisedSampler

_NAMES = {
    "audio": ("sound_folder",),
    "augment": ("Augmentation",),
    "distorted": ("Distorted",),
    "dynamics": ("MassSpringDamper",),
    "episodes": ("BatchSampler", "EpisodeSampler"),
    "images": ("image_files", "image_folder"),
    "interpolation": ("Interpolated",),
    "multi": ("TaskBatchSampler",),
    "pool": ("Pool", "Splits"),
    "regression": ("GPCurves", "Mixture", "Polynomial", "Sinusoid", "mixture"),
    "scored": ("Scored",),
    "sound_augment": ("SoundAugmentation",),
    "trajectories": ("TrajectorySampler",),
    "unsupervised": ("UnsupervisedSampler",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Augmentation",
    "BatchSampler",
    "Distorted",
    "EpisodeSampler",
    "GPCurves",
    "Interpolated",
    "MassSpringDamper",
    "Mixture",
    "Polynomial",
    "Pool",
    "Scored",
    "Sinusoid",
    "SoundAugmentation",
    "Splits",
    "TaskBatchSampler",
    "TrajectorySampler",
    "UnsupervisedSampler",
    "image_files",
    "image_folder",
    "mixture",
    "sound_folder",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"innerloop.tasks.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
