"""A network or learner of one's own, named on the command line as `package.module:attribute`."""

import importlib
import importlib.util
import inspect
import operator
from collections.abc import Sequence
from typing import Any

from torch import nn

from innerloop.core.context import how_to_allow, search_here, under
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model, Module
from innerloop.core.nearest import nearest


def is_import_path(subject: str) -> bool:
    """Whether this reads as `module:attribute`."""
    module, colon, attribute = subject.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def find(path: str) -> Model | Learner:
    """Import what a path names, which runs its module's code; the current directory is searched first.

    Args:
        path: Of an `nn.Module` class that needs no arguments, a function that returns an `nn.Module`, an `nn.Module`
            (it stays as it is), a `Model` or a `Learner`.

    Raises:
        InputError: It cannot be imported, or is none of these.
    """
    subject = named(path)
    if isinstance(subject, Model | Learner):
        return subject
    if isinstance(subject, nn.Module):
        return Module(lambda: subject)
    built = _built(subject, path)
    if isinstance(built, Model | Learner):
        return built
    if not isinstance(built, nn.Module):
        raise InputError(f"'{path}' returns {type(built).__name__}; it must return an nn.Module")
    factory: Any = subject
    return Module(factory)


def network(path: str, allow: Sequence[str]) -> nn.Module:
    """The network that a path names, with the weights it comes with; runs code of allowed modules only.

    Args:
        path: Of an `nn.Module`, a class of it that needs no arguments, or a function that returns one.
        allow: Prefixes of modules that may be imported.

    Raises:
        InputError: It lies outside of them, cannot be imported, or is no network.
    """
    subject = trusted(path, allow)
    if not isinstance(subject, nn.Module):
        subject = _built(subject, path)
    if not isinstance(subject, nn.Module):
        raise InputError(f"'{path}' gives a {type(subject).__name__}; it must be an nn.Module, or a function of one")
    return subject


def trusted(path: str, allow: Sequence[str]) -> Any:
    """What a path names, where it and what it names lie in modules whose code may run.

    Raises:
        InputError: They do not, or it cannot be imported.
    """
    module, _, _ = path.partition(":")
    if not under(module, allow):
        raise InputError(f"'{path}' is code of yours, which using it would run. {how_to_allow(module)}")
    subject = named(path)
    home = getattr(subject, "__module__", None) or ""
    # What an allowed module imported itself is not meant.
    if callable(subject) and not isinstance(subject, nn.Module) and not under(home, allow):
        raise InputError(f"'{path}' is defined elsewhere ({home or 'unknown'}): name it where it is defined")
    return subject


def require(module: str, name: str, extra: str) -> None:
    """Check that an optional package is installed, without importing it.

    Args:
        module: The module it brings.
        name: What needs it.
        extra: Of `pip install 'innerloop[...]'`.

    Raises:
        InputError: It is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"'{name}' needs an optional package that is not installed: pip install 'innerloop[{extra}]'")


def named(path: str) -> Any:
    """What a path names, whatever it is; importing its module runs its code.

    Raises:
        InputError: It cannot be imported.
    """
    module, _, attribute = path.partition(":")
    return _attribute(_import(module), attribute, path)


def _built(subject: Any, path: str) -> Any:
    if not callable(subject):
        raise InputError(
            f"'{path}' is of type {type(subject).__name__}: name an nn.Module, a class of it, or a function that "
            "returns one"
        )
    return _call(subject, path)


def _import(name: str) -> Any:
    here = search_here()
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(
            f"cannot import '{name}' ({type(error).__name__}: {error}). Searched were {here} and the installed packages"
        ) from error


def _attribute(module: Any, name: str, path: str) -> Any:
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        own = [k for k, v in vars(module).items() if isinstance(v, nn.Module) or inspect.isclass(v)]
        near = nearest(name, own) if own else ""
        raise InputError(f"'{path}' does not exist: {module.__name__} has no '{name}'{near}") from None


def _call(factory: Any, path: str) -> Any:
    """What the factory makes.

    Raises:
        InputError: It needs arguments.
    """
    try:
        needed = [
            p.name
            for p in inspect.signature(factory).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):  # built in
        needed = []
    if needed:
        name = path.rpartition(":")[2].rpartition(".")[2]
        raise InputError(
            f"'{path}' needs {', '.join(needed)}: write a function without arguments beside it that returns the "
            f"network, such as `def small(): return {name}(...)`, and name that"
        )
    return factory()
