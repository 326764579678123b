"""Where tasks come from: pools of classes, samplers of episodes, data sets, regression problems, pictures."""

from innerloop.tasks.episodes import BatchSampler, EpisodeSampler
from innerloop.tasks.images import image_files, image_folder
from innerloop.tasks.pool import Pool, Splits
from innerloop.tasks.regression import Sinusoid

__all__ = ["BatchSampler", "EpisodeSampler", "Pool", "Sinusoid", "Splits", "image_files", "image_folder"]
