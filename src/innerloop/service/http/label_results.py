"""Results of Label Studio: answers as it draws them, and what people said, read off their annotations."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from innerloop.service.http.errors import HTTPError
from innerloop.service.http.label_config import Control

_SURE = 1.0
"""Score of a text in which no entity was found."""


def margin(probabilities: Mapping[str, float]) -> float:
    first, second = list(probabilities.values())[:2]
    return first - second


def choice(id: str, label: Any, probabilities: Mapping[str, float], control: Control) -> list[dict[str, Any]]:
    """One choice; none where it is none of these, or none that a person could choose."""
    if label is None or (control.labels and label not in control.labels):
        return []
    about = {"id": id, "from_name": control.name, "to_name": control.about, "type": control.written}
    return [about | {"value": {control.written: [label]}, "score": probabilities[label]}]


def spans(entities: Sequence[Mapping[str, Any]], control: Control) -> dict[str, Any]:
    found = [one for one in entities if not control.labels or one["type"] in control.labels]
    about = {"from_name": control.name, "to_name": control.about, "type": control.written}
    result = [
        about
        | {
            "value": {k: one[k] for k in ("start", "end", "text")} | {control.written: [one["type"]]},
            "score": one["confidence"],
        }
        for one in found
    ]
    return {"result": result, "score": min((one["confidence"] for one in found), default=_SURE)}


def id_of(annotation: Mapping[str, Any]) -> int:
    id = annotation.get("id")
    if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id < 2**63:
        raise HTTPError(422, "an annotation needs an id, which is a number")
    return id


def time_of(annotation: Mapping[str, Any]) -> str:
    """When it last changed, so that texts of it are in the order of time."""
    text = annotation.get("updated_at") or annotation.get("created_at")
    try:
        moment = datetime.fromisoformat(text)  # pyright: ignore[reportArgumentType]
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise HTTPError(422, "an annotation needs updated_at, when it changed, in ISO 8601") from error
    return moment.isoformat(timespec="microseconds")


def _results(annotation: Mapping[str, Any], control: Control) -> list[Mapping[str, Any]]:
    result = annotation.get("result")
    if not isinstance(result, list) or not all(isinstance(one, Mapping) for one in result):
        raise HTTPError(422, "the result of an annotation must be a list of objects")
    return [one for one in result if one.get("from_name") == control.name]


def label_of(annotation: Mapping[str, Any], control: Control) -> str | None:
    """What an annotation says, as one text; None: nothing that can be learned."""
    results = _results(annotation, control)
    if control.written == "labels":
        spans = [(one.get("value"), one.get("type")) for one in results]
        return str(sorted(map(str, spans)))  # none is an answer as well: a text without entities
    value = results[0].get("value") if len(results) == 1 else None
    choices = value.get("choices") if isinstance(value, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], str):
        return None
    return choices[0]


def prediction_of(annotation: Mapping[str, Any], control: Control) -> str | None:
    """The id of our own prediction that the person saw, which answers keep as the id of their result."""
    seen = annotation.get("prediction")
    result = seen.get("result") if isinstance(seen, Mapping) else None
    first = result[0] if isinstance(result, list) and result else None
    id = first.get("id") if isinstance(first, Mapping) and first.get("from_name") == control.name else None
    return id if isinstance(id, str) and 0 < len(id) <= 64 else None


def entities_of(annotation: Mapping[str, Any], control: Control, text: str) -> list[dict[str, Any]]:
    entities = []
    for i, one in enumerate(_results(annotation, control)):
        value = one.get("value")
        labels = value.get("labels") if isinstance(value, Mapping) else None
        start, end = (value.get(k) for k in ("start", "end")) if isinstance(value, Mapping) else (None, None)
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(labels, list) or len(labels) != 1:
            raise HTTPError(422, f"result[{i}] of the annotation must have start, end and one label")
        assert isinstance(value, Mapping)
        start, end = _in_characters(text, start, end, value.get("text"))
        entities.append({"start": start, "end": end, "type": str(labels[0])})
    return entities


def _in_characters(text: str, start: int, end: int, inside: Any) -> tuple[int, int]:
    """A place as characters count it; browsers count those beyond U+FFFF twice."""
    if not isinstance(inside, str) or text[start:end] == inside:
        return start, end
    wide = text.encode("utf-16-le")
    with contextlib.suppress(UnicodeDecodeError):
        before, there = wide[: 2 * start].decode("utf-16-le"), wide[2 * start : 2 * end].decode("utf-16-le")
        if there == inside:
            return len(before), len(before) + len(there)
    return start, end
