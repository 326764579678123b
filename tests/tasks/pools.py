"""Small pools in which every row tells its class and its instance."""

import torch

from innerloop.tasks import Pool


def tagged(counts: list[int], instances: int | None = None, split: str = "all") -> Pool:
    """Rows [2]: (class, instance), float; padding is -7, so that it shows."""
    room = max(counts) if instances is None else instances
    data = torch.full((len(counts), room, 2), -7.0)
    for i, count in enumerate(counts):
        data[i, :count, 0] = i
        data[i, :count, 1] = torch.arange(count).float()
    names = tuple(chr(97 + i) if i < 26 else f"class{i}" for i in range(len(counts)))
    return Pool(data=data, counts=torch.tensor(counts), names=names, dataset="tagged", split=split)


def pictures(classes: int = 3, instances: int = 4, size: int = 6, dataset: str = "pictures") -> Pool:
    """Random uint8 pictures with one channel."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, (classes, instances, 1, size, size), generator=generator, dtype=torch.uint8)
    names = tuple(f"script/{i}" for i in range(classes))
    counts = torch.full((classes,), instances)
    return Pool(data=data, counts=counts, names=names, groups=("script",) * classes, dataset=dataset)
