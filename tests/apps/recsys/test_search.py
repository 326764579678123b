import pytest

from innerloop.apps.recsys.recommender import Recommender
from innerloop.core.errors import InputError
from tests.apps.recsys.small import trained


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    run = trained(tmp_path_factory.mktemp("ratings"))
    with pytest.warns(UserWarning, match="categories: kind"):
        return Recommender.load(run)


LIKES_A = {"Film 0": 5, "i2": 5, "film 4": 4, "Film 1": 1, "Film 3": 2}


def test_items_are_looked_for_by_the_beginnings_of_words(recommender):
    counts = recommender._encoding.counts
    known = recommender.search("film", 99)
    assert len(known) == len(recommender) == 30 and known == recommender.search("", 99)
    assert [int(counts[recommender.find(one.item)]) for one in known] == sorted(counts.tolist(), reverse=True)
    assert {one.item for one in recommender.search(" FILM 2")} == {"i2", *(f"i{n}" for n in range(20, 30))}
    assert recommender.search("2 film 7") == recommender.search("ilm") == [] and len(recommender.search("f", 3)) == 3
    assert [one.title for one in recommender.search("film 7")] == ["Film 7"]
    assert recommender.search("Film 2")[0].title == "Film 2"


def test_nobody_meets_the_ratings_of_another(recommender):
    first, second = recommender.another().fit(LIKES_A), recommender.another()
    with pytest.raises(InputError, match="call fit first"):
        second.recommend()
    before = first.recommend(5)
    second.fit({k: 6 - v for k, v in LIKES_A.items()}).recommend(5)
    assert first.recommend(5) == before
