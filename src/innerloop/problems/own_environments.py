"""An environment by its class and settings, also one of somebody's own, named as `package.module:attribute`."""

import ast
import inspect
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from innerloop.audit.check_plans import reason
from innerloop.core import importing
from innerloop.core.environment import Environment, check_environment
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest


def own_environment(path: str, settings: Sequence[str], allow: Sequence[str]) -> Environment[Any]:
    """What a path names: a class of environments, one of them, or a function without arguments that returns one.

    Args:
        path: Such as `mine:Tank`, or `mine:tasks.environment` of `GymnasiumTasks`.
        settings: As of `from_settings`.
        allow: Packages besides innerloop whose code may run.

    Raises:
        InputError: It may not run, is no environment, cannot be made, or does not keep the contract.
    """
    subject = importing.trusted(path, ("innerloop", *allow))
    try:
        if inspect.isclass(subject) and issubclass(subject, Environment):
            made = subject(**from_settings(subject, settings, path))
        else:
            made = subject() if callable(subject) else subject
            if not isinstance(made, Environment):
                raise InputError(f"'{path}' gives a {type(made).__name__}: it must give {Environment.wanted}")
            made = replace(made, **from_settings(type(made), settings, path))
        check_environment(made)
    except InputError:
        raise
    except Exception as error:  # their code
        raise InputError(f"'{path}' cannot be made and stepped: {reason(error)}") from error
    return made


def from_settings(kind: type[Environment[Any]], settings: Sequence[str], name: str) -> dict[str, Any]:
    """Fields of an environment by name, such as `horizon=50`, whose values are Python literals, or text.

    Raises:
        InputError: A setting is none of its fields.
    """
    known, chosen = {f.name for f in fields(kind) if f.init}, {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            names = ", ".join(sorted(known))
            raise InputError(f"'{setting}' sets nothing of {name}: write name=value, with a name of {names}")
        if field not in known:
            raise InputError(f"'{setting}' sets nothing of {name}{nearest(field, sorted(known))}")
        chosen[field] = _value(text)
    return chosen


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
