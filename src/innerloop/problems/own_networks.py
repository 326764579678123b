"""A network of somebody's own where a default one would be made, named as `package.module:attribute`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.audit.check_plans import reason
from innerloop.core import importing
from innerloop.core.errors import InputError
from innerloop.core.model import Model, Module, ModuleWith

_ROWS = 4
_MIXED = 1e-3
"""Part of the outputs' size by which the company of other rows may move an answer: rounding, in float32."""


def own_network(path: str, shape: tuple[int, ...], outputs: int | None, width: int) -> Model:
    """The network that a path names, made for these examples.

    What it takes is given by name: `outputs` or `ways` (as an encoder None where the parameter allows it, else the
    width), `features` or `width`, `inputs` (numbers of an example), `shape`, and of pictures `channels` and `size`.

    Args:
        path: Of a class or function that makes an `nn.Module` or a `Model`, or of a `Model`.
        shape: Of one example.
        outputs: How many, or None for an encoder.
        width: As of the option.

    Raises:
        InputError: There is none, it needs something else, or it does not fit the examples.
    """
    subject = importing.named(path)
    if isinstance(subject, nn.Module):
        raise InputError(
            f"'{path}' is a network that is built already, and a run begins with a fresh one from its seed: name its "
            "class, or a function that returns it"
        )
    model = subject if isinstance(subject, Model) else _made(subject, path, shape, outputs, width)
    others = "train on tasks of {0} classes with --ways {0}, or if these are features, train protonet"
    examples = torch.rand((_ROWS, *shape), generator=torch.Generator().manual_seed(0))
    check_outputs(model, path, examples, outputs, "the learner", others)
    _refuse_mixing(model, path, examples)
    return model


def check_outputs(model: Model, path: str, x: Tensor, wanted: int | None, learner: str, others: str | None) -> None:
    """Refuse a network that does not take these examples, or returns something else than outputs or features.

    Args:
        model: The network.
        path: What errors call it.
        x: [n, ...] examples.
        wanted: How many outputs; None: any number of features.
        learner: Who needs them.
        others: What else can be done about another number of outputs, `{0}` in it; None: nothing, they are no classes.
    """
    rows, shape = len(x), list(x.shape[1:])
    params = model.init(0)
    # Before it is called: every gradient of such a network would be right, being none.
    if not params:
        raise InputError(f"'{path}' has no parameters: there is nothing to adapt")
    try:
        with torch.no_grad():
            outputs = model.apply(params, x)
    except Exception as error:  # whatever a stranger's network raises
        raise InputError(
            f"'{path}' cannot take {rows} examples of shape {shape} ({reason(error)}): choose its data with --data, "
            "or give a network for these"
        ) from error
    if not isinstance(outputs, Tensor):
        raise InputError(f"'{path}' returns {type(outputs).__name__}; it must return one tensor of outputs")
    shape = list(outputs.shape)
    if wanted is None and (len(shape) != 2 or shape[0] != rows):
        raise InputError(f"'{path}' returns {shape} for {rows} examples; {learner} needs [{rows}, features]")
    if wanted is not None and shape != [rows, wanted]:
        advice = f"end it with a layer of {wanted} outputs"
        if len(shape) == 2 and others is not None:
            advice += f", {others.format(shape[1])}"
        raise InputError(
            f"'{path}' returns {shape} for {rows} examples; {learner} needs one output a class, [{rows}, "
            f"{wanted}]: {advice}"
        )


def _made(subject: Any, path: str, shape: tuple[int, ...], outputs: int | None, width: int) -> Model:
    if not callable(subject):
        raise InputError(
            f"'{path}' is of type {type(subject).__name__}: name a class of nn.Module, or a function that returns one"
        )
    arguments = _arguments(subject, path, shape, outputs, width)
    try:
        with torch.random.fork_rng(devices=[]):
            made = subject(**arguments)
    except InputError:
        raise
    except Exception as error:  # their code
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        raise InputError(f"'{path}' cannot be made with ({given}): {reason(error)}") from error
    if isinstance(made, Model):
        return made
    if not isinstance(made, nn.Module):
        raise InputError(f"'{path}' returns {type(made).__name__}; it must return an nn.Module")
    factory: Any = subject
    return ModuleWith(factory, tuple(arguments.items())) if arguments else Module(factory)


def _arguments(
    subject: Callable[..., Any], path: str, shape: tuple[int, ...], outputs: int | None, width: int
) -> dict[str, Any]:
    """What it has parameters for."""
    count = 1
    for n in shape:
        count *= n
    offered: dict[str, Any] = {"inputs": count, "shape": shape, "features": width, "width": width}
    if len(shape) == 3 and shape[1] == shape[2]:
        offered |= {"channels": shape[0], "size": shape[1]}
    given: dict[str, Any] = {}
    for name, parameter in _parameters(subject).items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in ("outputs", "ways"):
            given[name] = (None if _may_be_none(parameter) else width) if outputs is None else outputs
        elif name in offered:
            given[name] = offered[name]
        elif parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
            raise InputError(
                f"'{path}' needs {name}, which nobody knows here: give it a default, or name a function beside it. "
                f"Parameters that are filled in are outputs (or ways) and {', '.join(offered)}"
            )
    return given


def _parameters(subject: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(subject).parameters)
    except (TypeError, ValueError):  # built in
        return {}


def _may_be_none(parameter: inspect.Parameter) -> bool:
    return parameter.default is None or "None" in str(parameter.annotation) or "Optional" in str(parameter.annotation)


@torch.no_grad()
def _refuse_mixing(model: Model, path: str, x: Tensor) -> None:
    """Refuse a network whose answer to a row depends on the rows beside it, the statistics of its norms apart."""
    params = model.with_statistics(model.init(0), x)
    together, alone = model.apply(params, x), torch.cat([model.apply(params, row) for row in x.split(1)])
    apart = float((together - alone).abs().max() / together.abs().max().clamp_min(1e-12))
    if apart > _MIXED:
        raise InputError(
            f"'{path}' answers an example otherwise when others are beside it ({apart:.0%} of its outputs), so a query "
            "would learn from the other queries: take out what works over the first dimension, such as x.mean(0)"
        )
