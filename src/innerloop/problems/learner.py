"""A learner from its class: hyper-parameters as they are given, networks as its fields declare them."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args, get_origin

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.nearest import nearest
from innerloop.core.networks import Encoder, network_fields, roles, settled
from innerloop.problems.networks import NetworkOptions, in_role

L = TypeVar("L", bound=Learner[Any])


def make_learner(
    cls: type[L],
    values: Mapping[str, Any],
    shape: tuple[int, ...],
    outputs: int,
    options: NetworkOptions,
) -> L:
    """The learner with default networks in those of its fields that are not among `values`.

    Args:
        cls: The learner's class.
        values: Its hyper-parameters, and networks that are to be these; a field that is left out has its default.
        shape: Of one example.
        outputs: How many the problem has: a class each, or targets.
        options: Which network takes the examples, and how wide.

    Raises:
        InputError: A field does not say what its network is for, a network does not fit the data or another network,
            or the learner refuses its fields.
    """
    declared, pending = roles(cls), []
    own = {f.name: f.default for f in fields(cls)} | dict(values)
    networks: dict[str, Model] = {k: v for k, v in values.items() if isinstance(v, Model)}

    def network(name: str) -> Model:
        if name in networks:
            return networks[name]
        if name not in declared:
            raise InputError(f"a network of {cls.__name__} is made from '{name}', which is no network of it")
        if name in pending:
            raise InputError(
                f"the networks {', '.join(pending)} of {cls.__name__} are made from one another: one must be made from "
                "the data alone"
            )
        pending.append(name)
        networks[name] = in_role(settled(declared[name], own), shape, outputs, options, other)
        pending.remove(name)
        return networks[name]

    def other(name: str) -> Model | None:
        needed = name in networks or name not in declared or declared[name].needed(own)
        return network(name) if needed else None

    for name, role in declared.items():
        if options.network == "none" and isinstance(role, Encoder):
            if own[name] is MISSING:
                raise InputError(f"{cls.__name__} needs a network: choose conv4, resnet12 or mlp")
        elif role.needed(own):
            network(name)
    try:
        return cls(**{**values, **networks})
    except TypeError as error:
        raise InputError(f"{cls.__name__} cannot be made from these options: {error}") from error


def hyper_parameters(cls: type[Learner]) -> dict[str, Any]:
    """Plain fields of a learner with their defaults: no networks, no functions."""
    result, networks = {}, network_fields(cls)
    for f in fields(cls):
        plain = f.default is None or isinstance(f.default, bool | int | float | str | tuple)
        kinds = (f.type, *get_args(f.type))
        if f.default is not MISSING and plain and f.name not in networks and Callable not in map(get_origin, kinds):
            result[f.name] = f.default
    return result


def check_fields(cls: type[Learner], name: str, values: Mapping[str, Any]) -> None:
    """Nothing, where a learner has all these hyper-parameters.

    Raises:
        InputError: It lacks one; the message names the nearest.
    """
    known = hyper_parameters(cls)
    for field in values:
        if field not in known:
            raise InputError(f"{name} has no hyper-parameter '{field}'{nearest(field, known)}")
