"""Where tasks come from: pools of classes, samplers of episodes, data sets, regression problems, pictures."""

from innerloop.tasks.augment import Augmentation
from innerloop.tasks.dynamics import MassSpringDamper
from innerloop.tasks.episodes import BatchSampler, EpisodeSampler
from innerloop.tasks.images import image_files, image_folder
from innerloop.tasks.multi import TaskBatchSampler
from innerloop.tasks.pool import Pool, Splits
from innerloop.tasks.regression import GPCurves, Mixture, Polynomial, Sinusoid, mixture
from innerloop.tasks.scored import Scored
from innerloop.tasks.unsupervised import UnsupervisedSampler

__all__ = [
    "Augmentation",
    "BatchSampler",
    "EpisodeSampler",
    "GPCurves",
    "MassSpringDamper",
    "Mixture",
    "Polynomial",
    "Pool",
    "Scored",
    "Sinusoid",
    "Splits",
    "TaskBatchSampler",
    "UnsupervisedSampler",
    "image_files",
    "image_folder",
    "mixture",
]
