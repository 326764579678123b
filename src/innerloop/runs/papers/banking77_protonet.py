"""Prototypical Networks on BANKING77: Dopierre, Gravier, Logerais, ProtAugment, ACL 2021, https://arxiv.org/abs/2105.12995.

Their figures are not printed, because they were not looked up: 86 to 89% and 94 to 95% for 1 and 5 shots, as far as
we remember.
"""

from innerloop.runs.paper import Row
from innerloop.runs.protaugment import rows_of


def rows() -> list[Row]:
    """5 ways, 1 and 5 shots, on their tasks."""
    return rows_of("banking77", {(5, 1): (86.9, 1.6), (5, 5): (96.0, 0.5)})
