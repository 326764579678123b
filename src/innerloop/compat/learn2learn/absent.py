"""What learn2learn has and `compat` does not, with what to take instead."""

import functools
import importlib.abc
import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import ParamSpec, TypeVar

from innerloop.core.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")
_ROOT = "innerloop.compat.learn2learn"

_INSTEAD = {
    "algorithms.GBML": "innerloop.LearnedRates, innerloop.MAMLPlusPlus or innerloop.L2O learn the update",
    "algorithms.LightningMAML": "innerloop.MAML with innerloop.meta_train trains, validates and resumes",
    "algorithms.LightningANIL": "innerloop.ANIL with innerloop.meta_train trains, validates and resumes",
    "algorithms.LightningPrototypicalNetworks": "innerloop.ProtoNet with innerloop.meta_train trains and resumes",
    "algorithms.LightningMetaOptNet": "innerloop.R2D2 with innerloop.meta_train solves its head in closed form",
    "gym": "`innerloop train maml_rl --env navigation` has agents, docs/guide/agents.md",
    "optim": "innerloop.MetaSGD, innerloop.LearnedRates or innerloop.L2O learn the update",
    "text": "`innerloop train protonet --data FILE --encoder minilm` has texts, docs/guide/texts.md",
    "nn.PrototypicalClassifier": "innerloop.ProtoNet is the whole learner",
    "nn.SVClassifier": "innerloop.R2D2 solves its head in closed form",
    "vision.datasets": "innerloop.tasks.datasets has omniglot and others, Pool.from_dataset any of torchvision's",
    "vision.models.ResNet12": "innerloop.nn.resnet12.ResNet12 builds one",
    "vision.models.ResNet12Backbone": "innerloop.nn.resnet12.ResNet12(outputs=None) builds one",
    "vision.models.get_pretrained_backbone": "innerloop.encoders has frozen networks, docs/guide/encoders.md",
}
"""Names as learn2learn has them."""


class AbsentError(InputError, ModuleNotFoundError):
    """A module of learn2learn that is not here; for programs that try, an import that failed like any other."""


class Absent(importlib.abc.MetaPathFinder):
    """Python's importer of what learn2learn has and `compat` does not, asked last: it says what to take instead."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Refuse a module of learn2learn by name; nothing else is looked at.

        Raises:
            AbsentError: It is one of those, and the message names what to take.
        """
        if (instead := _INSTEAD.get(fullname.removeprefix(f"{_ROOT}."))) is not None and fullname.startswith(_ROOT):
            raise AbsentError(f"{fullname} is not there: {instead}")


def say_what_is_absent() -> None:
    """Have imports of what is not here say so, once in a process."""
    if not any(isinstance(finder, Absent) for finder in sys.meta_path):
        sys.meta_path.append(Absent())


def absent(package: str, name: str, present: Sequence[str]) -> Exception:
    """The error to raise for a name that a module does not have.

    Args:
        package: The module below `l2l`; empty: `l2l` itself.
        name: What was asked for.
        present: Names that are there.

    Returns:
        An `InputError` for what learn2learn has there, an `AttributeError`, which Python expects, for anything else.
    """
    full = f"{package}.{name}" if package else name
    place = f"{_ROOT}{package and '.'}{package}"
    instead = _INSTEAD.get(full)
    if instead is None:
        return AttributeError(f"module '{place}' has no attribute '{name}'; it has {', '.join(present)}")
    return InputError(f"{place} has {', '.join(present)}, and no {name} of learn2learn: {instead}")


def own_arguments(f: Callable[P, T]) -> Callable[P, T]:
    """`f`, which names its arguments where it is called with others."""

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return f(*args, **kwargs)
        except TypeError as error:
            signature = inspect.signature(f)
            try:
                signature.bind(*args, **kwargs)
            except TypeError as misfit:
                name = f.__qualname__.removesuffix(".__init__")
                takes = ", ".join(k for k in signature.parameters if k != "self")
                message = f"{name} of innerloop.compat.learn2learn takes {takes}: {misfit}"
                raise InputError(message) from error
            raise

    return call
