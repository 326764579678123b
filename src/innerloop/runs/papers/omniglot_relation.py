"""Relation Networks on Omniglot: Sung et al., CVPR 2018, https://arxiv.org/abs/1711.06025, table 1.

Trained with the ways and shots of the test and 19, 15, 10 or 5 queries a class, features summed over shots, by Adam
at 1e-3 that is halved every 100,000 of 1,000,000 episodes, gradients clipped at 0.5; tested on 1,000 tasks. The
authors' code normalises with the statistics of the queries, so that its numbers are transductive, and keeps the
checkpoint that is best on test classes, which is not done here.
"""

from innerloop.runs.paper import Changes, Report, Row, row, unseen_tasks

_SOURCE = "Sung et al. 2018, table 1"
_PAPER = (
    Report(
        source=_SOURCE,
        read_at="the README.md of PaddleFSL's image classification, which quotes it",
        numbers={(5, 1): (99.6, 0.2), (5, 5): (99.8, 0.1)},
    ),
    Report(source=_SOURCE, numbers={(20, 1): (97.6, 0.2), (20, 5): (99.1, 0.1)}),
)
_OTHERS = (
    Report(
        source="PaddleFSL",
        read_at="the README.md of its image classification",
        numbers={(5, 1): (98.02, 0.09), (5, 5): (99.25, 0.05)},
    ),
)
_QUERIES = {(5, 1): 19, (5, 5): 15, (20, 1): 10, (20, 5): 5}


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "relation",
            (ways, shots),
            small=Changes(
                task={"split_scheme": "maml", "train_ways": ways, "queries": 5},
                network={"width": 32},
                train={"meta_batch_size": 1},
            ),
            full=Changes(
                task={"split_scheme": "maml", "train_ways": ways, "queries": queries},
                fields={"summed": True},
                network={"width": 64, "pool": "max"},
                train={
                    **{"meta_batch_size": 1, "meta_lr": 1e-3, "steps": 1_000_000, "clip": 0.5},
                    **{"schedule": "step", "schedule_every": 100_000},
                },
            ),
            as_paper=unseen_tasks(queries, 1000, transductive=True),
            paper=_PAPER,
            others=_OTHERS,
            differs="the authors choose the checkpoint on test classes and turn whole episodes; their first two "
            "blocks have no padding; their random split is another one",
        )
        for (ways, shots), queries in _QUERIES.items()
    ]
