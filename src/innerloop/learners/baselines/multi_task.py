"""Multi-task training: Caruana, Machine Learning 28, 1997, https://doi.org/10.1023/A:1007379606734.

Adaptation is a new head on the shared trunk: the mean of every class, of features of unit length.
"""

from dataclasses import dataclass

from torch import Tensor

from innerloop.core import tree
from innerloop.core.encoder_learner import Means, nearness
from innerloop.core.learner import mask_absent
from innerloop.core.objectives import normalize
from innerloop.core.pretraining import Pretrained
from innerloop.core.prototypes import centroids
from innerloop.core.sensible import Sensible, by_kind
from innerloop.core.types import Batch, Episode, Metrics, Params


@dataclass(frozen=True, kw_only=True)
class MultiTask(Pretrained[Means]):
    """`loss` is classification among the classes of one training task (`tasks.TaskBatchSampler`), by that task's head.

    The heads are rows of one `head`: the logits of classes that the task does not have are masked. At test logits are
    negative squared Euclidean distances to the class means.
    """

    trains_on = ("task_batches",)
    sensible = by_kind(
        classes=Sensible(
            # As many examples a step as the others, of several tasks.
            task={"batch_size": 16},
            train={"meta_batch_size": 4},
        ),
    )

    def adapt(self, params: Params, support: Batch) -> Means:
        features, encoder = self.features(tree.part(params, "encoder"), support)
        return Means(centroids(normalize(features), support), encoder)

    def predict(self, params: Params, adapted: Means, x: Tensor | dict[str, Tensor]) -> Tensor:
        return nearness(normalize(self.encoder.apply(adapted.encoder, x)), adapted.centroids)

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        query = episode.query
        logits = mask_absent(self.logits(params, query), query.classes)
        return self.objective(logits, query.y, query.mask), self.logged(logits, query)
