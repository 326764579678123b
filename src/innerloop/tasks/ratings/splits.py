"""Which ratings are for meta-training, meta-validation and meta-test: by user, by item, by both, by pair, by time."""

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from innerloop.core.errors import InputError
from innerloop.tasks.ratings.table import Ratings, Whole

State = Literal["user-cold", "item-cold", "both-cold", "warm", "later"]
Roles = NDArray[np.int8]
TRAIN, VALIDATION, TEST, NONE = 0, 1, 2, -1
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
FOLDS = 5
_PARTS = 10


def roles(table: Ratings, state: State, fold: int = 0) -> Roles:
    """[rows] what each rating is for: 7 parts of 10 to train, 1 to validate, 2 to test.

    Args:
        table: The ratings.
        state: user-cold: new users, whose items are known. item-cold: users who are known, and new items alone.
            both-cold: new users and new items; ratings of the others by each are for nothing. warm: further ratings of
            users and items that are known. later: what was rated later, by anybody.
        fold: Which of five fifths is the test; every user (item, pair) is in one of them. There is one `later`.

    Raises:
        InputError: There is no such fold, or no time to tell later ones by.
    """
    if state not in get_args(State):
        raise InputError(f"there is no state '{state}': use {', '.join(get_args(State))}")
    if not 0 <= fold < FOLDS:
        raise InputError(f"fold is one of 0 to {FOLDS - 1}, got {fold}")
    if state == "later":
        return _by_time(table, fold)
    users, items = (_parts(names, fold) for names in (table.user_names, table.item_names))
    if state == "user-cold":
        return users[table.users]
    if state == "item-cold":
        return items[table.items]
    if state == "both-cold":
        user, item = users[table.users], items[table.items]
        return np.where(user == item, user, NONE).astype(np.int8)
    pairs = [f"{table.user_names[u]}\0{table.item_names[i]}" for u, i in zip(table.users, table.items, strict=True)]
    return _parts(pairs, fold)


def _by_time(table: Ratings, fold: int) -> Roles:
    if table.times is None:
        raise InputError(f"{table.name} has no times to split by: add a column time, or take another state")
    if fold:
        raise InputError(f"a split by time is one: leave out the fold {fold}")
    at = _ranks(table.times) / len(table)
    return np.select([at < 0.7, at < 0.8], [TRAIN, VALIDATION], TEST).astype(np.int8)


def _ranks(times: NDArray[np.float64]) -> Whole:
    """[rows] how many ratings are earlier; those of one moment stay together."""
    return np.searchsorted(np.sort(times), times)


def _parts(names: Sequence[str], fold: int) -> Roles:
    """[names] the role of each, by a hash of it alone: further names change no other's."""
    digests = (hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest() for name in names)
    part = np.fromiter((int.from_bytes(digest, "big") % _PARTS for digest in digests), np.int64, len(names))
    part = (part - 2 * fold) % _PARTS
    return np.select([part < 2, part < 3], [TEST, VALIDATION], TRAIN).astype(np.int8)
