"""Recommenders of the service: what a request asks of one, done as Python and the command line do it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread

from innerloop.apps.recsys.catalogue import Item
from innerloop.apps.recsys.recommender import Recommended, Recommender
from innerloop.apps.recsys.runs import of_ratings
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.threads import on_one_core
from innerloop.service import task_names
from innerloop.service.http.errors import HTTPError
from innerloop.service.store import people
from innerloop.service.store.people import Person
from innerloop.service.store.records import Change
from innerloop.service.store.store import Store
from innerloop.tasks.ratings.somebody import About

if TYPE_CHECKING:
    from innerloop.service.http.service import Service

T = TypeVar("T")


class Asked(NamedTuple):
    """For whom something is to be recommended."""

    ratings: Mapping[str, float]
    """By names or titles of items."""
    person: str | None
    """Somebody whose ratings are kept, in place of them."""
    features: About = MappingProxyType({})
    """What is known of somebody besides, which is never kept."""


class Recommending:
    """What recommends in one worker.

    Args:
        worker: Whose store is used.
    """

    def __init__(self, worker: "Service"):
        self._worker = worker
        self._context = Context(allow=worker.settings.allow)
        self._loaded: dict[str, Recommender] = {}
        self._places: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._working = CapacityLimiter(worker.limits.workers_threads(worker.settings.workers))

    def serve(self, run: str) -> None:
        """Load a run of this machine, which is served under the name of its folder.

        Raises:
            InputError: It recommends nothing, or another one is called so.
        """
        place = Path(run).expanduser()
        name = task_names.of_file(place.resolve().name)
        if name in self._places:
            raise InputError(f"two runs are called '{name}': rename the folder of one of them")
        self._places[name] = place
        self._find(name)

    async def listed(self) -> list[tuple[str, Recommender, int]]:
        """All that can be loaded by name, and how many people each knows."""

        def look() -> list[tuple[str, Recommender]]:
            loaded = list[tuple[str, Recommender]]()
            for name in self._names():
                try:
                    loaded.append((name, self._find(name)))
                except InputError:  # a run of another learner, or one whose data are gone
                    continue
            return loaded

        counts = await self._worker.threads.read(people.counts, self._worker.store)
        return [(name, one, counts.get(name, 0)) for name, one in await to_thread.run_sync(look)]

    async def find(self, name: str) -> Recommender:
        """One of them, which nobody has rated for yet.

        Raises:
            HTTPError: There is none.
            InputError: It cannot be loaded.
        """
        return self._loaded[name].another() if name in self._loaded else await to_thread.run_sync(self._fresh, name)

    async def counted(self, name: str) -> tuple[Recommender, int]:
        """One of them, and how many people it knows."""
        counts = await self._worker.threads.read(people.counts, self._worker.store)
        return await self.find(name), counts.get(name, 0)

    async def recommend(
        self, name: str, asked: Asked, top: int, familiarity: float, diversity: float
    ) -> tuple[list[Recommended], list[str]]:
        """Items for somebody, best first, and what was noticed."""
        return await self._answer(name, asked, lambda one: one.recommend(top, familiarity, diversity))

    async def ask(self, name: str, asked: Asked, count: int, without: Sequence[str]) -> tuple[list[Item], list[str]]:
        """Items that are worth asking somebody about, and what was noticed."""

        def work(one: Recommender) -> list[Item]:
            return [one.item(one.find(title)) for title in one.ask(count, without)]

        return await self._answer(name, asked, work)

    async def search(self, name: str, text: str, count: int) -> list[Item]:
        """Items by words of their titles."""
        recommender = await self.find(name)
        return await self._compute(lambda: recommender.search(text, count))

    async def meet(self, store: Store, name: str, person: str, ratings: Mapping[str, float]) -> Person:
        """Keep somebody new."""
        if store.known() is None:
            known = await self._named(await self.find(name), ratings)
            await self._worker.threads.change(people.create, store, name, person, known)
        return await self.person(name, person)

    async def rate(
        self, store: Store, name: str, person: str, ratings: Mapping[str, float | None], seen: int | None
    ) -> int:
        """Keep ratings of somebody, or take them back where they are None; the version since."""
        if isinstance(known := store.known(), Change):
            return known.version
        named = await self._named(await self.find(name), ratings)
        return (await self._worker.threads.change(people.rate, store, name, person, named, seen)).version

    async def forget(self, store: Store, name: str, person: str, forever: bool) -> None:
        """Forget somebody with all ratings; forever: in every file of the store as well."""
        try:
            await self._worker.threads.change(people.forget, store, name, person, forever)
        finally:  # also where it was done before, and something held the files then
            if forever:
                await self._worker.threads.change(self._worker.store.database.scrub)

    async def people(self, name: str, limit: int, after: int) -> list[Person]:
        """A page of those whom it knows."""
        await self.find(name)
        return await self._worker.threads.read(people.listed, self._worker.store, name, limit, after)

    async def person(self, name: str, person: str) -> Person:
        """Somebody whom it knows."""
        return await self._worker.threads.read(people.find, self._worker.store, name, person)

    async def _answer(
        self, name: str, asked: Asked, work: Callable[[Recommender], list[T]]
    ) -> tuple[list[T], list[str]]:
        if asked.person is not None and asked.ratings:
            raise HTTPError(422, "ratings and a person were given: somebody whose ratings are kept is asked by name")
        recommender, notices = await self.find(name), list[str]()
        ratings = asked.ratings
        if asked.person is not None:
            ratings = (await self.person(name, asked.person)).ratings
            usable = {k: v for k, v in ratings.items() if recommender.named(k) and _fits(recommender, v)}
            if len(usable) < len(ratings):
                # They are kept: the run may be replaced by one that knows them again.
                notices.append(f"{len(ratings) - len(usable)} kept ratings are of nothing that this run knows")
            ratings = usable
        fitted = await self._compute(
            lambda: work(recommender.fit(_named(recommender, ratings), asked.features, notices.append))
        )
        return fitted, notices

    async def _named(self, recommender: Recommender, ratings: Mapping[str, float | None]) -> dict[str, float | None]:
        return await self._compute(lambda: _named(recommender, ratings))

    async def _compute(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(lambda: on_one_core(work), limiter=self._working)

    def _names(self) -> list[str]:
        folder = self._worker.settings.run_folder
        if folder is not None and folder.is_dir():
            for config in sorted(folder.glob("*/config.json")):
                name = config.parent.name
                if name not in self._places and name.isprintable() and of_ratings(config.parent):
                    self._places[name] = config.parent
        return sorted(self._places)

    def _fresh(self, name: str) -> Recommender:
        # What is offered, and nothing else: a client's text must never become a path.
        if name not in self._places and name not in self._names():
            known = ", ".join(self._names()[:20]) or "none"
            raise HTTPError(404, f"there is no recommender '{name[:100]}': this server has {known}")
        return self._find(name).another()

    def _find(self, name: str) -> Recommender:
        # One at a time: two who ask first would each read the same ratings.
        with self._lock:
            if name not in self._loaded:
                recommender = Recommender.load(self._places[name], self._context)
                recommender.fit({}).recommend(1)  # what is the same for everybody is made before somebody asks
                self._loaded[name] = recommender
            return self._loaded[name]


def _named(recommender: Recommender, ratings: Mapping[str, T]) -> dict[str, T]:
    """Ratings by names of items, none of them twice.

    Raises:
        InputError: An item is not known, is rated twice, or a rating is outside of the scale.
    """
    named, called = dict[str, T](), dict[str, str]()
    for text, value in ratings.items():
        item = recommender.item(recommender.find(text))
        if item.item in named:
            raise InputError(f"'{called[item.item]}' and '{text}' are one item: rate it once")
        if isinstance(value, int | float) and not _fits(recommender, value):
            low, high = recommender.scale
            above = "is not above 0: name only what was taken"
            what = above if recommender.behaviour else f"is outside of the scale from {low:g} to {high:g}"
            raise InputError(f"the rating {value:g} of '{text}' {what}")
        named[item.item], called[item.item] = value, text
    return named


def _fits(recommender: Recommender, value: float) -> bool:
    """Whether a rating is within the scale; of what people took, whether it was taken."""
    low, high = recommender.scale
    return value > 0 if recommender.behaviour else low <= value <= high
