"""What comes without training on the source: pixels, a run of the package, and a network trained on photographs."""

import io
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from innerloop.apps.transfer.training import Entry
from innerloop.core.aligned import from_numpy
from innerloop.core.context import Context
from innerloop.encoders.base import Encoder
from innerloop.fewshot import sources
from innerloop.learners.baselines.logistic_regression import LogisticRegression
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks import cache
from innerloop.tasks.contact_sheet import bytes_of
from innerloop.tasks.pool import Pool
from innerloop.tasks.progress import track
from innerloop.tasks.resized import resized

RUN, PHOTOGRAPHS = "kanji-protonet", "efficientnet-lite0"


def shipped(target: Pool, context: Context) -> Iterator[tuple[Entry, Pool]]:
    """Entries for a target, each with the target's pool as it sees it.

    Args:
        target: As it was read.
        context: Where features are kept.
    """
    yield Entry("pixels, nearest centroid", NearestCentroid(), {}), target
    run = sources.source(RUN)
    assert run.shape is not None  # it was trained on pictures
    grey = resized(target, run.shape[-1], 1, ink="light")
    yield Entry(f"{RUN} (shipped)", run.learner, run.params), grey
    if PHOTOGRAPHS in sources.installed():
        encoder = sources.source(PHOTOGRAPHS).encoder
        assert encoder is not None
        rows = encoded(target, encoder, context)
        yield Entry(f"{PHOTOGRAPHS}, logistic regression", LogisticRegression(), {}), rows


def encoded(pool: Pool, encoder: Encoder, context: Context) -> Pool:
    """The pool of an encoder's rows, made once and kept in the cache folder."""
    arrays = cache.cached(
        context, f"transfer-{PHOTOGRAPHS}-v1-{pool.digest}", lambda: {"rows": _encode(pool, encoder)}, ("rows",)
    )
    rows = from_numpy(arrays["rows"])
    return Pool(data=rows, counts=pool.counts, names=pool.names, dataset=pool.dataset, split=pool.split)


def _encode(pool: Pool, encoder: Encoder) -> np.ndarray:
    data = resized(pool, pool.shape[-1], 3).data
    rows: np.ndarray | None = None
    shown = track(range(len(pool)), f"encoding {pool.dataset}", len(pool))
    for i in shown:
        count = int(pool.counts[i])
        features = encoder.encode([_file(x) for x in data[i, :count]])
        if rows is None:
            rows = np.zeros((*data.shape[:2], features.shape[1]), np.float32)  # padding stays 0
        rows[i, :count] = features.numpy()
    assert rows is not None  # a pool has classes
    return rows


def _file(x: Tensor) -> bytes:
    """A picture as the content of a file, without loss."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(bytes_of(x.float() / 255, turned=False)).save(out, "PNG", compress_level=1)
    return out.getvalue()
