"""Options into a run that follows a stream."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from innerloop.continual.run import StreamRun
from innerloop.continual.streams import StreamOptions
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.incremental import Incremental
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.online import OnlineLearner
from innerloop.core.ranges import Checked, Count, Natural
from innerloop.learners import catalogue
from innerloop.problems.learner import check_fields, hyper_parameters, make_learner
from innerloop.problems.networks import NetworkOptions
from innerloop.runs.defaults import learner_class
from innerloop.runs.start import begin
from innerloop.tasks.stream import Stream

_INCREMENTAL = f"{Incremental.__module__}:{Incremental.__name__}"


@dataclass(frozen=True, kw_only=True)
class FollowOptions(Checked):
    """How a stream is followed."""

    seed: int = 0
    """Seed of the stream and of the initial parameters."""
    room: Count | None = None
    """Classes that the head has room for; None: as many as the stream has."""
    checkpoint_every: Count = 500
    """Batches between checkpoints."""
    curve_every: Natural = 0
    """Batches between scores on the held-out rows of the task that is arriving; 0: only at ends, on those of all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a run on a stream."""

    learner: str
    """Name in `learners.catalogue()`."""
    stream: StreamOptions
    network: NetworkOptions = field(default_factory=NetworkOptions)
    fields: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters of the learner that differ from its own defaults."""
    follow: FollowOptions = field(default_factory=FollowOptions)


def able(cls: type[Learner]) -> bool:
    """Whether a learner can learn on a stream."""
    return issubclass(cls, OnlineLearner) or cls.incremental is not False


def usual_fields(name: str) -> dict[str, Any]:
    """Hyper-parameters of a learner on a stream, at their defaults.

    Raises:
        InputError: There is no such learner, or it can learn on no stream.
    """
    cls = learner_class(name)
    if not able(cls):
        others = ", ".join(other for other, kind in catalogue().items() if able(kind))
        raise InputError(
            f"{name} learns a task at once and not row by row: it cannot follow a stream. These can: {others}"
        )
    return hyper_parameters(cls)


def build(options: Options, context: Context = Context()) -> StreamRun:
    """The run that the options describe.

    Args:
        options: What is to be followed, and by whom.
        context: Where data sets lie, and whose networks may be named.

    Raises:
        InputError: There is no such learner, stream or network, or they do not fit together.
    """
    usual_fields(options.learner)
    cls, follow = learner_class(options.learner), options.follow
    check_fields(cls, options.learner, options.fields)
    options.network.check(context.allow)
    stream = options.stream.open(follow.seed, context)
    learner = _learner(cls, options, stream)
    params, about = learner.init(follow.seed), {}
    if options.network.start is not None:
        start = begin(learner, follow.seed, options.network.start)
        params, about = params | start.params, {"start": start.record}
    return StreamRun(
        learner=learner,
        params=params,
        stream=stream,
        seed=follow.seed,
        record={
            "learner": options.learner,
            "options": asdict(options.stream),
            "network": asdict(options.network),
            "room": follow.room,
            **about,
        },
        checkpoint_every=follow.checkpoint_every,
        curve_every=follow.curve_every,
    )


def _learner(cls: type[Learner], options: Options, stream: Stream) -> OnlineLearner[Any]:
    like, values, room = stream.batches(0, 1), dict(options.fields), options.follow.room or stream.room
    assert isinstance(like.x, Tensor)
    if room < stream.room:
        raise InputError(
            f"the stream has {stream.room} classes, 0 to {stream.room - 1}, and the head room for {room}: leave out "
            f"--room, or give --room {stream.room}"
        )
    if not stream.room:
        if "values" not in cls.targets:
            raise InputError(
                f"{options.learner} predicts classes, and the targets of this stream are values: take another learner, "
                "or another stream"
            )
        values["objective"], room = regression, like.y.shape[-1]
    network, shape = options.network, tuple(like.x.shape[2:])
    if network.network == "auto" and options.stream.of_features:
        network = replace(network, network="linear")  # whatever made the features has done the rest
    learner = make_learner(cls, values, shape, room, network)
    if isinstance(learner, OnlineLearner):
        return learner
    return Incremental(learner=learner)


def own_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the learner that `build` was asked for, as a run's `config.json` has them.

    Raises:
        TypeError, LookupError: It is damaged.
    """
    fields = config["learner"]["fields"]
    return fields["learner"]["fields"] if config["learner"]["class"] == _INCREMENTAL else fields
