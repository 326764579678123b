"""MAML on sinusoids: Finn, Abbeel, Levine, ICML 2017, https://arxiv.org/abs/1703.03400, section 5.1.

A network of two hidden layers of 40, one inner step at 0.01, 25 tasks a step, 70,000 steps of Adam at 1e-3. The paper
has curves only; the numbers are those of Meta-SGD's table 1, after one step, on 100 tasks with as many queries as
shots.
"""

from innerloop.runs.paper import Changes, Report, Row, row, unseen_tasks

PUBLIC_NOTE = "a public note on the paper, which quotes it"
_PAPER = (
    Report(source="Li et al. 2017, table 1", read_at=PUBLIC_NOTE, numbers={(None, 5): (1.13, 0.18)}),
    Report(source="Li et al. 2017, table 1", numbers={(None, 10): (0.77, 0.11)}),
)
TRAIN = {"meta_batch_size": 25, "meta_lr": 1e-3}
_FIELDS = {"inner_lr": 0.01, "inner_steps": 1}


def rows() -> list[Row]:
    """5 and 10 shots."""
    return [
        row(
            "sinusoid",
            "maml",
            (None, shots),
            small=Changes(task={"queries": shots}, fields=_FIELDS, train=TRAIN),
            full=Changes(task={"queries": shots}, fields=_FIELDS, train={**TRAIN, "steps": 70_000}),
            as_paper=unseen_tasks(shots, 100, steps=1),
            paper=_PAPER,
            differs="the curves of Meta-SGD's table have other frequencies as well, as far as we remember; ours "
            "have one",
        )
        for shots in (5, 10)
    ]
