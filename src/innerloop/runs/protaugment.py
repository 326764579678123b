"""Prototypical Networks on the tasks of ProtAugment: Dopierre, Gravier, Logerais, ACL 2021, https://arxiv.org/abs/2105.12995.

Tasks of 5 classes with 5 queries each, on the classes of their first split. The paper fine-tunes BERT; here a map of
a frozen encoder's rows is trained, so that this is a comparison on their tasks and no reproduction of their network.
"""

from innerloop.runs.paper import Cell, Changes, Report, Row, row, unseen_tasks


def rows_of(dataset: str, centroids: dict[Cell, tuple[float, float]]) -> list[Row]:
    """5 ways, 1 and 5 shots.

    Args:
        dataset: Of intents.
        centroids: What class means of a frozen encoder reach, with the deviation over the five splits.
    """
    others = Report(
        source="class means of frozen all-MiniLM-L6-v2, mean and deviation over the five splits",
        read_at="a measurement of ours, 200 tasks a split",
        numbers=centroids,
    )
    return [
        row(
            dataset,
            "protonet",
            (5, shots),
            small=Changes(train={"steps": 300, "cpu_minutes": None}),
            full=Changes(
                task={"train_ways": 5, "queries": 5},
                train={"steps": 10_000, "validate_every": 100, "validation_episodes": 100, "patience": 20},
            ),
            as_paper=unseen_tasks(5, 600),
            paper=(),
            others=(others,),
            differs="a frozen encoder with a trained map, where the paper trains BERT; one of five splits",
        )
        for shots in (1, 5)
    ]
