"""All classes of a data set as one pool, for those who train on no task and test on no other."""

from dataclasses import replace

import torch
from torch.nn.functional import pad

from innerloop.tasks.pool import Pool, Splits


def joined(splits: Splits) -> Pool:
    """The classes of all splits as one pool, in the order of their names."""
    pools = list(splits.pools().values())
    most = max(pool.data.shape[1] for pool in pools)
    # Classes of one split may all have fewer instances than one of another has.
    data = [pad(p.data, (0, 0) * len(p.shape) + (0, most - p.data.shape[1])) for p in pools]
    whole = replace(
        splits.train,
        data=torch.cat(data),
        counts=torch.cat([p.counts for p in pools]),
        names=tuple(name for p in pools for name in p.names),
        groups=tuple(group for p in pools for group in p.groups),
        split="all",
        role=None,
    )
    return whole.take(sorted(range(len(whole)), key=whole.names.__getitem__))
