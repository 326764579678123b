"""Meta-SGD on Omniglot: Li, Zhou, Chen, Li 2017, https://arxiv.org/abs/1707.09835, table 2.

One inner step with a learned rate for every weight, in training and in the test. Rates begin at the mean of the
paper's U[0.005, 0.1], times the ways, because its loss is summed over classes. Steps and meta-batches are those of
MAML.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks
from innerloop.runs.papers.omniglot_maml import full, small

_SOURCE = "Li et al. 2017, table 2"
_PAPER = (
    Report(
        source=_SOURCE,
        read_at="a public copy of table 2 of T-NAS, which quotes it",
        numbers={(5, 1): (99.53, 0.26), (5, 5): (99.93, 0.09)},
    ),
    Report(source=_SOURCE, numbers={(20, 1): (95.93, 0.38), (20, 5): (98.97, 0.19)}),
)
_OTHERS = (
    Report(
        source="jik0730/Meta-SGD-pytorch",
        read_at="an earlier README.md of it",
        numbers={(5, 1): 99.3, (5, 5): 99.8, (20, 1): 95.4, (20, 5): 97.8},
    ),
)
_MEAN_RATE = 0.0525


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "meta_sgd",
            (ways, shots),
            small=small(ways) | Changes(train={"meta_batch_size": 8 if ways == 5 else 4}),
            full=full(ways, shots) | Changes(fields={"inner_lr": _MEAN_RATE * ways}),
            as_paper=unseen_tasks(shots, 600, transductive=True),
            paper=_PAPER,
            others=_OTHERS,
            differs="rates begin at one value instead of being drawn; steps, meta-batch, split and queries of the "
            "paper were not looked up",
        )
        for ways, shots in SIZES
    ]
