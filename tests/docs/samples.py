"""Files and names that pages of the documentation speak of, small ones: pictures, tables, sentences, a network."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.docs.blocks import ROOT, blocks
from tests.service.live import SHAPES, draw

DOCS = ROOT / "docs"
INTENTS = {
    "refund": ["I want my money back", "please refund what I paid", "how do I return this", "a refund please"],
    "delivery": ["where is my parcel", "when will my order arrive", "has it been sent yet", "my parcel is late"],
    "opening hours": ["when do you open", "are you open on Sundays", "opening times please", "do you close at noon"],
}
NETWORK = """
from torch import nn


class MyNet(nn.Sequential):
    def __init__(self, outputs=5):
        super().__init__(nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(676, outputs))
"""


def stage(page: Path, folder: Path) -> dict[str, Any]:
    """Put what a page speaks of into a folder, and return the names that its Python has from elsewhere."""
    make = SAMPLES.get(page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name)
    return (make and make(folder)) or {}


def texts(file: Path) -> None:
    """A table of sentences and their labels."""
    rows = [f"{text},{label}" for label, some in INTENTS.items() for text in some]
    file.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")


def pictures(folder: Path, count: int = 5, seed: int = 0, names: dict[str, str] | None = None) -> None:
    """A folder with a folder of drawings for each class."""
    for name, shape in (names or {shape: shape for shape in SHAPES}).items():
        draw(folder / name, shape, count, seed)


def tagged(file: Path) -> None:
    """Sentences with two entities of one of 12 types, of which a fifth each is for validation and test."""
    lines = []
    for start in range(144):
        for word, kind in ((f"name{start}", start % 12), ("met", None), (f"other{start}", start % 12)):
            lines.append(f"{word}\t{'O' if kind is None else f'B-type{kind}'}")
        lines.append("")
    file.write_text("\n".join(lines), encoding="utf-8")


def _pages(folder: Path) -> None:
    (folder / "docs").symlink_to(DOCS)


def _drawings(folder: Path) -> None:
    pictures(folder / "drawings")
    draw(folder, "cross", 1, 9)[0].rename(folder / "new.png")


def _animals(folder: Path) -> None:
    pictures(folder / "my_drawings", names={"cat": "circle", "dog": "cross", "fish": "triangle"})


def _generated(folder: Path) -> None:
    _animals(folder)
    pictures(folder / "many_drawings", 10, names={letter: letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXY"})


def _served(folder: Path) -> None:
    _drawings(folder)
    _tables(folder)


def _tables(folder: Path) -> None:
    import pandas

    texts(folder / "intents.csv")
    frame = pandas.read_csv(folder / "intents.csv").rename(columns={"label": "category"})
    frame.to_excel(folder / "intents.xlsx", index=False)


def _own_pictures(folder: Path) -> dict[str, Any]:
    animals = {"cat": "circle", "dog": "cross"}
    pictures(folder / "my_images", names=animals)
    pictures(folder / "more_images", 4, 1, animals | {"bird": "triangle"})
    pictures(folder / "sorted", 2, 2, animals)
    for shape in animals.values():
        draw(folder / "unsorted", shape, 8, 3)
    new = {name: draw(folder / "new", shape, 5, 4) for name, shape in (animals | {"fish": "square"}).items()}
    paths, labels = [path for some in new.values() for path in some], [name for name in new for _ in range(5)]
    return {
        "X": paths,
        "y": labels,
        "X_new": draw(folder / "asked", "cross", 2, 5),
        "more_paths": draw(folder / "further", "circle", 2, 6),
        "more_labels": ["cat", "cat"],
        "bird_paths": draw(folder / "birds", "triangle", 3, 7),
        "X_test": draw(folder / "tests", "circle", 3, 8) + draw(folder / "tests", "cross", 3, 8),
        "y_test": ["cat"] * 3 + ["dog"] * 3,
    }


def _advised(folder: Path) -> None:
    _own_pictures(folder)
    texts(folder / "questions.csv")
    draws = np.random.default_rng(0)
    np.savez(folder / "rows.npz", x=draws.normal(size=(60, 8)).astype(np.float32), y=np.arange(60) % 6)


def _encoded(folder: Path) -> dict[str, Any]:
    from tests.encoders.tiny import tiny_bert
    from tests.tasks.test_other_sets import ClassLabel, Hugging, Value, Vision

    _animals(folder)
    pictures(folder / "photos")
    texts(folder / "intents.csv")
    words = {word.lower() for some in INTENTS.values() for text in some for word in text.split()}
    tiny_bert(folder / "models" / "my-minilm", sorted(words))
    (folder / "questions.txt").write_text("where is it\ncan I send it back\n", encoding="utf-8")
    (folder / "new.txt").write_text("where is it\ntell me a joke\n", encoding="utf-8")
    labelled = "text,label\nmy money please,refund\nit never came,delivery\n"
    (folder / "labelled.csv").write_text(labelled, encoding="utf-8")
    columns = {"text": [text for some in INTENTS.values() for text in some], "label": [i // 4 for i in range(12)]}
    return {
        "dataset": Hugging({"text": Value("string"), "label": ClassLabel(list(INTENTS))}, columns),
        "torchvision_dataset": Vision("pictures"),
    }


def _exported(folder: Path) -> None:
    pictures(folder / "photos", names={"circle": "circle", "cross": "cross", "square": "square"})
    draw(folder, "square", 1, 9)[0].rename(folder / "square.png")
    Image.open(folder / "square.png").convert("RGB").save(folder / "square.jpg")


def _package(folder: Path) -> None:
    (folder / "mypackage").mkdir()
    (folder / "mypackage" / "nets.py").write_text(NETWORK, encoding="utf-8")


def _script(folder: Path) -> None:
    for name in ("script.py", "train.py"):
        (folder / name).write_text("print('hello')\n", encoding="utf-8")


def _tank(folder: Path) -> None:
    (tank,) = (block.text for block in blocks(DOCS / "guide/agents.md") if "class Tank(" in block.text)
    above = "import torch\nfrom innerloop.core import random\n"
    (folder / "mine.py").write_text(above + tank, encoding="utf-8")


def _entities(folder: Path) -> None:
    tagged(folder / "own.conll")
    tagged(folder / "tagged.conll")


def _words(folder: Path) -> dict[str, Any]:
    sentences = [["Ada", "Lovelace", "wrote"], ["to", "London"], ["Grace", "Hopper"], ["in", "Paris"]]
    kinds = ["person", "person", "O", "O", "O", "place", "O", "O", "O", "person"]  # of the page's own two sentences
    return {"sentences": sentences, "types": kinds, "domains": ["a"] * 5 + ["b"] * 5}


def _optimized(folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    batches = [(torch.randn(16, 4), torch.randn(16, 1)) for _ in range(5)]
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return {"network": network, "batches": batches, "loss": nn.MSELoss()}


def _ratings(folder: Path) -> None:
    draws, rows, clicks = random.Random(0), ["user,item,rating"], ["user,item"]
    for user in range(60):
        for item in draws.sample(range(40), 16):
            rows.append(f"u{user},i{item},{draws.randint(1, 5)}")
            clicks.append(f"u{user},i{item}")
    features = {
        "items.csv": ["item,title,kind", *(f"i{i},Item {i},{'ab'[i % 2]}" for i in range(40))],
        "users.csv": ["user,age,town", *(f"u{i},{20 + i},{'xyz'[i % 3]}" for i in range(60))],
        "me.csv": ["item,rating", "Heat,5", "Toy Story,2", "Casino,4"],
        "taken.csv": ["item", "Item 1", "Item 2"],
    }
    for name, lines in ({"ratings.csv": rows, "clicks.csv": clicks} | features).items():
        (folder / name).write_text("\n".join([*lines, ""]), encoding="utf-8")


def _desk(folder: Path) -> None:
    _pages(folder)
    replies = [json.loads(line) for line in (DOCS / "guide/support/replies.jsonl").read_text("utf-8").splitlines()]
    document = {"name": "faq.md", "text": "# Delivery\n\nA parcel takes three working days.\n"}
    (folder / "desk.json").write_text(json.dumps({"replies": replies, "documents": [document]}), encoding="utf-8")


def _bought(folder: Path) -> None:
    for name, count, seed in (("my_images", 8, 0), ("more_images", 4, 1)):
        pictures(folder / name, count, seed, {"cat": "circle", "dog": "cross"})


def _intents(folder: Path) -> None:
    texts(folder / "intents.csv")


def _asked(folder: Path) -> None:
    texts(folder / "FILE.csv")
    rows = [f"{verb} the {thing},{thing}" for thing in range(15) for verb in ("show", "hide", "find", "lose")]
    rows += [f"{verb} a {thing} now,{thing}" for thing in range(15) for verb in ("show", "hide", "find", "lose")]
    (folder / "intents.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")


SAMPLES: dict[str, Callable[[Path], Any]] = {
    "gotchas.md": _script,
    "scale.md": _script,
    "guide/advise.md": _advised,
    "guide/agents.md": _tank,
    "guide/encoders.md": _encoded,
    "guide/engines.md": _intents,
    "guide/entities.md": _entities,
    "guide/export.md": _exported,
    "guide/first-run.md": _package,
    "guide/generate.md": _generated,
    "guide/learned-optimizers.md": _optimized,
    "guide/months.md": _drawings,
    "guide/own-pictures.md": _own_pictures,
    "guide/recommendation.md": _ratings,
    "guide/sentiment.md": _pages,
    "guide/serve.md": _served,
    "guide/support.md": _desk,
    "guide/tagging.md": _pages,
    "guide/texts.md": _asked,
    "guide/token-encoders.md": _words,
    "guide/tracking.md": _bought,
    "guide/watch.md": _pages,
}
"""By page, below `docs`."""
