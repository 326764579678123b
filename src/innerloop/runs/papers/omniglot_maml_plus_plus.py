"""MAML++ on Omniglot: Antoniou, Edwards, Storkey, ICLR 2019, https://arxiv.org/abs/1810.09502, table 1.

The settings that the authors released: Conv-4-64 with max-pooling, five inner steps that begin at a rate of 0.1,
eight tasks with one query a class, 50,000 steps, Adam from 1e-3 down a cosine; 600 test tasks, with the statistics of
the queries. The paper's numbers are of an ensemble of the five best checkpoints by validation, ours of the last one.
"""

from innerloop.runs.paper import SIZES, Changes, Report, Row, row, unseen_tasks

_SOURCE = "Antoniou et al. 2019, table 1"
_PAPER = (
    Report(
        source=_SOURCE,
        read_at="a public copy of table 2 of T-NAS, which quotes it",
        numbers={(5, 1): 99.47, (5, 5): 99.93},
    ),
    Report(
        source=_SOURCE,
        read_at="paperswithcode, which quotes it without the plus-minus",
        numbers={(20, 1): 97.65, (20, 5): 99.33},
    ),
)
_OTHERS = (
    Report(
        source="a user of the released code, mean and deviation of three seeds",
        read_at="issue 20 of AntreasAntoniou/HowToTrainYourMAMLPytorch",
        numbers={(20, 1): (96.65, 0.06)},
    ),
)
_INNER = {"inner_lr": 0.1, "inner_steps": 5, "transductive": True}


def rows() -> list[Row]:
    """5 and 20 ways, 1 and 5 shots."""
    return [
        row(
            "omniglot",
            "maml_plus_plus",
            (ways, shots),
            small=Changes(
                task={"split_scheme": "maml", "queries": 5},
                fields=_INNER,
                network={"width": 32, "pool": "max"},
                train={"meta_batch_size": 4 if ways == 5 else 2, "meta_lr": 5e-3},
            ),
            full=Changes(
                task={"split_scheme": "maml", "queries": 1},
                fields=_INNER,
                network={"width": 64, "pool": "max"},
                train={"meta_batch_size": 8, "meta_lr": 1e-3, "schedule": "cosine", "steps": 50_000},
            ),
            as_paper=unseen_tasks(1, 600, transductive=True, steps=5),
            paper=_PAPER,
            others=_OTHERS,
            differs="one checkpoint instead of an ensemble of five; the authors' random split is another one, and "
            "their cosine ends at 1e-5; queries of 5 shots were not looked up",
        )
        for ways, shots in SIZES
    ]
