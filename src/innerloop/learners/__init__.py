"""Every algorithm, one file each: the file's name is the algorithm's, and the walk of this folder finds it."""

import importlib
import inspect
import pkgutil

from innerloop.core.learner import Learner
from innerloop.core.wrapper import Wrapper


def catalogue() -> dict[str, type[Learner]]:
    """Every learner by its file's name, found by walking this package; wrappers are no learners by themselves."""
    learners: dict[str, type[Learner]] = {}
    for info in pkgutil.walk_packages(__path__, f"{__name__}."):
        if info.ispkg:
            continue
        module = importlib.import_module(info.name)
        for _, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, Learner) and not issubclass(member, Wrapper) and member.__module__ == info.name:
                learners[info.name.rpartition(".")[2]] = member
    return dict(sorted(learners.items()))
