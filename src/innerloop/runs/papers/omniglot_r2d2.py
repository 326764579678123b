"""R2-D2 on Omniglot: Bertinetto et al., ICLR 2019, https://arxiv.org/abs/1805.08136, table in the appendix.

Trained on 60 ways and 600 pictures an episode, by Adam at 5e-3 that is halved every 2,000 episodes, with a learned
regularisation; tested on 10,000 episodes without the queries' statistics.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks
from innerloop.runs.papers.omniglot_protonet import SMALL

_PAPER = Report(
    source="Bertinetto et al. 2019",
    numbers={(5, 1): 98.6, (5, 5): 99.7, (20, 1): 94.7, (20, 5): 98.9},
)
_PICTURES = 10
"""Pictures of a class in an episode: 600 for 60 ways."""
_END = {"steps": 100_000, "validate_every": 500, "validation_episodes": 100, "patience": 40}


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "r2d2",
            (ways, shots),
            small=SMALL,
            full=Changes(
                task={"split_scheme": "vinyals", "train_ways": 60, "queries": _PICTURES - shots},
                fields={"learn_decay": True},
                network={"width": 64, "pool": "max"},
                train={"meta_batch_size": 1, "meta_lr": 5e-3, "schedule": "step", "schedule_every": 2000, **_END},
            ),
            as_paper=unseen_tasks(15, 10_000),
            paper=(_PAPER,),
            differs="the paper draws ways and shots anew for every episode, has wider layers (96 to 512), dropout "
            "and running statistics",
        )
        for ways, shots in SIZES
    ]
