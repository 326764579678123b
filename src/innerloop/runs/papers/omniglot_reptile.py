"""Reptile on Omniglot: Nichol, Achiam, Schulman 2018, https://arxiv.org/abs/1803.02999, table 1, without transduction.

The commands that the authors' repository gives, one for each row: training without a query set, Adam without momentum
in the inner loop, a meta-rate that goes down a line to zero. The test is of 10,000 tasks with one query a class. The
small training has the ten shots and five steps of the default, and a larger inner rate: at the paper's it has hardly
moved.
"""

from typing import Any, NamedTuple

from innerloop.runs.paper import Changes, Report, Row, row, unseen_tasks

_PAPER = Report(
    source="Nichol et al. 2018, table 1, without transduction",
    read_at="a public copy of that table",
    numbers={(5, 1): (95.39, 0.09), (5, 5): (98.90, 0.10), (20, 1): (88.14, 0.15), (20, 5): (96.65, 0.33)},
)
_OTHERS = (
    Report(
        source="a run of the authors' code by others",
        read_at="the notes of that project",
        numbers={(5, 1): 95.48, (5, 5): 98.90, (20, 1): 88.12, (20, 5): 96.56},
    ),
)


class _Command(NamedTuple):
    """Options of the authors' `run_omniglot.py`."""

    train_shots: int
    inner_batch: int
    inner_iters: int
    learning_rate: float
    meta_step: float
    meta_batch: int
    meta_iters: int
    eval_iters: int

    def full(self) -> Changes:
        """The paper's training."""
        fields: dict[str, Any] = {"inner_lr": self.learning_rate, "inner_steps": self.inner_iters}
        fields |= {"inner_batch": self.inner_batch, "test_steps": self.eval_iters, "transductive": True}
        train: dict[str, Any] = {"meta_lr": self.meta_step, "meta_batch_size": self.meta_batch}
        train |= {"steps": self.meta_iters, "optimizer": "sgd", "schedule": "linear"}
        return Changes(
            task={"split_scheme": "maml", "train_shots": self.train_shots, "queries": 1},
            fields=fields,
            network={"width": 64, "pool": "stride"},
            train=train,
        )


_COMMANDS = {
    (5, 1): _Command(12, 5, 12, 4.4e-4, 1.0, 3, 200_000, 86),
    (5, 5): _Command(10, 10, 5, 1.5e-3, 0.7, 5, 100_000, 100),
    (20, 1): _Command(9, 15, 12, 4.6e-4, 1.0, 3, 200_000, 97),
    (20, 5): _Command(12, 20, 12, 4.6e-4, 1.0, 3, 200_000, 97),
}


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "reptile",
            cell,
            small=Changes(
                task={"split_scheme": "maml", "train_shots": 10, "queries": 1},
                fields={"inner_lr": 1e-2, "inner_batch": 10, "inner_steps": 5, "test_steps": 50, "transductive": True},
                network={"width": 32, "pool": "stride"},
                train={"meta_batch_size": 5, "optimizer": "sgd", "meta_lr": 1.0, "schedule": "linear"},
            ),
            full=command.full(),
            as_paper=unseen_tasks(1, 10_000),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="the authors' network flattens its last maps instead of averaging them, Adam's second moments "
            "go on from task to task, the test's minibatches have another size, and each query is "
            "normalised together with the support, where ours sees the support's statistics; their random "
            "split is another one",
        )
        for cell, command in _COMMANDS.items()
    ]
