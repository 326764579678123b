"""Rows that a frozen encoder makes of many texts, encoded once and kept in the user's cache folder."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from innerloop import encoders
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.tasks import cache
from innerloop.tasks.progress import track

_BATCH = 64


def check(encoder: str) -> None:
    """Nothing, where there is an encoder of texts of that name.

    Raises:
        InputError: There is none; those that there are are named.
    """
    if encoder not in encoders.names() or encoders.about(encoder).KIND != "texts":
        known = [name for name in encoders.names() if encoders.about(name).KIND == "texts"]
        raise InputError(f"'{encoder}' is no encoder of texts: choose {', '.join(known)}")


def rows_of(texts: Sequence[str], encoder: str, context: Context) -> NDArray[np.float32]:
    """[n, features] a row of each text.

    Args:
        texts: [n].
        encoder: A name of `encoders.names()`.
        context: Whose cache folder.

    Raises:
        InputError: There is no such encoder of texts, or its package is not installed.
    """
    check(encoder)
    digest = hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]
    return cache.cached(context, f"texts-{encoder}-{digest}", lambda: _encoded(texts, encoder), ("rows",))["rows"]


def _encoded(texts: Sequence[str], name: str) -> cache.Arrays:
    encoder, starts = encoders.named(name), range(0, len(texts), _BATCH)
    batches = track(starts, f"{len(texts)} texts through {name}", len(starts))
    return {"rows": np.concatenate([encoder.encode(texts[i : i + _BATCH]).numpy() for i in batches])}
