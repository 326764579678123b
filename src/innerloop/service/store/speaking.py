"""Connections of psycopg that are spoken to as those of `sqlite3` are, in its SQL."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from innerloop.service.store import dialect


class Row:
    """A row, by number or by the name of a column."""

    __slots__ = ("_places", "_values")

    def __init__(self, values: Sequence[Any], places: dict[str, int]):
        self._values, self._places = values, places

    def keys(self) -> Iterable[str]:
        """Names of its columns."""
        return self._places

    def __getitem__(self, key: Any) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def rows(cursor: Any) -> Callable[[Sequence[Any]], Row]:
    """What psycopg makes rows by."""
    places: dict[str, int] = {column.name: i for i, column in enumerate(cursor.description or ())}
    return lambda values: Row(values, places)


class Counted:
    """What an insertion came to, whose row has a number.

    Args:
        cursor: Of psycopg, which gives that number.
    """

    def __init__(self, cursor: Any):
        self.rowcount: int = cursor.rowcount
        row = cursor.fetchone()
        self.lastrowid: int | None = None if row is None else row[0]

    def fetchone(self) -> None:
        """Nothing."""
        return

    def fetchall(self) -> list[Any]:
        """Nothing."""
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Speaking:
    """A `database.Connection`.

    Args:
        raw: Of psycopg, with `rows`.
    """

    def __init__(self, raw: Any):
        self.raw = raw

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run a statement."""
        if sql.startswith("INSERT"):
            known = dialect.inserting(sql)
            cursor = self.raw.execute(known, parameters)
            return Counted(cursor) if cursor.description else cursor
        return self.raw.execute(dialect.statement(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run a statement for each of many values, without waiting for one before the next is sent."""
        with self.raw.cursor() as cursor:
            cursor.executemany(dialect.statement(sql), parameters)
