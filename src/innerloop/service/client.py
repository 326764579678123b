"""A typed client of the service: make a task, teach it, ask it, correct it, go back.

```python
with Client("http://127.0.0.1:8000") as client:
    task = client.create("birds", "efficientnet-lite0")
    task.add(["robin1.jpg", "robin2.jpg", "wren1.jpg"], ["robin", "robin", "wren"])
    for answer in task.predict(["new.jpg"]):
        print(answer.label, answer.probabilities)
```
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from innerloop.fewshot.settings import Head, Names
from innerloop.service import recommender, tagger
from innerloop.service.connection import Connection
from innerloop.service.parts import Example, whole
from innerloop.service.recommender import Person, Recommender
from innerloop.service.refusals import ServiceError
from innerloop.service.replies import AuditEntry, Prediction, StoredExample, TaskInfo, Version, known, task_info
from innerloop.service.tagger import Tagger
from innerloop.service.task import Task

__all__ = [
    "AuditEntry",
    "Client",
    "Example",
    "Person",
    "Prediction",
    "Recommender",
    "ServiceError",
    "StoredExample",
    "Tagger",
    "Task",
    "TaskInfo",
    "Version",
]
_PAGE = 1_000


class Client(Connection):
    """A connection to one service; may be used by several threads."""

    def sources(self) -> dict[str, str]:
        """What tasks can be taught to, with what it is."""
        return {source["name"]: source["about"] for source in self.request("GET", "api/sources").json()}

    def tasks(self) -> list[TaskInfo]:
        """All tasks."""
        return [task_info(task) for task in self.request("GET", "api/tasks").json()]

    def task(self, name: str) -> Task:
        """A task that is there.

        Raises:
            ServiceError: It is not.
        """
        return Task(self, task_info(self.request("GET", f"api/tasks/{quote(name, safe='')}").json()))

    def create(
        self,
        name: str,
        source: str,
        reject: float | None = None,
        head: Head | None = None,
        *,
        names: Names | None = None,
        descriptions: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
        coverage: float | None = None,
        budget: int | None = None,
        prior: str | None = None,
    ) -> Task:
        """Make a task.

        Args:
            name: 1 to 64 letters and digits of any script, dots, underscores and hyphens.
            source: One of `sources`.
            reject: Target false-accept rate of "none of these"; None: no such answer.
            head: What is fitted to the rows of a frozen encoder, or of a run's map; None: as the service has it.
            names: Whether an encoder of texts learns from names of classes; None: likewise.
            descriptions: What classes are, by their names.
            classes: Those that it knows before there is an example.
            coverage: In place of `reject`: share of examples of the classes that are to be answered.
            budget: How many examples of each class are learned from at most; None: all of them.
            prior: One of `sources` that is a run over the rows of `source`, which teaching starts from.

        Raises:
            ServiceError: The name is taken or no name, or there is no such source.
        """
        how = {"reject": reject, "head": head, "names": names, "descriptions": descriptions, "classes": classes}
        how |= {"coverage": coverage, "budget": budget, "prior": prior}
        body = {"name": name, "source": source} | {key: value for key, value in how.items() if value is not None}
        return Task(self, task_info(self.request("POST", "api/tasks", json=body).json()))

    def taggers(self) -> list[Tagger]:
        """All taggers."""
        return tagger.listed(self)

    def create_tagger(self, name: str, sentences: Sequence[Mapping[str, Any]], source: str = "entities") -> Tagger:
        """Make a tagger of tagged texts.

        Args:
            name: As of `create`.
            sentences: Objects with `text` and `entities`, each with `start`, `end` and `type`.
            source: What it starts from.

        Raises:
            ServiceError: The name is taken or no name, a sentence is wrong, or there is no such source.
        """
        return tagger.create(self, name, source, sentences)

    def recommenders(self) -> list[Recommender]:
        """All recommenders."""
        return recommender.listed(self)

    def recommender(self, name: str) -> Recommender:
        """A recommender that is there.

        Raises:
            ServiceError: It is not.
        """
        return recommender.known(self, name)

    def audit(self, since: str | None = None, task: str | None = None, key: str | None = None) -> Iterator[AuditEntry]:
        """Who changed what, oldest first; asked for page by page.

        Args:
            since: The first moment, as 2026-11-29 or 2026-11-29T08:00Z; None: from the beginning.
            task: Only of the task, tagger or recommender of this name.
            key: Only by API keys of this name or number.

        Raises:
            ServiceError: The key may not read it, or that is no moment.
        """
        asked = {name: value for name, value in {"since": since, "task": task, "key": key}.items() if value is not None}
        after = 0
        while page := self.request("GET", "api/audit", params=asked | {"limit": _PAGE, "after": after}).json():
            yield from (known(AuditEntry, entry) for entry in page)
            after = page[-1]["id"]

    def load(self, path: str | Path, name: str | None = None) -> Task:
        """Make a task of a `.fewshot` file, with all its versions.

        Args:
            path: What `innerloop adapt`, `FewShotClassifier.save` or `Task.download` wrote.
            name: As of `create`; None: that of the file.

        Raises:
            InputError: The file cannot be read.
            ServiceError: The name is taken, or the service cannot use the file.
        """
        data = {} if name is None else {"name": name}
        return Task(self, task_info(self.request("POST", "api/tasks/import", files=whole(path), data=data).json()))
