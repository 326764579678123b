"""Items by what people call them."""

import difflib
from functools import cached_property
from typing import NamedTuple

from innerloop.apps.recsys.search import matching
from innerloop.core.errors import InputError
from innerloop.tasks.notices import warn
from innerloop.tasks.ratings.table import Ratings, Whole

_NEAR = 3
_COMPARED = 100
"""Characters of what is called like no item, by which the nearest are looked for."""


class Item(NamedTuple):
    """What may be rated."""

    item: str
    """Its name."""
    title: str


class Catalogue:
    """The items of a table of ratings, by name and by title."""

    def __init__(self, table: Ratings):
        """The items of this table."""
        self._table = table

    def find(self, item: str) -> int:
        """The position of an item, by its name or its title. A name that is another's title as well is said.

        Raises:
            InputError: It is not known, or several have the title.
        """
        titled = self._titled.get(item.strip().casefold(), ())
        if (named := self._named.get(item)) is not None:
            if (other := next((i for i in titled if i != named), None)) is not None:
                warn(
                    f"'{item}' is taken for the name of '{self.title(named)}', not for the title of "
                    f"{self._table.item_names[other]}"
                )
            return named
        if len(titled) > 1:
            titles = ", ".join(f"'{self.title(i)}'" for i in titled[:_NEAR])
            raise InputError(f"{len(titled)} items are called '{item}': say which, such as {titles}")
        if not titled:
            called = {title: some[0] for title, some in self._titled.items() if len(some) == 1} | self._named
            near = difflib.get_close_matches(item[:_COMPARED].casefold(), called, _NEAR, 0.4)
            titles = ", ".join(f"'{self.title(called[n])}'" for n in near)
            raise InputError(
                f"there is no item '{item[:_COMPARED]}'" + (f"; the nearest are {titles}" if titles else "")
            )
        return titled[0]

    def item(self, position: int) -> Item:
        """The item at a position."""
        return Item(self._table.item_names[position], self.title(position))

    def named(self, name: str) -> Item | None:
        """The item of this name; None: there is none."""
        position = self._named.get(name)
        return None if position is None else self.item(position)

    def search(self, text: str, counts: Whole, most: int) -> list[Item]:
        """Items by words of their titles; arguments as of `search.matching`."""
        return [self.item(i) for i in matching(self._titles, counts, text, most)]

    def title(self, position: int) -> str:
        """What people call the item at a position; its name is added where several are called so."""
        name = self._table.item_names[position]
        title = self._table.titles[position] if self._table.titles else name
        return f"{title} ({name})" if len(self._titled.get(title.casefold(), ())) > 1 else title

    @cached_property
    def _titles(self) -> list[str]:
        return [self.title(i).casefold() for i in range(len(self._table.item_names))]

    @cached_property
    def _named(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._table.item_names)}

    @cached_property
    def _titled(self) -> dict[str, tuple[int, ...]]:
        positions: dict[str, tuple[int, ...]] = {}
        for i, title in enumerate(self._table.titles):
            positions[title.casefold()] = (*positions.get(title.casefold(), ()), i)
        shared = [(title, some) for title, some in positions.items() if len(some) > 1]
        return positions | {
            f"{title} ({self._table.item_names[i]})".casefold(): (i,) for title, some in shared for i in some
        }
