"""Prototypical Networks on Omniglot: Snell, Swersky, Zemel, NeurIPS 2017, https://arxiv.org/abs/1703.05175, table 1.

Trained on 60 ways with the shots of the test and 5 queries, by Adam at 1e-3 that is halved every 2,000 episodes,
until 200 epochs of 100 episodes were no better on validation; tested on 1,000 episodes without the queries'
statistics.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks

_PAPER = Report(
    source="Snell et al. 2017, table 1",
    read_at="README.md of oscarknagg/few-shot, which quotes it",
    numbers={(5, 1): 98.8, (5, 5): 99.7, (20, 1): 96.0, (20, 5): 98.9},
)
_OTHERS = (
    Report(
        source="oscarknagg/few-shot",
        read_at="its README.md",
        numbers={(5, 1): 98.2, (5, 5): 99.4, (20, 1): 95.8, (20, 5): 98.6},
    ),
    Report(
        source="PaddleFSL",
        read_at="the README.md of its image classification",
        numbers={(5, 1): (98.27, 0.13), (5, 5): (99.37, 0.05)},
    ),
)
SMALL = Changes(
    task={"split_scheme": "vinyals", "train_ways": 20, "queries": 5},
    network={"width": 32},
    train={"meta_batch_size": 1},
)
"""The small training, which learners like this one share, so that their rows can be compared."""
TRAIN = {
    "meta_batch_size": 1,
    "meta_lr": 1e-3,
    "schedule": "step",
    "schedule_every": 2000,
    "steps": 1_000_000,
    "validate_every": 100,
    "validation_episodes": 100,
    "patience": 200,
}
"""The paper's, also of learners whose papers do not say theirs."""


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "protonet",
            cell,
            small=SMALL,
            full=Changes(
                task={"split_scheme": "vinyals", "train_ways": 60, "queries": 5},
                network={"width": 64, "pool": "max"},
                train=TRAIN,
            ),
            as_paper=unseen_tasks(15, 1000),
            paper=(_PAPER,),
            others=_OTHERS,
            differs="batch norms see the support, where the paper has running statistics; the paper trains once "
            "more with the validation classes",
        )
        for cell in SIZES
    ]
