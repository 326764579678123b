"""ANIL on Omniglot: Raghu, Raghu, Bengio, Vinyals, ICLR 2020, https://arxiv.org/abs/1909.09157, table 2.

Trained and tested as MAML, whose networks and settings the paper takes over, with an inner loop on the head alone.
The paper has 20 ways only, and its plus-minus is the deviation over three initialisations.
"""

from innerloop.runs.paper import SIZES, Report, Row, row, unseen_tasks
from innerloop.runs.papers.omniglot_maml import full, inner_steps, small, steps_at_test

_PAPER = Report(
    source="Raghu et al. 2020, table 2",
    read_at="a public copy of the paper",
    numbers={(20, 1): (96.2, 0.5), (20, 5): (98.0, 0.3)},
)
_OTHERS = (
    Report(
        source="PaddleFSL, first order",
        read_at="the README.md of its image classification",
        numbers={(5, 1): (96.06, 1.00), (5, 5): (98.74, 0.48)},
    ),
)


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "anil",
            (ways, shots),
            small=small(ways) | inner_steps(ways),
            full=full(ways, shots) | inner_steps(ways),
            as_paper=unseen_tasks(shots, 600, transductive=True, steps=steps_at_test(ways)),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="as of maml; what the paper's appendix says of rates and steps was not looked up",
        )
        for ways, shots in SIZES
    ]
