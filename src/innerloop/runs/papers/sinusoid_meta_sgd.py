"""Meta-SGD on sinusoids: Li, Zhou, Chen, Li 2017, https://arxiv.org/abs/1707.09835, table 1.

As MAML's network and tasks, with a learned rate for every weight and one inner step; rates begin at 0.01.
"""

from innerloop.runs.paper import Changes, Report, Row, row, unseen_tasks
from innerloop.runs.papers.sinusoid_maml import PUBLIC_NOTE, TRAIN

_PAPER = (
    Report(source="Li et al. 2017, table 1", read_at=PUBLIC_NOTE, numbers={(None, 5): (0.90, 0.16)}),
    Report(source="Li et al. 2017, table 1", numbers={(None, 10): (0.53, 0.09)}),
)
_FIELDS = {"inner_lr": 0.01, "inner_steps": 1}


def rows() -> list[Row]:
    """5 and 10 shots."""
    return [
        row(
            "sinusoid",
            "meta_sgd",
            (None, shots),
            small=Changes(task={"queries": shots}, fields=_FIELDS, train=TRAIN),
            full=Changes(task={"queries": shots}, fields=_FIELDS, train={**TRAIN, "steps": 70_000}),
            as_paper=unseen_tasks(shots, 100, steps=1),
            paper=_PAPER,
            differs="rates begin at one value instead of being drawn; the paper's curves have other frequencies as "
            "well, as far as we remember, and its steps were not looked up",
        )
        for shots in (5, 10)
    ]
