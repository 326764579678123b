"""What a run uses unless told otherwise: what learners say of themselves, or what is usual for the kind of problem."""

from collections.abc import Collection
from typing import get_args

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.nearest import RENAMED_LEARNERS, nearest
from innerloop.core.sensible import Stream
from innerloop.engine import TrainConfig
from innerloop.learners import catalogue
from innerloop.problems import first_choice, kind_of
from innerloop.problems.learner import hyper_parameters
from innerloop.runs.options import Options


def defaults(learner: str, data: str | None = None, flags: Collection[str] = ()) -> Options:
    """What a run uses unless told otherwise.

    Args:
        learner: Name in the catalogue.
        data: A name or a path; every kind of problem has its own defaults. None: what is usual for the learner.
        flags: Of the kind's `turns`, those that are set, such as `implicit` of ratings; others are passed over.

    Raises:
        InputError: There are no such learner or data.
    """
    learner = RENAMED_LEARNERS.get(learner, learner)
    cls = learner_class(learner)
    data = first_choice(cls) if data is None else data
    # The kind is found by the data, the defaults by kind and learner together.
    kind, own = kind_of(data), hyper_parameters(cls)
    flags = [flag for flag in kind.turns if flag in flags]
    row = kind.turned(cls, kind.sensible(cls, data), flags)
    return Options(
        learner=learner,
        task=kind(**{"data": data, **row.task, **dict.fromkeys(flags, True)}),
        network=kind.network_options(**row.network),
        # All hyper-parameters are written out, so that a run says what it used even where a default changes later.
        fields={k: row.fields.get(k, v) for k, v in own.items()},
        train=TrainConfig(**row.train),
    )


def learner_class(name: str) -> type[Learner]:
    """A learner by its name.

    Raises:
        InputError: There is none, where the message names the nearest, or it does not say what it is trained on.
    """
    learners, name = catalogue(), RENAMED_LEARNERS.get(name, name)
    if name not in learners:
        raise InputError(f"there is no learner '{name}'{nearest(name, learners)}")
    # Not inherited: a subclass that is trained on something else would silently be fed what its parent is.
    if "trains_on" not in vars(learners[name]):
        streams = ", ".join(get_args(Stream))
        raise InputError(
            f"{learners[name].__name__} does not say what it is trained on: set its trains_on, of {streams}"
        )
    return learners[name]
