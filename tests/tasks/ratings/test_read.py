from dataclasses import replace

import numpy as np
import pytest

from innerloop.core.errors import InputError
from innerloop.tasks.ratings import RatingOptions, is_ratings, load
from innerloop.tasks.ratings.read import from_file

HEADER = "user,item,rating,time\n"


def written(folder, text, name="ratings.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_table_in_any_order_of_columns_and_usual_names(tmp_path):
    path = written(tmp_path, "Rating;movie;User ID;item_id\n4;x;a;7\n2.5;y;b;7\n")
    table = from_file(path)
    assert (table.user_names, table.item_names, table.values.tolist()) == (("a", "b"), ("7",), [4.0, 2.5])
    assert table.scale == (2.5, 4.0) and table.times is None and is_ratings(path)
    assert not is_ratings(written(tmp_path, "text,label\na,b\n", "texts.csv"))


def test_a_table_is_claimed_without_a_rating_and_without_a_header(tmp_path):
    for text in ("user,item\na,x\n", "user,item,comment\na,x,y\n", "a,x,4\n", "1,31,2.5,1260759144\n"):
        assert is_ratings(written(tmp_path, text))
    for text in (
        "text,label\na,b\n",
        "user,item,text\na,x,y\n",
        "a,b\n1,2\n",
        "text,label,4b\n",
        "a,b,1,2,3\n",
        ",,4\n",
    ):
        assert not is_ratings(written(tmp_path, text))


def test_clicks_are_rows_of_1_whatever_else_is_there(tmp_path):
    said, options = [], RatingOptions(behaviour=True)
    path = written(tmp_path, "user,item,rating\na,x,bad\na,x,worse\nb,y,\n")
    table = from_file(path, options, said.append)
    assert table.behaviour and table.values.tolist() == [1.0, 1.0] and table.repeated == 1
    assert "1 rows of a pair that is there again" in said[0]
    liked = from_file(written(tmp_path, "user,item,rating\na,x,5\na,y,1\n"), replace(options, least=4.0))
    assert len(liked) == 1 and liked.scale == (0.0, 1.0)


def test_texts_of_items_are_kept_as_such_and_items_that_nobody_rated_with_them(tmp_path):
    path = written(tmp_path, "user,item,rating\na,x,1\nb,y,5\n")
    items = written(
        tmp_path, "item,title,description,tags\nx,Up,A house flies,fun|air\nz,Alien,,dark|space\n", "items.csv"
    )
    options = RatingOptions(item_features=str(items), texts=True)
    with pytest.warns(UserWarning, match="several categories: tags; texts: description; 1 of 3 items have no line"):
        table = load(str(path), options)
    assert table.item_names == ("x", "y", "z") and table.titles == ("Up", "y", "Alien")
    assert table.words == ["Up. A house flies. fun, air", "y", "Alien. dark, space"]
    with pytest.warns(UserWarning, match="1 of 2 items have no line"):
        assert load(str(path), replace(options, texts=False)).item_names == ("x", "y")


def test_of_ratings_of_one_pair_the_latest_is_kept_and_counted(tmp_path):
    said = []
    path = written(tmp_path, HEADER + "a,x,1,2026-03-01\na,x,5,2026-01-01\nb,x,2,2026-02-01T10:00\n")
    table = from_file(path, say=said.append)
    assert table.values.tolist() == [1.0, 2.0] and table.repeated == 1 and "1 ratings of a pair" in said[0]
    untimed = from_file(written(tmp_path, "user,item,rating\na,x,1\na,x,5\n"), say=said.append)
    assert untimed.values.tolist() == [5.0]  # the last line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,31,2.5,9\n1,32,3,10\n", "first line must name the columns user, item, rating; it has '1', '31'"),
        (HEADER + "a,x,good,1\n", "line 2: the rating 'good' is no number"),
        (HEADER + "a,x,nan,1\n", "line 2: the rating 'nan' is no number"),
        (HEADER + "a,x,3,1\nb,x,9,2\n", "line 3: the rating 9 is outside of the scale from 1 to 5"),
        (HEADER + "a,x,3,yesterday\n", "line 2: the time 'yesterday' is neither a number nor a date"),
        (HEADER + "a,x,3,2026-01-01\nb,x,3,2026\n", "line 3: the time '2026' is a number, and those before are dates"),
        (HEADER + "a,x,3\n", "line 2 has 3 cells, and the header names 4"),
        (HEADER + ",x,3,1\n", "line 2 has no user"),
        (HEADER, "has no rating"),
        ("", "first line must name"),
        (HEADER + 'a,x,3,1\n"b,y,2,1\n' + "c,z,1,1\n" * 20_000, "line 3: field larger than .* written in quotes"),
        ("user,item,rating,item\na,x,3,y\n", "names the column 'item' twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, said):
    with pytest.raises(InputError, match="(?s)" + said):
        from_file(written(tmp_path, text), RatingOptions(scale=(1, 5)))


def test_features_are_sorted_by_what_cells_hold(tmp_path):
    path = written(tmp_path, "user,item,rating\na,x,1\na,y,5\nb,z,2\n")
    items = written(
        tmp_path, "itemId,title,year,genre,code\nx,Up,2009,Comedy|Drama,1\ny,Alien,,Horror,2\n", "items.csv"
    )
    users = written(tmp_path, "user,age\nb,30\na,40\nq,7\n", "users.csv")
    options = RatingOptions(user_features=str(users), item_features=str(items), categories=("code",))
    with pytest.warns(UserWarning, match="categories: code; several categories: genre; numbers: year; 1 of 3 items"):
        table = load(str(path), options)
    known = table.item_features
    assert known.several == {"genre": [("Comedy", "Drama"), ("Horror",), ()]}
    assert known.categories == {"code": ["1", "2", ""]}
    assert np.array_equal(known.numbers["year"], [2009, np.nan, np.nan], equal_nan=True)
    assert table.titles == ("Up", "Alien", "z") and table.user_features.numbers["age"].tolist() == [40, 30]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title,year\nUp,2009\n", "must name a column item"),
        ("item,year\nx,1\nx,2\n", "line 3: item 'x' is there twice"),
        ("item,year\nq,1\n", "names none of the 1 items"),
        (f"item,tags\nx,{'|'.join(map(str, range(201)))}\n", "column 'tags' has 201 values in one cell"),
    ],
)
def test_files_of_features_are_refused_with_the_reason(tmp_path, text, said):
    path, items = written(tmp_path, "user,item,rating\na,x,1\n"), written(tmp_path, text, "items.csv")
    with pytest.raises(InputError, match=said):
        from_file(path, RatingOptions(item_features=str(items)))
