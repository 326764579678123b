"""What all `.fewshot` files are: tensors, and JSON that says what they are of; reading one runs no code that it brings.

They are safetensors files, whose metadata have that JSON under `innerloop`, with its `kind` and `version`.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.names import reason
from innerloop.engine import checkpoint

Kind = Literal["classifier", "tagger"]
_KEY = "innerloop"
_MADE_BY = {"classifier": "innerloop adapt", "tagger": "innerloop ner adapt"}
_USED_BY = {"classifier": "innerloop predict", "tagger": "innerloop ner predict"}
_MOST_STEPS = 1_000
"""Inner steps of a learner in a stranger's file: each is computed when it learns."""
_MOST_OWN_STEPS = 100_000
"""Likewise in a file of this machine, so that a damaged one does not compute for years."""
_MOST_COUNT = 1 << 20
"""Any size of a network: some are numbers of layers, each of which is built before it can be measured."""


def write(path: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a file, whole or not at all.

    Args:
        path: Where to.
        about: Plain JSON; without a `kind` it is a classifier.
        tensors: By name.

    Raises:
        InputError: It cannot be written.
    """
    checkpoint.write_tensors(path, tensors, {_KEY: json.dumps(about, allow_nan=False)})


def read(path: Path, kind: Kind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file holds: plain JSON, and tensors.

    Raises:
        InputError: It is missing, damaged, or of another kind.
    """
    try:
        tensors, metadata = checkpoint.read_tensors(path)
        # NaN in a threshold would accept nothing, and never say why.
        about = json.loads(metadata[_KEY], parse_constant=_refused)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}: write it with `{_MADE_BY[kind]}`") from error
    except MemoryError as error:
        raise InputError(f"{path} says that it holds more than this machine has memory for: adapt again") from error
    except PermissionError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # safetensors and torch raise whatever a damaged header leads them to
        raise InputError(
            f"{path} is not an adapted task, or is damaged ({reason(error)}): write it with `{_MADE_BY[kind]}`"
        ) from error
    if not isinstance(about, dict):
        raise InputError(f"{path} is not an adapted task: write one with `{_MADE_BY[kind]}`")
    there = about.get("kind", "classifier")
    if there != kind:
        use = _USED_BY.get(there) if isinstance(there, str) else None
        what = f"a {there}: ask it with `{use}`" if use else f"of kind {there!r}, which this release does not know"
        raise InputError(f"{path} is {what}, not a {kind}")
    return about, tensors


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have errors about what a file holds name the file.

    Raises:
        InputError: Whatever its content leads to.
    """
    try:
        yield
    except InputError as error:
        # Most messages name the file already.
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # whatever a learner makes of tensors that do not fit it
        raise InputError(
            f"{path} is damaged or was written by another release ({reason(error)}): adapt again"
        ) from error


def check_size(path: Path, learner: Learner, own: bool) -> None:
    """Refuse a learner that says it is larger than the file it came in, or steps without end.

    Args:
        path: The file.
        learner: What it names; nothing of it was built yet.
        own: Whether it is a file of this machine, and not of a stranger.

    Raises:
        InputError: It does.
    """
    size, most_steps = path.stat().st_size, _MOST_OWN_STEPS if own else _MOST_STEPS
    for part in _parts(learner):
        for name, value in vars(part).items():
            for number in value if isinstance(value, tuple | list) else (value,):
                _check_number(path, name, number, most_steps if "steps" in name else _MOST_COUNT)
        if isinstance(part, Model):
            # Nothing is allocated there, however large the network says it is.
            with torch.device("meta"):
                numbers = sum(tensor.numel() for tensor in part.build().state_dict().values())
            if numbers > size:
                raise InputError(f"{path} names a network of {numbers:,} numbers and is smaller than that: adapt again")


def _check_number(path: Path, name: str, value: Any, most: int) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > most:
        raise InputError(f"{path} wants {name}={value:,}, and {most:,} is most")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{path} wants {name}={value}, which is no finite number")


def _parts(thing: Any) -> Iterator[Any]:
    """A dataclass, and those that it holds."""
    if dataclasses.is_dataclass(thing):
        yield thing
        for value in vars(thing).values():
            yield from _parts(value)
    elif isinstance(thing, tuple | list):
        for value in thing:
            yield from _parts(value)


def _refused(constant: str) -> Any:
    raise ValueError(f"it holds {constant}")


def kind_of(path: Path) -> str:
    """What kind of `.fewshot` file this is; `classifier` where it does not say, or is none."""
    try:
        about = json.loads(checkpoint.read_tensors(path)[1][_KEY])
    except Exception:  # whoever reads it says what is wrong
        return "classifier"
    return str(about.get("kind", "classifier")) if isinstance(about, dict) else "classifier"
