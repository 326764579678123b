"""What a notebook shows of an object: the words that `str` has, then tables; text of any kind stays text."""

from collections.abc import Mapping, Sequence
from html import escape


def shown(words: str, *tables: Sequence[Sequence[object]]) -> str:
    """HTML of words and tables.

    Args:
        words: Before them; ends of lines are kept.
        tables: Rows of cells, of which the first row is the head.
    """
    return "".join([f'<p style="white-space: pre-line">{escape(words)}</p>', *map(_table, tables)])


def described(words: str, about: Mapping[str, object]) -> str:
    """HTML of what describes itself: a row for each value that is not empty.

    Args:
        words: Before them.
        about: Such as a sampler's `describe()`.
    """
    rows = [(name.replace("_", " "), value) for name, value in about.items() if value not in (None, "", [], {})]
    return shown(words, [("of it", "is"), *rows])


def _table(cells: Sequence[Sequence[object]]) -> str:
    head, *rows = cells
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def _cells(kind: str, cells: Sequence[object]) -> str:
    return "".join(f"<{kind}>{escape(str(cell))}</{kind}>" for cell in cells)
