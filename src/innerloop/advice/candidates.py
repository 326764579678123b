"""What could be used for some data: examples as they are, frozen encoders with a head, runs that are shipped."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from innerloop.advice.material import Material
from innerloop.core.aligned import from_numpy
from innerloop.core.dry_run import outputs as answered
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.fewshot import heads, rows, sources
from innerloop.fewshot.settings import Head
from innerloop.learners.baselines.nearest_centroid import NearestCentroid

Family = Literal["plain", "encoder", "meta"]
"""plain: nothing was learned from other data. encoder: features that were learned otherwise. meta: meta-trained."""
SIDE = 28
"""Side of the grey pictures that pixels are, and that shipped runs take."""
_LETTERS, _BUCKETS = (1, 2, 3), 4096
_EVERYWHERE = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A way to learn the classes."""

    name: str
    family: Family
    learner: Learner
    params: Params
    rows: Tensor
    """[n, ...] the examples as it takes them."""
    source: str | None = None
    """What `innerloop adapt` calls it; None: it is not to be had there."""
    head: Head | None = None
    drawings: bool = False
    """Whether its rows are of drawings in ink, which runs on such take."""

    def adapt(self) -> str:
        """Options of `innerloop adapt` by which it is used."""
        return f"{self.source}" + ("" if self.head is None else f" --head {self.head}")


def plain(material: Material) -> Candidate:
    """Nearest centroid without any network: of grey pixels, of weighted runs of letters, or of the numbers."""
    drawings = False
    if material.kind == "texts":
        x, name, distance = letters([str(text) for text in material.raw]), "letters (TF-IDF centroid)", "cosine"
    elif material.kind == "pictures":
        x, drawings = pixels(material)
        name, distance = "pixels (centroid)", "squared_euclidean"
    else:
        x, distance = material.raw, "squared_euclidean"
        name = "log-mel pictures (centroid)" if material.kind == "sounds" else "the numbers (centroid)"
    learner = NearestCentroid(distance=distance)
    return Candidate(name=name, family="plain", learner=learner, params={}, rows=torch.as_tensor(x), drawings=drawings)


def pixels(material: Material) -> tuple[Tensor, bool]:
    """[n, 1, side, side] uint8 pictures in grey, and whether they are drawings, whose ink is made bright."""
    how = {"size": SIDE, "channels": 1, "ink": "auto"}
    raw, shape = material.raw, (1, SIDE, SIDE)
    if isinstance(raw, Tensor) and tuple(raw.shape[1:]) == shape:
        return raw, True
    for ink in ("auto", "light"):
        source = sources.of_learner(NearestCentroid(), {}, shape, how | {"ink": ink})
        try:
            return rows.read(material.pictures(), source, teaching=True)[0], ink == "auto"
        except InputError:  # of photographs among drawings, or what cannot be read in either way
            if ink == "light":
                raise
    raise AssertionError


def letters(texts: list[str]) -> Tensor:
    """[n, buckets] float32 weights of runs of one to three letters, in any script: TF-IDF, hashed.

    How common a run is, is counted in all of these texts, without their classes.
    """
    counts = np.zeros((len(texts), _BUCKETS), np.float32)
    for i, text in enumerate(texts):
        word = f" {' '.join(text.casefold().split())} "
        for length in _LETTERS:
            for j in range(len(word) - length + 1):
                counts[i, _bucket(word[j : j + length])] += 1
    held = (counts > 0).sum(0)
    idf = np.log((1 + len(texts)) / (1 + held)) + _EVERYWHERE
    return from_numpy(np.log1p(counts) * idf.astype(np.float32))


def _bucket(run: str) -> int:
    """A place for a run of letters, the same everywhere: FNV-1a."""
    value = 0x811C9DC5
    for byte in run.encode(errors="surrogatepass"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % _BUCKETS


def of_sources(material: Material, pixel_rows: Tensor | None, ways: int) -> list[Candidate]:
    """Frozen encoders with a centroid, and shipped runs, whose packages are installed.

    Args:
        material: The examples.
        pixel_rows: As of `pixels`, for runs on drawings.
        ways: Classes of a task; runs that take fewer are left out.
    """
    if material.kind not in ("pictures", "texts"):
        return []
    encoded: dict[str, Tensor] = {}
    candidates: list[Candidate] = []
    for name in sources.installed():
        if sources.kind(name) != material.kind:
            continue
        source = sources.source(name)
        encoder = sources.encoder_of(name)
        if encoder == name:
            encoded[name] = rows.floats(rows.read(_raw(material), source, teaching=True)[0])
            candidates.append(_headed(name, "centroid", encoded[name]))
            continue
        if not source.learner.gives_probabilities or source.learner.stochastic:
            continue  # it makes examples, or answers by chance
        x = pixel_rows if encoder is None else encoded.get(encoder)
        if x is None or source.shape != tuple(x.shape[1:]):
            continue
        learner = replace(source.learner, transductive=False)
        if answered(learner, source.params, tuple(x.shape[1:]), ways) != ways:
            continue
        candidates.append(
            Candidate(name=name, family="meta", learner=learner, params=source.params, rows=x, source=name)
        )
    return candidates


def linear(best: Candidate) -> Candidate:
    """Logistic regression on the rows of an encoder, or on the numbers themselves."""
    name = best.source or best.name.removesuffix(" (centroid)")
    return replace(_headed(name, "linear", best.rows), family=best.family, source=best.source)


def _headed(name: str, head: Head, x: Tensor) -> Candidate:
    word = "logistic regression" if head == "linear" else head
    learner = heads.plain(head)
    return Candidate(
        name=f"{name} ({word})",
        family="encoder",
        learner=learner,
        params=learner.init(0),
        rows=x,
        source=name,
        head=head,
    )


def _raw(material: Material) -> Any:
    return material.pictures() if material.kind == "pictures" else list(material.raw)
