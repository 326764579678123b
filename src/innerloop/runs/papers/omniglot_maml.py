"""MAML on Omniglot: Finn, Abbeel, Levine, ICML 2017, https://arxiv.org/abs/1703.03400, table 1, convolutions.

Four strided convolutions; one inner step in training and three in the test for 5 ways, five and five for 20. The rate
of the authors' code is on a loss summed over classes: its 0.4 and 0.1 are 2.0 on the mean, for both. As many queries
as shots, in training and in the test of 600 tasks, which uses the statistics of the queries: transductive.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks

_QUOTED = "a public copy of the tables of Nichol et al. 2018, which quote it"
_PAPER = Report(
    source="Finn et al. 2017, table 1",
    read_at=_QUOTED,
    numbers={(5, 1): (98.7, 0.4), (5, 5): (99.9, 0.1), (20, 1): (95.8, 0.3), (20, 5): (98.9, 0.2)},
)
_OTHERS = (
    Report(source="learn2learn", read_at="README.md of its examples/vision", numbers={(5, 1): 99.1}),
    Report(
        source="Raghu et al. 2020, table 2",
        read_at="a public copy of the paper",
        numbers={(20, 1): (93.7, 0.7), (20, 5): (96.4, 0.1)},
    ),
    Report(
        source="oscarknagg/few-shot, second order, max-pooling",
        read_at="its README.md of April 2019",
        numbers={(5, 1): 98.1, (5, 5): 99.8, (20, 1): 91.6, (20, 5): 95.9},
    ),
    Report(source="Antoniou et al. 2019", numbers={(20, 1): (91.27, 1.07), (20, 5): 98.78}),
)
INNER_LR = 2.0
"""On the mean loss, for 5 and for 20 ways."""


def small(ways: int) -> Changes:
    """The training that fits a fraction of a processor hour; ANIL and Meta-SGD share it."""
    few = ways == 5
    return Changes(
        task={"split_scheme": "maml", "queries": 5},
        fields={"inner_lr": 0.5, "transductive": True},
        network={"width": 32, "pool": "stride"},
        train={"meta_batch_size": 8 if few else 2, "meta_lr": 5e-3},
    )


def full(ways: int, shots: int) -> Changes:
    """The paper's training."""
    return Changes(
        task={"split_scheme": "maml", "queries": shots},
        fields={"inner_lr": INNER_LR, "transductive": True},
        network={"width": 64, "pool": "stride"},
        train={"meta_batch_size": 32 if ways == 5 else 16, "meta_lr": 1e-3, "steps": 60_000},
    )


def inner_steps(ways: int) -> Changes:
    """Inner steps of training."""
    return Changes(fields={"inner_steps": 1 if ways == 5 else 5})


def steps_at_test(ways: int) -> int:
    """Inner steps of the test."""
    return 3 if ways == 5 else 5


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "maml",
            (ways, shots),
            small=small(ways) | inner_steps(ways),
            full=full(ways, shots) | inner_steps(ways),
            as_paper=unseen_tasks(shots, 600, transductive=True, steps=steps_at_test(ways)),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="the authors' random split is another one, they draw 200,000 tasks once and train on them "
            "again, and their inner loop leaves scales of batch norms out",
        )
        for ways, shots in SIZES
    ]
