"""A service in this process, for tests."""

import io
import sqlite3
import time
from contextlib import contextmanager
from typing import Any

import torch
from starlette.testclient import TestClient
from torch import nn

from innerloop.service.http.app import create
from innerloop.service.settings import Settings

PLAIN = "tests.service.served:Plain"
SLEEPY = "tests.service.served:Sleepy"
WORDS = "tests.service.served:Words"
PHOTOS = "tests.service.served:Photos"


class Plain(nn.Module):
    """Eight numbers, as they are."""

    kind = "features"
    features = 8

    def forward(self, x):
        return x


class Sleepy(Plain):
    """The same, after a minute where the first number is a thousand."""

    def forward(self, x):
        if float(x.max()) >= 1000:
            time.sleep(60)
        return x


class Words(nn.Module):
    """Texts as counts of eight letters."""

    kind = "texts"
    features = 8

    def forward(self, texts):
        return torch.tensor([[float(text.count(c)) + 0.1 for c in "abcdefgh"] for text in texts])


class Photos(nn.Module):
    """Pictures as the mean of each colour, and of each half."""

    kind = "pictures"
    size = 8
    features = 6

    def forward(self, x):
        return torch.cat([x.mean((2, 3)), x[:, :, :4].mean((2, 3))], 1) + 0.1


@contextmanager
def serving(store, base="http://localhost", **settings):
    """A client of a service on a store."""
    sources = settings.pop("sources", (PLAIN, WORDS, PHOTOS))
    app = create(Settings(store=str(store), sources=sources, allow=("tests",), **settings))
    with TestClient(app, base_url=base) as client:
        yield client


def served_by(client) -> Any:
    """The service behind a client of `serving`."""
    return client.app.state.service


SINCE_12 = (
    *(f"DROP TABLE {table}" for table in ("annotations", "predictions", "audit", "requests")),
    "DROP INDEX examples_of_owner",
    *(f"ALTER TABLE {table} DROP COLUMN owner" for table in ("tasks", "examples", "taggers")),
    *(f"ALTER TABLE {table} DROP COLUMN size" for table in ("examples", "held")),
    *(f"ALTER TABLE keys DROP COLUMN {column}" for column in ("requests", "examples", "bytes")),
)
"""What makes of a store one of version 12."""


def downgrade(path, version):
    """Make of a store what a server of version 3 or 4 would have left."""
    with sqlite3.connect(path) as c:
        for statement in SINCE_12:
            c.execute(statement)
        for table in ("messages", "conversations", "desks", "taggers", "people"):
            c.execute(f"DROP TABLE {table}")
        c.execute("DROP TABLE held")
        c.execute("DROP TABLE evaluations")
        c.execute("DROP INDEX versions_declared")
        for table, column in (
            ("versions", "declared"),
            ("tasks", "names"),
            ("tasks", "descriptions"),
            ("tasks", "pin"),
            ("tasks", "coverage"),
            ("tasks", "drift"),
            ("tasks", "budget"),
        ):
            c.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        if version == 3:
            c.execute("ALTER TABLE tasks DROP COLUMN head")
        c.execute(f"PRAGMA user_version = {version}")
    c.close()


def picture(colour="red", size=(40, 30), kind="PNG", **saved):
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **saved)
    return out.getvalue()


def teach(client, task="t", source=WORDS, texts=None):
    """A task of two classes, made of texts."""
    client.post("/api/tasks", json={"name": task, "source": source}).raise_for_status()
    texts = texts or {"a": ["aaa", "aab"], "b": ["bbb", "bbc"]}
    examples = [{"label": label, "text": text} for label, these in texts.items() for text in these]
    answer = client.post(f"/api/tasks/{task}/examples", json={"examples": examples})
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer, status, *said):
    """Check that an answer is a refusal of one message."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert list(content) == ["error"] and "\n" not in content["error"]
    for words in said:
        assert words in content["error"]
