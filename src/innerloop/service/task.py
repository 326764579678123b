"""A task of a service, for `Client.create`, `Client.task` and `Client.load`."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.rules import By
from innerloop.fewshot.examples import labelled
from innerloop.service.connection import Connection
from innerloop.service.parts import Examples, body, in_one_change, parts, whole
from innerloop.service.replies import Prediction, StoredExample, TaskInfo, Version, known, prediction, task_info


class Task:
    """One task of a service; every method asks the service."""

    def __init__(self, client: Connection, info: TaskInfo):
        self.client, self.name, self.kind = client, info.name, info.kind
        self._path = f"api/tasks/{quote(info.name, safe='')}"

    def __repr__(self) -> str:
        return f"Task({self.name!r} at {self.client.url})"

    def show(self) -> TaskInfo:
        """What it is now."""
        return task_info(self.client.request("GET", self._path).json())

    def info(self) -> TaskInfo:
        """`show`, by the name that it had before."""
        return self.show()

    def add(self, examples: Examples, labels: str | Sequence[str]) -> int:
        """Teach examples, all or none of them; they are one version, however many.

        Up to 200 of them, or 16 MB, go in one request; the service keeps those of several until the last one is there.

        Args:
            examples: Pictures, texts or vectors of features, as the task takes.
            labels: One for all, or one for each; a new one makes a class.

        Returns:
            The version that knows them.

        Raises:
            InputError: Not as many labels as examples, or a file that cannot be read.
            ServiceError: The service refused.
        """
        known = [labels] * len(examples) if isinstance(labels, str) else [str(label) for label in labels]
        if len(known) != len(examples):
            raise InputError(
                f"{len(examples)} examples and {len(known)} labels: give one label for each, or one for all"
            )
        version = None
        for part, params in in_one_change(parts(examples, self.kind)):
            rows = [row | {"label": known[i]} for row, i in zip(*part, strict=True)]
            path = f"{self._path}/examples"
            version = self.client.request("POST", path, params=params, json={"examples": rows}).json()["version"]
        if version is None:
            raise InputError("there are no examples to teach")
        return version

    def add_folder(self, path: str | Path) -> int:
        """Teach a folder with a sub-folder for each class, or a zip of one, read as `innerloop adapt` reads it.

        Raises:
            InputError: It cannot be read.
            ServiceError: The service refused.
        """
        raw, labels = labelled(path, self.kind)  # pyright: ignore[reportArgumentType]
        return self.add(raw, [str(label) for label in labels])

    def table(
        self,
        path: str | Path,
        *,
        text_column: str | None = None,
        label_column: str | None = None,
        encoding: str | None = None,
    ) -> tuple[list[Any], list[str | None]]:
        """The examples in a table, as the service reads it, and their labels; nothing is learned from it yet.

        Args:
            path: CSV, TSV, JSON, JSONL, .xlsx or .parquet; of texts also one a line.
            text_column: Column of the examples; None: it is found out, likewise the following two.
            label_column: Column of the labels.
            encoding: What the file is in.

        Raises:
            InputError: The file cannot be read.
            ServiceError: The service refused.
        """
        asked = {"text_column": text_column, "label_column": label_column, "encoding": encoding}
        data = {name: value for name, value in asked.items() if value is not None}
        answer = self.client.request("POST", f"{self._path}/table", looks=True, files=whole(path), data=data)
        rows = answer.json()["examples"]
        kind = "features" if self.kind == "features" else "text"
        return [row[kind] for row in rows], [row["label"] for row in rows]

    def predict(self, examples: Examples, explain: bool = False, sets: float | None = None) -> list[Prediction]:
        """What each example is.

        Args:
            examples: To ask about.
            explain: Whether the taught examples that are nearest to each come along.
            sets: How often the `set` of each is to hold the right class; None: there is none.

        Raises:
            InputError: A file cannot be read.
            ServiceError: The service refused, as when the task knows fewer than two classes.
        """
        predictions = []
        for part, _ in parts(examples, self.kind):
            params = ({"explain": True} if explain else {}) | ({} if sets is None else {"sets": sets})
            answer = self._asked("predict", part, params)
            predictions += [prediction(p, answer["version"]) for p in answer["predictions"]]
        return predictions

    def suggest(self, examples: Examples, n: int = 10, by: By = "margin") -> list[tuple[int, Prediction]]:
        """Which of them to label next, the most telling first: their places, and what the task takes them for.

        Of more than go into one request, those of every request are chosen among again. Arguments as of
        `fewshot.suggestions.suggest`; raises as `predict` does.
        """
        chosen: list[tuple[int, Prediction]] = []
        asked = list(parts(examples, self.kind))
        for part, places in asked:
            answer = self._asked("suggestions", part, {"n": n, "by": by})
            chosen += [(places[p["index"]], prediction(p, answer["version"])) for p in answer["suggestions"]]
        if len(asked) < 2 or len(chosen) == len(examples):
            return chosen
        places = [place for place, _ in chosen]
        return [(places[i], one) for i, one in self.suggest([examples[place] for place in places], n, by)]

    def _asked(self, what: str, part: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
        # It changes nothing, so that it may be sent again without a name.
        return self.client.request("POST", f"{self._path}/{what}", looks=True, params=params, json=body(part)).json()

    def evaluate(self) -> dict[str, Any]:
        """How good it is, by cross-validation on its own examples: `accuracy`, `classes`, `confusion`, and so on.

        Raises:
            ServiceError: It has too few examples (409), or it takes longer than a request may wait (503): ask again.
        """
        return self.client.request("GET", f"{self._path}/evaluation").json()

    def shots(self, shots: Sequence[int]) -> dict[str, Any]:
        """How good it would be with fewer of its examples: `points`, `gains`, and a `forecast` of ten more.

        Args:
            shots: How many examples of each class, ten numbers at most.

        Raises:
            ServiceError: A class has too few examples (409), or it takes longer than a request may wait (503): ask
                again.
        """
        return self.client.request("GET", f"{self._path}/shots", params={"shots": list(shots)}).json()

    def feedback(self, prediction: Prediction | str, label: str) -> int:
        """Say what a prediction should have been; its example is learned from. Returns the version that knows it.

        Raises:
            ServiceError: With status 410 where the service no longer remembers it: `add` the example then.
        """
        id = prediction.id if isinstance(prediction, Prediction) else prediction
        answer = self.client.request("POST", f"{self._path}/feedback", json={"prediction": id, "label": label})
        return answer.json()["version"]

    def equip(
        self,
        replies: Sequence[Mapping[str, Any]] = (),
        documents: Mapping[str, str | bytes] | None = None,
        answers: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Give it what is said in conversations, in place of what it has; returns the number of passages.

        Args:
            replies: Objects with intent, reply and slots, as of `innerloop support --replies`.
            documents: Contents of .md, .txt and .html files by their names, and bytes of .pdf files.
            answers: Questions with the answers that were given before.

        Raises:
            ServiceError: A reply or a document is wrong, or it is no task of texts.
        """
        given = [
            {"name": name, "text": one} if isinstance(one, str) else {"name": name, "pdf": b64encode(one).decode()}
            for name, one in (documents or {}).items()
        ]
        before = [{"question": question, "answer": answer} for question, answer in answers]
        body = {"replies": [dict(one) for one in replies], "documents": given, "answers": before}
        return self.client.request("POST", f"{self._path}/desk", json=body).json()["passages"]

    def watch(self, other: str | None = None, **settings: Any) -> dict[str, Any]:
        """Begin to watch a stream of texts, anew where it was watched; how it stands then.

        Args:
            other: A second task on the same texts, such as one of moods.
            settings: Options of `innerloop watch` by their names: window, warmup and so on.

        Raises:
            ServiceError: It is none of texts, or cannot be watched so.
        """
        return self.client.request("POST", f"{self._path}/watch", json={**settings, "other": other}).json()

    def events(self, events: Iterable[Mapping[str, Any]], finish: bool = False) -> dict[str, Any]:
        """Have a watch take events: text, time, and if there are such, id and source; new alerts, and what came.

        Args:
            events: 1,000 at most; one that is sent again, as where the connection breaks, is known by its id.
            finish: Whether all windows are closed then.

        Raises:
            ServiceError: It is not watched, or was taught since.
        """
        content, road = "\n".join(map(json.dumps, events)).encode(), f"{self._path}/watch/events"
        return self.client.request("POST", f"{road}?finish=true" if finish else road, content=content).json()

    def watched(self) -> dict[str, Any] | None:
        """How its watch stands, with curves and the last alerts; None: it has none."""
        return self.client.request("GET", f"{self._path}/watch").json()

    def chat(self, message: str, conversation: str | None = None) -> dict[str, Any]:
        """What is said to a message: `kind`, `text`, `intent`, `source`, ..., `conversation`, and `id` for `feedback`.

        Args:
            message: What somebody says.
            conversation: It goes on; None: a new one begins.

        Raises:
            ServiceError: It is no task of texts, would answer everything, or has no such conversation.
        """
        body = {"message": message, "conversation": conversation}
        return self.client.request("POST", f"{self._path}/chat", json=body).json()

    def forget_chat(self, conversation: str, forever: bool = False) -> None:
        """Delete a conversation.

        Args:
            conversation: As `chat` called it.
            forever: Overwrite its bytes in every file of the service as well.

        Raises:
            ServiceError: The task has no such conversation.
        """
        path = f"{self._path}/conversations/{quote(conversation, safe='')}"
        self.client.request("DELETE", path, params={"forever": 1} if forever else None)

    def examples(self, label: str | None = None) -> Iterator[StoredExample]:
        """What it was taught, oldest first."""
        # The most that the service gives at a time.
        asked: dict[str, Any] = {"limit": 1000} | ({} if label is None else {"label": label})
        while page := self.client.request("GET", f"{self._path}/examples", params=asked).json():
            yield from (known(StoredExample, row) for row in page)
            asked["after"] = page[-1]["id"]

    def relabel(self, example: int, label: str) -> int:
        """Say that an example is of another class; returns the version."""
        answer = self.client.request("PATCH", f"{self._path}/examples/{example}", json={"label": label})
        return answer.json()["version"]

    def remove(self, example: int, forever: bool = False) -> int:
        """Take an example out; returns the version.

        Args:
            example: As `examples` lists it.
            forever: Erase it from every version and every file of the service as well. This cannot be undone.
        """
        asked = {"forever": 1} if forever else None
        return self.client.request("DELETE", f"{self._path}/examples/{example}", params=asked).json()["version"]

    def add_names(self, classes: Sequence[str]) -> int:
        """Tell an encoder of texts further classes by their names; returns the version."""
        return self.client.request("POST", f"{self._path}/classes", json={"classes": list(classes)}).json()["version"]

    def drop(self, label: str) -> int:
        """Take a class out with its examples; returns the version."""
        return self.client.request("DELETE", f"{self._path}/classes/{quote(label, safe='')}").json()["version"]

    def versions(self) -> list[Version]:
        """Every version there was, oldest first."""
        return [known(Version, row) for row in self.client.request("GET", f"{self._path}/versions").json()]

    def undo(self, to: int | None = None, seen: int | None = None) -> int:
        """Make a new version that holds what an old one held; returns it. `redo` takes it back.

        Args:
            to: A version of `versions`; None: before the last change that was not undone yet.
            seen: The version that you think is the newest; another one is refused (status 412). None: whatever it is.

        Raises:
            ServiceError: There is nothing to undo, or no such version.
        """
        return self._back("undo", {"to": to}, seen)

    def redo(self, seen: int | None = None) -> int:
        """Take back the last `undo`, as long as nothing was changed since; returns the version."""
        return self._back("redo", None, seen)

    def rollback(self, version: int, seen: int | None = None) -> int:
        """`undo(version)`, by the name that it had before."""
        return self.undo(version, seen)

    def download(self, path: str | Path) -> Path:
        """Write the task as a file for `innerloop predict` and `FewShotClassifier.load`; whole or not at all."""
        content = self.client.request("GET", f"{self._path}/download").content
        files.write(Path(path), content)
        return Path(path)

    def delete(self, forever: bool = False) -> None:
        """Forget the task with all its examples and versions.

        Args:
            forever: Overwrite their bytes in every file of the service as well.
        """
        self.client.request("DELETE", self._path, params={"forever": 1} if forever else None)

    def _back(self, verb: str, body: dict[str, int | None] | None, seen: int | None) -> int:
        headers = {} if seen is None else {"If-Match": f'"{seen}"'}
        return self.client.request("POST", f"{self._path}/{verb}", json=body, headers=headers).json()["version"]
