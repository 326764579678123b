"""Options made from a learner's own fields, with their docstrings as help."""

import ast
import inspect
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

import tyro

from innerloop.cli.options import Common
from innerloop.core.errors import InputError
from innerloop.engine import TrainConfig
from innerloop.problems.base import Problem
from innerloop.problems.networks import StartOptions
from innerloop.runs import Options, defaults
from innerloop.track.watcher import Name


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the run is kept."""

    out: str | None = None
    """Run folder; asked for again, the run goes on from its last checkpoint. None: runs/<learner>."""
    seeds: tuple[int, ...] = ()
    """Train once with each of these seeds, in OUT/seed-0 and so on; asked again, each goes on. `compare OUT` sums
    them up."""
    track: tuple[Name, ...] = ()
    """Also send the run to these, which need their extras and keep it in the run folder; see docs/guide/tracking.md."""


def train_command(learner: str, data: str | None = None, flags: Collection[str] = ()) -> Any:
    """An instance of a dataclass with all options of `innerloop train <learner>`, at their defaults."""
    from innerloop.runs.defaults import learner_class

    usual = defaults(learner, data, flags)
    cls = learner_class(learner)
    parts = {
        "task": usual.task,
        "learner": learner_options(cls, usual.fields),
        "network": usual.network,
        # A generator makes classes: where there are none, its options are not shown.
        **({"generator": usual.generator} if usual.task.target == "classes" else {}),
        "train": usual.train,
        "output": OutputOptions(),
        "common": Common(),
    }
    return together(cls, usual.fields, parts)


def learner_options(cls: type, usual: Mapping[str, Any]) -> Any:
    """An instance of a dataclass with hyper-parameters of a learner, at these defaults."""
    hints, docs = get_type_hints(cls), field_docs(cls)
    hyper = [(k, Annotated[hints[k], tyro.conf.arg(help=docs.get(k, ""))], field(default=v)) for k, v in usual.items()]
    options = make_dataclass(cls.__name__, hyper, kw_only=True, frozen=True)
    options.__doc__ = inspect.getdoc(cls)
    return options()


def together(cls: type, own: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """An instance of a dataclass with all options of a command.

    Args:
        cls: Of the learner.
        own: Its hyper-parameters.
        parts: Dataclasses by their names, with the learner's as `learner`.

    Raises:
        InputError: A hyper-parameter is called like an option of another part.
    """
    for name, part in parts.items():
        shared = own.keys() & {f.name for f in fields(part)} if name != "learner" else ()
        for field_name in sorted(shared):
            option = f"--{field_name.replace('_', '-')}"
            raise InputError(
                f"{cls.__name__} has a field '{field_name}', and {option} is an option of {type(part).__name__}: name "
                f"the field otherwise (such as inner_{field_name}), or build the run in Python"
            )
    kinds = [(k, type(v), field(default=v)) for k, v in parts.items()]
    return make_dataclass("TrainCommand", kinds, kw_only=True, frozen=True)()


def chosen(learner: str, parsed: Any) -> Options:
    """What a parsed `train_command` says."""
    task, network, train = parsed.task, parsed.network, parsed.train
    assert isinstance(task, Problem) and isinstance(network, StartOptions) and isinstance(train, TrainConfig)
    before = {"generator": parsed.generator} if hasattr(parsed, "generator") else {}
    return Options(
        learner=learner, task=task, network=network, fields=dict(vars(parsed.learner)), train=train, **before
    )


def field_docs(cls: type) -> dict[str, str]:
    """The string below each annotated field, of a class and those it is derived from."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        docs |= _own_docs(base)
    return docs


@cache  # reading the source of a class takes 50 ms, and most have the same bases
def _own_docs(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError):  # built in, or without source
        return docs
    lines = body.body if isinstance(body, ast.ClassDef) else []
    for line, below in pairwise(lines):
        doc = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(doc, str):
            docs[line.target.id] = " ".join(doc.split())
    return docs
