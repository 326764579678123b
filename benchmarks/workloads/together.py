"""Several processes, each with its share of the tasks, as `meta_train` has them under torchrun."""

import torch

from benchmarks.child import Work
from benchmarks.problems import META_LR, OMNIGLOT
from innerloop.core import tree
from innerloop.core.types import Params
from innerloop.engine import distributed, meta_gradient
from innerloop.engine.plan import Plan
from innerloop.learners.gradient.maml import MAML


def maml(tasks: int) -> Work:
    world = distributed.join()
    torch.set_num_threads(1)
    learner = MAML(model=OMNIGLOT.model, inner_lr=OMNIGLOT.inner_lr, transductive=True)
    mine = world.share(tasks)
    episodes = tree.slice(OMNIGLOT.episodes(tasks), slice(mine.start, mine.stop))
    params: Params = {k: v.requires_grad_() for k, v in learner.init(0).items()}
    optimizer = torch.optim.Adam(params.values(), lr=META_LR)

    def run() -> float:
        gradient, metrics = meta_gradient(learner, params, episodes, Plan("threads", threads=1, layout="mixed"))
        gradient, metrics, _ = world.mean(gradient, metrics, len(mine) / tasks, False)
        for name, leaf in params.items():
            leaf.grad = gradient[name]
        optimizer.step()
        return float(metrics["loss"])

    return Work(run=run, single=True)
