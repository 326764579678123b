"""A recommender of a service, for `Client.recommender`.

```python
with Client("http://127.0.0.1:8000") as client:
    films = client.recommender("films")
    for one in films.recommend({"Heat": 5, "Toy Story": 2}):
        print(one["title"], one["rating"], one["because"])
```
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from innerloop.service.connection import Connection

V = TypeVar("V")
Features = Mapping[str, str | float | Sequence[str]]
"""Values by column; several categories as a list."""
_AT_ONCE = 1_000
"""Ratings that are sent in one request."""


class Recommender:
    """One recommender of a service; every method asks the service.

    Args:
        client: The connection.
        name: Of the recommender, which is there.
    """

    def __init__(self, client: Connection, name: str):
        self.client, self.name = client, name
        self._path = f"api/recommenders/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"Recommender({self.name!r} at {self.client.url})"

    def show(self) -> dict[str, Any]:
        """What it is: `items`, `lowest`, `highest`, `step`, `behaviour`, `people`, `features` of somebody."""
        return self.client.request("GET", self._path).json()

    def search(self, text: str, limit: int = 20) -> list[dict[str, str]]:
        """Items by words of their titles, each with `item` and `title`, those that most have rated first."""
        return self.client.request("GET", f"{self._path}/items", params={"search": text, "limit": limit}).json()

    def recommend(
        self,
        ratings: Mapping[str, float],
        top: int = 10,
        familiarity: float = 0.0,
        diversity: float = 0.0,
        features: Features | None = None,
    ) -> list[dict[str, Any]]:
        """What somebody may like, best first: `item`, `title`, `rating`, `deviation`, `because` of items, `features`.

        Args:
            ratings: By names or titles of items; none are kept.
            top: How many.
            familiarity: What the logarithm of how many have rated an item adds to its rating in the order.
            diversity: From 0 to 1: how much an item loses by being like one before it.
            features: What is known of somebody besides, by the names that `show` lists; never kept.

        Raises:
            ServiceError: An item or a feature is not known, or a rating is outside of the scale.
        """
        how = {"top": top, "familiarity": familiarity, "diversity": diversity, **_known(features)}
        return self._recommended({"ratings": dict(ratings), **how})

    def ask(
        self,
        ratings: Mapping[str, float],
        count: int = 5,
        without: Sequence[str] = (),
        features: Features | None = None,
    ) -> list[dict[str, str]]:
        """What to ask somebody next, the most telling first, each with `item` and `title`.

        Args:
            ratings: As of `recommend`.
            count: How many.
            without: Items that are not asked for, such as those that somebody could not rate.
            features: As of `recommend`.

        Raises:
            ServiceError: As of `recommend`, or it is a run on what people took, which nobody rates.
        """
        return self._asked({"ratings": dict(ratings), "count": count, "without": list(without), **_known(features)})

    def people(self) -> Iterator["Person"]:
        """Everybody whose ratings are kept."""
        asked: dict[str, Any] = {"limit": 1000}
        while page := self.client.request("GET", f"{self._path}/people", params=asked).json():
            yield from (Person(self, one["name"]) for one in page)
            asked["after"] = page[-1]["id"]

    def person(self, name: str) -> "Person":
        """Somebody whose ratings are kept.

        Raises:
            ServiceError: There is nobody called so.
        """
        self.client.request("GET", f"{self._path}/people/{quote(name, safe='')}")
        return Person(self, name)

    def meet(self, name: str, ratings: Mapping[str, float] | None = None) -> "Person":
        """Keep the ratings of somebody under a name.

        Raises:
            ServiceError: The name is taken or no name, or a rating is wrong.
        """
        parts = _parts(ratings or {})
        body = {"name": name, "ratings": next(parts, {})}
        person = Person(self, self.client.request("POST", f"{self._path}/people", json=body).json()["name"])
        for part in parts:
            person.rate(part)
        return person

    def _recommended(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.client.request("POST", f"{self._path}/recommend", json=body, looks=True)
        return answer.json()["recommended"]

    def _asked(self, body: dict[str, Any]) -> list[dict[str, str]]:
        return self.client.request("POST", f"{self._path}/ask", json=body, looks=True).json()["items"]


class Person:
    """Somebody whose ratings a service keeps.

    Args:
        recommender: Of whom.
        name: Who.
    """

    def __init__(self, recommender: Recommender, name: str):
        self.recommender, self.name = recommender, name
        self._path = f"{recommender._path}/people/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"Person({self.name!r} of {self.recommender!r})"

    def show(self) -> dict[str, Any]:
        """`version`, `created` and `ratings`, each with `item`, `title` and `rating`."""
        return self.recommender.client.request("GET", self._path).json()

    def rate(self, ratings: Mapping[str, float | None]) -> int:
        """Keep further ratings, change them, or take them back where they are None; returns the version.

        Raises:
            ServiceError: An item is not known, or a rating is outside of the scale; nothing of the request is kept.
        """
        version = None
        for part in _parts(ratings):
            answer = self.recommender.client.request("POST", f"{self._path}/ratings", json={"ratings": part})
            version = answer.json()["version"]
        return self.show()["version"] if version is None else version

    def recommend(
        self, top: int = 10, familiarity: float = 0.0, diversity: float = 0.0, features: Features | None = None
    ) -> list[dict[str, Any]]:
        """As `Recommender.recommend`, by the ratings that are kept."""
        how = {"top": top, "familiarity": familiarity, "diversity": diversity, **_known(features)}
        return self.recommender._recommended({"person": self.name, **how})

    def ask(
        self, count: int = 5, without: Sequence[str] = (), features: Features | None = None
    ) -> list[dict[str, str]]:
        """As `Recommender.ask`, by the ratings that are kept."""
        how = {"count": count, "without": list(without), **_known(features)}
        return self.recommender._asked({"person": self.name, **how})

    def forget(self, forever: bool = False) -> None:
        """Forget all ratings, and the name.

        Args:
            forever: Overwrite their bytes in every file of the service as well.
        """
        self.recommender.client.request("DELETE", self._path, params={"forever": 1} if forever else None)


def listed(client: Connection) -> list[Recommender]:
    """All recommenders of a service, by name."""
    return [Recommender(client, one["name"]) for one in client.request("GET", "api/recommenders").json()]


def known(client: Connection, name: str) -> Recommender:
    """One of them; see `Client.recommender`."""
    recommender = Recommender(client, name)
    recommender.show()
    return recommender


def _known(features: Features | None) -> dict[str, Any]:
    """The field of a request; none where nothing is known, as services of before know no such field."""
    return {"features": dict(features)} if features else {}


def _parts(ratings: Mapping[str, V]) -> Iterator[dict[str, V]]:
    """As many ratings as go into a request, in their order."""
    left = iter(ratings.items())
    while part := dict(islice(left, _AT_ONCE)):
        yield part
