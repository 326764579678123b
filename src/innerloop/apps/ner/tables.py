"""Tables of precision, recall and F1: of entities, as the field has them, and of words, as textbooks print them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from innerloop.core.errors import InputError
from innerloop.evaluate.class_scores import ClassScore, class_scores, confusion
from innerloop.tasks.entities.sentences import OTHER, Span, tags

SCHEMAS = {"strict": "strict", "exact": "exact", "partial": "partial", "type": "ent_type"}
"""What nervaluate calls each schema. In strict nothing may differ for an entity to be right; in exact its type may; in
type its boundaries, as long as they overlap; in partial both, and other boundaries count half."""
Spans = Sequence[Sequence[Span]]
"""Entities of each sentence, in order, none overlapping."""


class Table(NamedTuple):
    """How each class is found, and all of them together."""

    rows: dict[str, ClassScore]
    """By name, in its order; support counts true entities, or words."""
    micro: ClassScore
    """Scores of all counts together."""
    macro: ClassScore
    """Mean of the rows, each counting alike."""
    weighted: ClassScore
    """Mean of the rows, each by its support."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        averages = {name: getattr(self, name)._asdict() for name in ("micro", "macro", "weighted")}
        return {"rows": {name: row._asdict() for name, row in self.rows.items()}, **averages}


def entity_tables(gold: Spans, predicted: Spans) -> dict[str, Table]:
    """Tables of entities by nervaluate, one for each of `SCHEMAS`; `strict` has the numbers of seqeval.

    The row of a type is of true and predicted entities of that type alone. The micro row is of all of them together:
    in `exact` and `partial` it takes an entity of another type at the same place for right, and no row of a type does.

    Args:
        gold: True entities of each sentence.
        predicted: Of the same sentences.

    Raises:
        InputError: nervaluate is missing.
    """
    try:
        from nervaluate.evaluator import Evaluator
    except ImportError as error:
        raise InputError("scores of entities need nervaluate: pip install 'innerloop[ner]'") from error
    types = sorted({span.type for spans in (*gold, *predicted) for span in spans})
    results = Evaluator(_entries(gold), _entries(predicted), tags=types, loader="dict").evaluate()
    return {
        schema: _averaged(
            {kind: _score(results["entities"][kind][name]) for kind in types}, _score(results["overall"][name])
        )
        for schema, name in SCHEMAS.items()
    }


def token_table(gold: Spans, predicted: Spans, lengths: Sequence[int]) -> Table:
    """The table of words by their tag, B-x, I-x and O, as scikit-learn's `classification_report` counts them.

    Args:
        gold: True entities of each sentence.
        predicted: Of the same sentences.
        lengths: How many words each sentence has.
    """
    true, answered = (
        [tag for spans, length in zip(entities, lengths, strict=True) for tag in tags(spans, length)]
        for entities in (gold, predicted)
    )
    names = [*sorted({*true, *answered} - {OTHER}, key=lambda tag: (tag[2:], tag[0])), OTHER]
    index = {tag: i for i, tag in enumerate(names)}
    truth, answers = (torch.tensor([index[tag] for tag in some], dtype=torch.int64) for some in (true, answered))
    rows = class_scores(confusion(truth, answers, len(names)))
    right = float((truth == answers).double().mean()) if len(truth) else 0.0
    return _averaged(dict(zip(names, rows, strict=True)), ClassScore(right, right, right, len(truth)))


def _entries(entities: Spans) -> list[list[dict[str, Any]]]:
    """With the last word of an entity, not the one after it, as its end."""
    return [[{"label": s.type, "start": s.start, "end": s.end - 1} for s in spans] for spans in entities]


def _score(result: Any) -> ClassScore:
    return ClassScore(float(result.precision), float(result.recall), float(result.f1), int(result.possible))


def _averaged(rows: dict[str, ClassScore], micro: ClassScore) -> Table:
    """Unlike `averages`, of what has no example too: where nothing should have been predicted."""
    support = sum(row.support for row in rows.values())

    def mean(column: int, weigh: Callable[[ClassScore], int]) -> float:
        weights = [weigh(row) for row in rows.values()]
        total = sum(weight * row[column] for weight, row in zip(weights, rows.values(), strict=True))
        return total / max(sum(weights), 1)

    macro, weighted = (
        ClassScore(mean(0, weigh), mean(1, weigh), mean(2, weigh), support)
        for weigh in (lambda row: 1, lambda row: row.support)
    )
    return Table(rows, micro, macro, weighted)
