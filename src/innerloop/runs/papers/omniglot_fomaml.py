"""First-order MAML on Omniglot: Finn, Abbeel, Levine 2017, as Nichol, Achiam, Schulman 2018 report it.

https://arxiv.org/abs/1803.02999, table 1. Trained and tested as MAML, with inner gradients taken for constants.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks
from innerloop.runs.papers.omniglot_maml import full, inner_steps, small, steps_at_test

_PAPER = Report(
    source="Nichol et al. 2018, table 1",
    read_at="a public copy of that table",
    numbers={(5, 1): (98.3, 0.5), (5, 5): (99.2, 0.2), (20, 1): (89.4, 0.5), (20, 5): (97.9, 0.1)},
)
_OTHERS = (
    Report(
        source="oscarknagg/few-shot, first order",
        read_at="its README.md of April 2019",
        numbers={(5, 1): 95.5, (5, 5): 99.5, (20, 1): 92.2, (20, 5): 97.7},
    ),
    Report(
        source="PaddleFSL, first order",
        read_at="the README.md of its image classification",
        numbers={(5, 1): (97.13, 1.25), (5, 5): (99.23, 0.40)},
    ),
)
_FIRST_ORDER = Changes(fields={"first_order": True})


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "maml",
            (ways, shots),
            method="fomaml",
            small=small(ways) | inner_steps(ways) | _FIRST_ORDER,
            full=full(ways, shots) | inner_steps(ways) | _FIRST_ORDER,
            as_paper=unseen_tasks(shots, 600, transductive=True, steps=steps_at_test(ways)),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="as of maml",
        )
        for ways, shots in SIZES
    ]
