"""parallel-metalearn 0.5.6 (imported as `metalearn`): MAML vectorised over tasks by `vmap`."""

import importlib
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.child import Work
from benchmarks.problems import META_LR, PROBLEMS
from innerloop.core.objectives import regression

_MAML: Any = importlib.import_module("metalearn.algorithms.MAML").MAML
_SGD: Any = importlib.import_module("metalearn.inner_optimizers").InnerSGD
_Wrapper: Any = importlib.import_module("metalearn.model_wrappers").MAML_Model
_BatchNorm: Any = importlib.import_module("metalearn.nn_models.basic_layers.BatchNormalization").BatchNorm
_Loss: Any = importlib.import_module("metalearn.loss.base").BaseLoss
_CrossEntropy: Any = importlib.import_module("metalearn.loss").CrossEntropy
_Accuracy: Any = importlib.import_module("metalearn.loss").CategoricalAccuracy


class _Passing(nn.Module):
    """Layers in order; its batch norms want to know the inner step."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, **kwargs) if isinstance(layer, _BatchNorm) else layer(x)
        return x


def _translated(layer: nn.Module) -> nn.Module:
    """Its own batch norm, as its convolutional networks have it; its translator of modules raises a TypeError."""
    if not isinstance(layer, nn.BatchNorm2d):
        return layer
    return _BatchNorm(layer.num_features, track_running_stats=False)


class _Squared(_Loss):
    def forward(self, out_dict: Any, targets: Any, model_states: Any = None, **kwargs: Any) -> tuple[Tensor, Tensor]:
        error = nn.functional.mse_loss(out_dict["logits"], targets["values"])
        return error, error.detach()


def maml(problem: str, tasks: int, steps: int = 1, chunk: int = 8) -> Work:
    found = PROBLEMS[problem]
    (support, labels), (query, answers) = (batch[:2] for batch in found.episodes(tasks))
    layers = [_translated(layer) for layer in found.network().children()]
    network = _Wrapper(backbone=_Passing(layers[:-1]), head=_Passing(layers[-1:]))
    squared = found.objective is regression
    algorithm = _MAML(
        model=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=META_LR),
        inner_optimizer=_SGD(network.get_fast_weights(), inner_lr=found.inner_lr, learn_lr=False),
        support_loss_fn=_Squared() if squared else _CrossEntropy(metric_fn=_Accuracy()),
        inner_steps=steps,
        chunk_size=chunk,
    )
    name = "values" if squared else "labels"
    batches = itertools.repeat((support, {name: labels}, query, {name: answers}))
    return Work(run=lambda: float(algorithm.step(batches)[0]))
