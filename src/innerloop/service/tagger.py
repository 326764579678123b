"""A tagger of a service, for `Client.tagger` and `Client.create_tagger`.

```python
with Client("http://127.0.0.1:8000") as client:
    tagger = client.create_tagger("names", [
        {"text": "Ada Lovelace wrote it.", "entities": [{"start": 0, "end": 12, "type": "person"}]},
    ])
    for found in tagger.tag(["Grace Hopper came to London."]):
        print(found["entities"])
```
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from innerloop.core import files
from innerloop.service.connection import Connection

_AT_ONCE, _CHARACTERS = 256, 100_000
"""Texts that the service takes in one request, and their characters."""


class Tagger:
    """One tagger of a service; every method asks the service.

    Args:
        client: The connection.
        name: Of the tagger, which is there.
    """

    def __init__(self, client: Connection, name: str):
        self.client, self.name = client, name
        self._path = f"api/taggers/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"Tagger({self.name!r} at {self.client.url})"

    def show(self) -> dict[str, Any]:
        """What it is now: `source`, `version`, `sentences`, `types` with their number of entities, ..."""
        return self.client.request("GET", self._path).json()

    def tag(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """What is found in each text: `text`, `words` and `entities`, by characters, with their confidence.

        Raises:
            ServiceError: A text is empty or too long.
        """
        found = list[dict[str, Any]]()
        for part in _parts(texts):
            body = {"texts": part}
            found += self.client.request("POST", f"{self._path}/tag", json=body, looks=True).json()["texts"]
        return found

    def add(self, sentences: Sequence[Mapping[str, Any]]) -> int:
        """Teach tagged texts, such as corrected answers of `tag`; returns the version that knows them.

        Args:
            sentences: Objects with `text` and `entities`, each with `start`, `end` and `type`.

        Raises:
            ServiceError: One is wrong; nothing is changed then.
        """
        return self.client.request("POST", f"{self._path}/sentences", json={"sentences": _plain(sentences)}).json()[
            "version"
        ]

    def drop(self, kind: str) -> int:
        """Forget a type; returns the version."""
        return self.client.request("DELETE", f"{self._path}/types/{quote(kind, safe='')}").json()["version"]

    def versions(self) -> list[dict[str, Any]]:
        """Every version there was, oldest first: `version`, `time`, `action`, `sentences`, `types`."""
        return self.client.request("GET", f"{self._path}/versions").json()

    def undo(self, to: int | None = None) -> int:
        """Make a new version that holds what an old one held; returns it. `redo` takes it back.

        Args:
            to: A version of `versions`; None: before the last change that was not undone yet.
        """
        return self.client.request("POST", f"{self._path}/undo", json={"to": to}).json()["version"]

    def redo(self) -> int:
        """Take back the last `undo`, as long as nothing was changed since; returns the version."""
        return self.client.request("POST", f"{self._path}/redo").json()["version"]

    def download(self, path: str | Path) -> Path:
        """Write it as a file for `innerloop ner predict` and `FewShotTagger.load`; whole or not at all."""
        files.write(Path(path), self.client.request("GET", f"{self._path}/download").content)
        return Path(path)

    def delete(self, forever: bool = False) -> None:
        """Forget it with all its sentences and versions.

        Args:
            forever: Overwrite their bytes in every file of the service as well.
        """
        self.client.request("DELETE", self._path, params={"forever": 1} if forever else None)


def create(client: Connection, name: str, source: str, sentences: Sequence[Mapping[str, Any]]) -> Tagger:
    """Make a tagger; see `Client.create_tagger`."""
    body = {"name": name, "source": source, "sentences": _plain(sentences)}
    return Tagger(client, client.request("POST", "api/taggers", json=body).json()["name"])


def listed(client: Connection) -> list[Tagger]:
    """All taggers of a service, by name."""
    return [Tagger(client, one["name"]) for one in client.request("GET", "api/taggers").json()["taggers"]]


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part, size = list[str](), 0
    for text in texts:
        size += len(text)
        if part and (len(part) == _AT_ONCE or size > _CHARACTERS):
            yield part
            part, size = [], len(text)
        part.append(text)
    if part:
        yield part


def _plain(sentences: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without what answers have besides, so that a corrected one can be taught as it is."""
    keys = ("start", "end", "type")
    return [
        {"text": one["text"], "entities": [{key: entity[key] for key in keys} for entity in one.get("entities", ())]}
        for one in sentences
    ]
