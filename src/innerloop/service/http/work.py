"""What is done to a batch of examples, which may be of several requests and tasks."""

from collections.abc import Sequence

import numpy as np

from innerloop.core.errors import InputError
from innerloop.core.texts import FILES
from innerloop.fewshot.answers import Answer
from innerloop.fewshot.reading import Reading
from innerloop.fewshot.sources import Source
from innerloop.service.http import thumbnails
from innerloop.service.http.adapted import Adapted, Raw, encode
from innerloop.service.http.errors import HTTPError
from innerloop.service.stages import stage
from innerloop.tasks.images import Scan, scan


def encoded(asked: Sequence[tuple[Raw, Source]], pixels: int) -> list[np.ndarray]:
    """Rows of examples for several tasks of one source: together where they are read alike."""
    raw = [example for example, _ in asked]
    # Before any is decoded: few bytes can unfold to gigabytes.
    for example, source in asked:
        if example.kind in FILES and source.kind == "pictures":
            thumbnails.check(example.value, example.name, pixels)
    rows: dict[int, np.ndarray] = {}
    alike: dict[Reading, list[int]] = {}
    for i, (_, source) in enumerate(asked):
        alike.setdefault(source.reading, []).append(i)
    try:
        with stage("encoder"):
            for places in alike.values():
                rows |= zip(places, encode(asked[places[0]][1], [raw[i] for i in places]), strict=True)
    except InputError:
        for example in raw:  # an encoder does not know what a picture was called
            if example.kind == "pictures":
                thumbnails.thumbnail(example.value, example.name, pixels)
        raise
    return [rows[i] for i in range(len(raw))]


def answered(asked: Sequence[tuple[Raw, Adapted]], pixels: int) -> list[tuple[np.ndarray, Answer]]:
    """Rows and answers of examples of several tasks of one source: encoded together, answered task by task."""
    rows = encoded([(raw, adapted.source) for raw, adapted in asked], pixels)
    with stage("answer"):
        answers = of_rows([(row, raw, adapted) for row, (raw, adapted) in zip(rows, asked, strict=True)])
    return list(zip(rows, answers, strict=True))


def of_rows(asked: Sequence[tuple[np.ndarray, Raw, Adapted]]) -> list[Answer]:
    """Answers of several tasks to rows of examples, task by task."""
    results: list[Answer | None] = [None] * len(asked)
    tasks_asked: dict[int, list[int]] = {}
    for i, (row, raw, adapted) in enumerate(asked):
        if row.shape != adapted.shape:
            needed = int(np.prod(adapted.shape))
            raise HTTPError(422, f"{raw.name} has {row.size:,} numbers, and examples of this task have {needed:,}")
        tasks_asked.setdefault(id(adapted), []).append(i)
    for places in tasks_asked.values():
        rows, examples = [asked[i][0] for i in places], [asked[i][1] for i in places]
        for i, answer in zip(places, asked[places[0]][2].answer(rows, examples), strict=True):
            results[i] = answer
    return [one for one in results if one is not None]


def scanned(raw: Sequence[Raw], size: int) -> list[Scan]:
    return [scan(example.value, size, 1, example.name) for example in raw]


def small(raw: Sequence[Raw], pixels: int) -> list[tuple[bytes, str] | None]:
    return [thumbnails.thumbnail(r.value, r.name, pixels) if r.kind == "pictures" else None for r in raw]
