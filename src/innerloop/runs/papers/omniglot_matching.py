"""Matching Networks on Omniglot: Vinyals et al., NeurIPS 2016, https://arxiv.org/abs/1606.04080, table 1.

The paper's attention is a softmax of cosines without a temperature; the small training has a learned one from 10.
Steps, rates and the number of test tasks are not in the paper: those of Prototypical Networks stand in for them.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks
from innerloop.runs.papers.omniglot_protonet import SMALL, TRAIN

_PAPER = Report(
    source="Vinyals et al. 2016, table 1",
    read_at="README.md of oscarknagg/few-shot, which quotes it",
    numbers={(5, 1): 98.1, (5, 5): 98.9, (20, 1): 93.8, (20, 5): 98.5},
)
_OTHERS = (
    Report(
        source="oscarknagg/few-shot, cosine as in the paper",
        read_at="its README.md",
        numbers={(5, 1): 92.0, (5, 5): 92.8, (20, 1): 75.6, (20, 5): 77.8},
    ),
    Report(
        source="oscarknagg/few-shot, Euclidean distance",
        read_at="its README.md",
        numbers={(5, 1): 98.3, (5, 5): 99.8, (20, 1): 92.8, (20, 5): 98.2},
    ),
)


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "matching",
            (ways, shots),
            small=SMALL | Changes(fields={"temperature": 10.0}),
            full=Changes(
                task={"split_scheme": "vinyals", "train_ways": ways, "queries": 5},
                fields={"temperature": None},
                network={"width": 64, "pool": "max"},
                train=TRAIN,
            ),
            as_paper=unseen_tasks(15, 1000),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="the paper does not say its split, steps, rates and number of test tasks",
        )
        for ways, shots in SIZES
    ]
