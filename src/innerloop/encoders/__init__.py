"""Frozen encoders: pre-trained networks that turn raw pictures or texts into rows of features.

One file each; its name, with hyphens, is the encoder's name. Such a file has `ABOUT` (one line), `KIND`, `PACKAGE` (the
module that it needs, imported by `load` alone), `EXTRA` (which brings it), `CALIBRATION` and `load() -> Encoder`;
nothing needs to be registered.
"""

import functools
import importlib
import importlib.util
import pkgutil
import threading
from typing import TYPE_CHECKING, Any

from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest

if TYPE_CHECKING:  # what there is can be told without torch
    from innerloop.encoders.base import Encoder

_LOADING = threading.Lock()
_OTHERS = (
    "base",
    "module",
    "hub",
    "tuned",
    "replay",
    "linear",
    "tokens",
    "text_cache",
    "token_cache",
    "whitening",
    "type_names",
    "windows",
)
"""Files that are no encoder of a name."""
OF_TOKENS = "_tokens"
"""How the names of files of token encoders end, see `tokens`."""


def listed() -> list[str]:
    """Names of frozen encoders."""
    files = (
        info.name
        for info in pkgutil.iter_modules(__path__)
        if info.name not in _OTHERS and not info.name.endswith(OF_TOKENS)
    )
    return [name.replace("_", "-") for name in files]


@functools.cache
def names() -> dict[str, str]:
    """Frozen encoders, and what they are."""
    return {name: about(name).ABOUT for name in listed()}


def about(name: str) -> Any:
    """The module of an encoder."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def installed(name: str) -> bool:
    """Whether the package that an encoder needs is there."""
    return importlib.util.find_spec(about(name).PACKAGE) is not None


def named(name: str) -> "Encoder":
    """An encoder, loaded once a process.

    Raises:
        InputError: There is none of that name, or its package is missing.
    """
    if name not in names():
        raise InputError(f"there is no encoder '{name}'{nearest(name, names())}")
    with _LOADING:  # the cache alone would let every thread that comes early load its own
        return _cached(name)


@functools.cache
def _cached(name: str) -> "Encoder":
    return about(name).load()
