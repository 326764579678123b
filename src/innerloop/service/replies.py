"""What the service answers its client: tasks, versions, examples and predictions, as they were when it answered."""

from dataclasses import dataclass
from typing import Any, TypeVar

from innerloop.fewshot.answers import Answer

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """A task as it was when it was asked for."""

    name: str
    source: str
    kind: str
    """What raw examples are: "pictures", "sounds", "texts" or "features"."""
    version: int
    created: str
    classes: dict[str, int]
    """How many examples of each class it has."""
    reject: float | None
    """Target false-accept rate of "none of these"; None: every example is of one of the classes."""
    calibration: dict[str, Any] | None
    """Temperature, threshold, coverage and what else was measured; None until it was adapted."""
    coverage: float | None = None
    """Share of examples of the classes that are to be answered, where it was asked for in place of `reject`."""
    head: dict[str, Any] | None = None
    """What was asked for of a frozen encoder, and once it was adapted what it came to and why."""
    names: dict[str, Any] | None = None
    """Whether names of classes are learned from, as was asked of an encoder of texts, and once it was adapted why."""
    tuning: dict[str, Any] | None = None
    """Whether the encoder of a task that came as a file was tuned to it, and why."""
    budget: dict[str, Any] | None = None
    """How many examples of each class are learned from at most, where it was asked for."""
    drift: dict[str, Any] | None = None
    """Whether it still answers what it was taught: by feedback, and by how far what is asked lies."""


@dataclass(frozen=True, kw_only=True)
class Prediction(Answer):
    """What a task says about one example."""

    id: str
    """For `Task.feedback`."""
    version: int
    """Version of the task that answered."""
    set: tuple[str, ...] = ()
    """Where it was asked for: the fewest classes that hold the right one as often as asked, most probable first."""
    nearest: tuple[dict[str, Any], ...] = ()
    """Where they were asked for, the taught examples that are nearest: label, number in its class, distance, id of the
    example, its text, path of its picture."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a task."""

    version: int
    time: str
    action: str
    classes: int
    examples: int


@dataclass(frozen=True, kw_only=True)
class StoredExample:
    """An example that a task keeps."""

    id: int
    label: str
    added: str
    text: str | None = None
    picture: str | None = None
    """Path of its thumbnail, below the address of the service."""
    features: int | None = None
    """How many numbers it has."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """A change that somebody made."""

    id: int
    time: str
    """In UTC."""
    key: int | None
    """Number of the API key; None: a command's, or no key was demanded."""
    name: str
    """What that key is for."""
    verb: str
    kind: str
    """What `of` is of: a task, a tagger, a person (whose recommender it names), or a key."""
    of: str
    before: int | None
    """Version, or limit of a key; None: it was not there, or has none."""
    after: int | None
    request: str | None
    """Id of the request."""


def task_info(task: dict[str, Any]) -> TaskInfo:
    """A task of its JSON."""
    classes = {c["label"]: c["examples"] for c in task["classes"]}
    return known(TaskInfo, task | {"classes": classes})


def prediction(answer: dict[str, Any], version: int) -> Prediction:
    """A prediction of its JSON."""
    lists = {name: tuple(answer.get(name) or ()) for name in ("nearest", "set")}
    return known(Prediction, answer | {"label": answer["class"], "version": version} | lists)


def known(kind: type[T], row: dict[str, Any]) -> T:
    """A row without what a newer service may say besides."""
    return kind(**{name: row[name] for name in kind.__dataclass_fields__ if name in row})  # pyright: ignore[reportAttributeAccessIssue]
