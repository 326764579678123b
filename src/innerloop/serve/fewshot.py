"""One portable file for an adapted task: what learned, what it learned, what the classes are called.

A safetensors file: tensors `params.*`, `adapted.*` and `buffers.*`, and in its metadata, under `innerloop`, JSON with
the version, the learner (`core.config`), class names and preprocessing. Reading it runs no code that it brings.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from innerloop.core import config, files, tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine import checkpoint
from innerloop.serve.rehearsal import answers, rehearse

VERSION = 1
_KEY = "innerloop"


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A learner that has seen its examples."""

    learner: Learner
    params: Params
    adapted: Any
    classes: list[str | int | bool]
    examples: dict[str, int]
    """How many of each class were seen."""
    shape: tuple[int, ...]
    """Of one example."""
    preprocessing: dict[str, Any] | None
    """Keyword arguments of `tasks.image_files`; None: examples were never pictures."""


def write(path: Path, task: Task) -> None:
    """Write the file, whole or not at all.

    Raises:
        InputError: It cannot be written, or the learner cannot be named in a file.
    """
    tensors = {f"params.{k}": v for k, v in task.params.items()} | checkpoint.buffers(task.learner)
    known, same = {id(v): k for k, v in tensors.items()}, {}
    for name, leaf in tree.items(task.adapted, "adapted"):
        if id(leaf) in known:
            same[name] = known[id(leaf)]  # most learners carry meta-parameters along as they are
        else:
            tensors[name] = leaf
            known[id(leaf)] = name
    about = {
        "version": VERSION,
        "learner": config.encode(task.learner),
        "classes": task.classes,
        "examples": task.examples,
        "shape": list(task.shape),
        "preprocessing": task.preprocessing,
        "same": same,
    }
    plain = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    files.write(path, safetensors.torch.save(plain, {_KEY: json.dumps(about)}))


def read(path: Path, allow: Sequence[str] = ()) -> Task:
    """Read what `write` wrote.

    Args:
        path: The file.
        allow: Module prefixes besides `innerloop.` that it may name.

    Raises:
        InputError: It is missing, damaged, of another version, or names foreign classes.
    """
    about, tensors = _content(path)
    version = about.get("version")
    if version != VERSION:
        raise InputError(f"{path} is of version {version}, this release reads version {VERSION}: adapt again")
    learner = config.decode(about.get("learner"), allow)
    if not isinstance(learner, Learner):
        raise InputError(f"{path} holds a {type(learner).__name__}, not a learner: adapt again")
    try:
        classes, shape = list(about["classes"]), tuple(int(n) for n in about["shape"])
        tensors |= {name: tensors[source] for name, source in about["same"].items()}
        params = {k.removeprefix("params."): v for k, v in tensors.items() if k.startswith("params.")}
        checkpoint.restore_buffers(learner, tensors)
        structure = rehearse(learner, params, shape, len(classes))
        adapted = tree.rebuild(structure, tensors, "adapted.")
        if answers(learner, params, adapted, shape) < len(classes):
            raise ValueError(f"it has fewer answers than its {len(classes)} classes")
        preprocessing, examples = about["preprocessing"], dict(about["examples"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged or was written by another release ({error}): adapt again") from error
    return Task(
        learner=learner,
        params=params,
        adapted=adapted,
        classes=classes,
        examples=examples,
        shape=shape,
        preprocessing=preprocessing,
    )


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}: write it with `innerloop adapt`") from error
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not an adapted task, or is damaged ({error}): write it with `innerloop adapt`"
        ) from error
    if not isinstance(about, dict):
        raise InputError(f"{path} is not an adapted task: write one with `innerloop adapt`")
    return about, tensors
