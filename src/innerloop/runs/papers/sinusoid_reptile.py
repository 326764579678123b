"""Reptile on sinusoids: Nichol, Achiam, Schulman 2018, https://arxiv.org/abs/1803.02999, section 4.1.

Two hidden layers of 64, 32 steps of plain gradient descent at 0.02 in training and in the test, a meta-rate of 0.1
that goes down a line over 30,000 steps of one task. The paper has curves of ten shots only, and no number.
"""

from innerloop.runs.paper import Changes, Row, row, unseen_tasks

_CHANGES = Changes(
    task={"train_shots": 50},
    fields={"inner_lr": 0.02, "inner_optimizer": "sgd", "inner_steps": 32, "test_steps": 32, "inner_batch": 10},
    network={"hidden_units": (64, 64)},
    train={"meta_batch_size": 1, "optimizer": "sgd", "meta_lr": 0.1, "schedule": "linear"},
)


def rows() -> list[Row]:
    """5 and 10 shots."""
    return [
        row(
            "sinusoid",
            "reptile",
            (None, shots),
            small=_CHANGES,
            full=_CHANGES | Changes(train={"steps": 30_000}),
            as_paper=unseen_tasks(50, 100),
            paper=(),
            differs="layers are rectified instead of tanh, points are drawn instead of 50 evenly spaced ones",
        )
        for shots in (5, 10)
    ]
