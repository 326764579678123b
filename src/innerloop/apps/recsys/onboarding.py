"""What to ask first: the items whose ratings leave least unknown about the others.

A linear model with normal weights knows before an answer how much it will tell: what is left unknown depends on which
items are rated, not on how. So the best next questions follow from each other without waiting for answers.
"""

import torch
from torch import Tensor


def most_telling(
    precision: Tensor, noise: float, candidates: Tensor, chance: Tensor, others: Tensor, weight: Tensor, count: int
) -> list[int]:
    """Positions of candidates to ask for, one after another, each by how much variance of others it takes away.

    Args:
        precision: [b, b] of the weights.
        noise: Deviation of a rating around what the weights say.
        candidates: [n, b] basis of what may be asked.
        chance: [n] how likely each is known to somebody, which its worth is multiplied by.
        others: [m, b] basis of what should become known.
        weight: [m] how much each counts.
        count: How many; fewer where there are no more candidates.
    """
    covariance = torch.linalg.inv(precision.double())
    rows, wanted = candidates.double(), (others.double() * weight.double()[:, None]).T @ others.double()  # [b, b]
    open_, chosen = torch.ones(len(rows), dtype=torch.bool), list[int]()
    for _ in range(min(count, len(rows))):
        seen = rows @ covariance  # [n, b]
        total = (seen * rows).sum(1) + noise**2
        worth = chance.double() * ((seen @ wanted) * seen).sum(1) / total
        best = int(worth.masked_fill(~open_, -torch.inf).argmax())
        open_[best] = False
        chosen.append(best)
        covariance = covariance - torch.outer(seen[best], seen[best]) / total[best]
    return chosen
