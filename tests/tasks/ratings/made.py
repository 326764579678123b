"""A small table of ratings that is computed: users who like one of two kinds of items."""

import numpy as np

from innerloop.tasks.ratings.table import Features, Ratings, Scale, tabled


def made(users: int = 80, items: int = 30, each: int = 20, seed: int = 0) -> Ratings:
    """Ratings from 1 to 5 of `each` items by every user, at times 0, 1, ...; items are of the kind a or b."""
    rng = np.random.default_rng(seed)
    taste, quality, kind = rng.choice([-1.0, 1.0], users), rng.normal(0, 0.5, items), np.arange(items) % 2 * 2 - 1
    pairs = [(u, i) for u in range(users) for i in rng.permutation(items)[:each]]
    values = [float(np.clip(round(3 + quality[i] + taste[u] * kind[i] + rng.normal(0, 0.3)), 1, 5)) for u, i in pairs]
    table = tabled(
        "made", [f"u{u}" for u, _ in pairs], [f"i{i}" for _, i in pairs], values, range(len(pairs)), Scale(1.0, 5.0)
    )
    kinds = ["ab"[int(name[1:]) % 2] for name in table.item_names]
    several = [("x", "y") if int(name[1:]) % 3 else ("x",) for name in table.item_names]
    numbers = np.array([float(name[1:]) for name in table.item_names])
    items_known = Features({"kind": kinds}, {"tags": several}, {"year": numbers})
    users_known = Features({"town": ["c" if int(name[1:]) % 2 else "d" for name in table.user_names]})
    return Ratings(**{**vars(table), "user_features": users_known, "item_features": items_known})
