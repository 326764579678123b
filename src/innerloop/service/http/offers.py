"""What tasks may be taught to: shipped runs, encoders, the runs of this server, and what `.fewshot` files bring."""

import contextlib
import gc
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from innerloop.apps.recsys.runs import of_ratings
from innerloop.core.errors import InputError
from innerloop.encoders.base import Encoder
from innerloop.encoders.tuned import Tuned
from innerloop.fewshot import file, sources
from innerloop.fewshot.sources import Source
from innerloop.fewshot.task import Task
from innerloop.service.http.cache import Cache
from innerloop.service.http.errors import HTTPError
from innerloop.service.settings import Settings


class Offer(NamedTuple):
    """A source that tasks may be taught to."""

    name: str
    kind: str
    about: str
    heads: bool
    """Whether a head is fitted to its rows, which one may ask for."""
    names: bool
    """Whether it learns from names of classes."""


def is_file(name: str) -> bool:
    """Whether a source is a task that was taught before."""
    return Path(name).suffix == ".fewshot"


def is_source(name: str) -> bool:
    """Whether a name is one that tasks may be taught to, and neither such a file nor a run on ratings."""
    return not is_file(name) and not of_ratings(name)


def read_file(content: bytes, name: str, encoder: Callable[[str], Encoder | None]) -> Task:
    """The task in the content of a `.fewshot` file, which is a stranger's: no code that it names is imported.

    Args:
        content: Of the file.
        name: What errors call it.
        encoder: Finds the one that it names.

    Raises:
        InputError: It is damaged, of another version, or names what is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.fewshot"
        path.write_bytes(content)
        try:
            return file.read(path, encoder=encoder)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from error


class Sources:
    """What this server offers; nothing else can be named by a client, no path and no module."""

    def __init__(self, settings: Settings):
        self._allow, self._runs = settings.allow, settings.run_folder
        about = sources.names()
        listed = tuple(filter(is_source, settings.sources))
        named = listed if settings.sources else tuple(sources.installed())
        self._about = {name: about.get(name, "") for name in named}
        self._loaded: dict[str, Source] = {}
        # Clients send files, so there may be any number of them: only so many stay, and the store has them all.
        self._files: Cache[Source] = Cache(settings.limits.adapted, settings.limits.adapted_mb * 1e6, _weight)
        self._lock = threading.Lock()
        for name in listed:
            self.find(name)  # a mistake in the command is told at once

    def offers(self) -> list[Offer]:
        """All of them, by name; what cannot be loaded is left out."""
        offers, known = [], sources.names()
        for name in [*self._about, *self._run_names()]:
            with contextlib.suppress(InputError, HTTPError):
                if name in known and name not in self._loaded:
                    # A shipped run over the rows of an encoder is a map of these.
                    kind, encoded = sources.kind(name), sources.encoder_of(name) is not None
                    offers.append(Offer(name, kind, known[name], encoded, encoded and kind == "texts"))
                    continue
                source = self.find(name)
                about = self._about.get(name) or f"{type(source.learner).__name__}, a run of this server"
                heads, names = source.takes_heads, source.names is not None
                offers.append(Offer(name, source.kind, about, heads, names))
        return offers

    def find(self, name: str) -> Source:
        """A source that is offered; it is loaded when it is first asked for.

        Raises:
            HTTPError: It is not offered.
            InputError: It cannot be loaded.
        """
        if (source := self._loaded.get(name)) is not None:
            return source
        # What is offered, and nothing else: a client's text must never become a path or a module.
        if name not in self._about and name not in self._run_names():
            known = ", ".join([*self._about, *self._run_names()][:20]) or "none"
            raise HTTPError(422, f"this server offers no source '{name[:100]}': it has {known}")
        # One at a time: two who ask first would each load the same encoder.
        with self._lock:
            if name not in self._loaded:
                place = name if name in self._about or self._runs is None else self._runs / name
                self._loaded[name] = sources.source(place, self._allow)
                gc.freeze()  # looking through all that was imported would stop every thread for a tenth of a second
        return self._loaded[name]

    def loaded(self, name: str, digest: str | None) -> Source | None:
        """A source that is in memory, or what a file was taught to, if it is."""
        return self._loaded.get(name) if digest is None else self._files.find(digest)

    def of_file(self, digest: str, content: Callable[[], bytes]) -> Source:
        """What a `.fewshot` file was taught to; it is read where it is not in memory.

        Raises:
            InputError: It cannot be read any more.
        """
        return self._files.get(digest, lambda: read_file(content(), "the file of this task", self.encoder).source)

    def encoder(self, name: str) -> Encoder | None:
        """An encoder that is offered.

        Raises:
            HTTPError: It is not.
        """
        return self.find(name).encoder

    def keep(self, digest: str, source: Source) -> None:
        """Have what a file was taught to in memory."""
        self._files.put(digest, source)

    def _run_names(self) -> list[str]:
        if self._runs is None or not self._runs.is_dir():
            return []
        return sorted(p.parent.name for p in self._runs.glob("*/params.safetensors") if p.parent.name.isprintable())


def _weight(source: Source) -> int:
    tuned = source.encoder.nbytes if isinstance(source.encoder, Tuned) else 0
    return sum(tensor.nbytes for tensor in source.params.values()) + tuned + 4096
