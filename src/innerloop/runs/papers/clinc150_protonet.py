"""Prototypical Networks on CLINC150: Dopierre, Gravier, Logerais, ProtAugment, ACL 2021, https://arxiv.org/abs/2105.12995.

Tasks of 5 classes with 5 queries each, on the classes of their first split. The paper fine-tunes BERT; here a map of
a frozen encoder's rows is trained, so that this is a comparison on their tasks and no reproduction of their network.
Their figures are not printed, because they were not looked up: 96 to 97% and 98 to 99% for 1 and 5 shots, as far as
we remember.
"""

from innerloop.runs.paper import Changes, Report, Row, row, unseen_tasks

_OTHERS = (
    Report(
        source="class means of frozen all-MiniLM-L6-v2, mean and deviation over the five splits",
        read_at="a measurement of ours, 200 tasks a split",
        numbers={(5, 1): (94.4, 1.2), (5, 5): (98.8, 0.3)},
    ),
)


def rows() -> list[Row]:
    """5 ways, 1 and 5 shots."""
    return [
        row(
            "clinc150",
            "protonet",
            (5, shots),
            small=Changes(train={"steps": 300, "cpu_minutes": None}),
            full=Changes(
                task={"train_ways": 5, "queries": 5},
                train={"steps": 10_000, "validate_every": 100, "validation_episodes": 100, "patience": 20},
            ),
            as_paper=unseen_tasks(5, 600),
            paper=(),
            others=_OTHERS,
            differs="a frozen encoder with a trained map, where the paper trains BERT; one of five splits",
        )
        for shots in (1, 5)
    ]
