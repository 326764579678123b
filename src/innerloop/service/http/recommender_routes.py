"""`/api/recommenders`: what somebody may like, why, and what to ask next; people whose ratings are kept."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from innerloop.apps.recsys.catalogue import Item
from innerloop.apps.recsys.recommender import Recommended, Recommender
from innerloop.service.http.named import TaskName
from innerloop.service.http.recommending import Asked as For
from innerloop.service.http.routes import REFUSALS, Asked, Expected, Forever, Worker
from innerloop.service.http.schemas import VersionOut
from innerloop.service.store.people import Person

router = APIRouter(prefix="/api/recommenders", responses=REFUSALS, tags=["recommenders"])
Name = Annotated[TaskName, Path(description="Of the recommender, which is the folder of its run.")]
Who = Annotated[TaskName, Path(description="Somebody whose ratings are kept.")]
_STRICT = ConfigDict(extra="forbid", strict=True)
_RATED: dict[str, Any] = {"Heat": 5, "Toy Story": 2}
_MOST = 2_000
"""Ratings in one request."""
_LONGEST = 1_000
"""Items in one list, and people in one page."""
_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Value = Annotated[float, Field(allow_inf_nan=False)]
_FEATURES = 200
"""Columns that are told of somebody, and categories that are listed of one."""
_Feature = _Text | _Value | Annotated[list[_Text], Field(max_length=_FEATURES)]
_Ratings = Annotated[
    dict[_Text, _Value], Field(max_length=_MOST, description="By names or titles of items.", examples=[_RATED])
]


class WhomIn(BaseModel):
    """Somebody, by ratings that are given or that are kept."""

    model_config = _STRICT
    ratings: _Ratings = {}
    person: TaskName | None = Field(None, description="Somebody whose ratings are kept, in place of ratings.")
    features: dict[_Text, _Feature] = Field(
        {},
        max_length=_FEATURES,
        description="What is known of somebody besides, by names of `features` of the recommender; it is never kept.",
        examples=[{"age": 30}],
    )

    @property
    def asked(self) -> For:
        """For whom it is."""
        return For(self.ratings, self.person, self.features)


class RecommendationIn(WhomIn):
    """For whom, and how many."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"ratings": _RATED, "top": 10}]})
    top: int = Field(10, ge=1, le=_LONGEST)
    familiarity: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="What the logarithm of how many have rated an item adds to its rating in the order of the list.",
    )
    diversity: float = Field(
        0.0, ge=0, le=1, description="How much an item loses by being like one before it in the list."
    )


class OnboardingIn(WhomIn):
    """Whom, and how many questions."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"ratings": _RATED, "count": 5}]})
    count: int = Field(5, ge=1, le=100)
    without: list[_Text] = Field(
        [], max_length=_MOST, description="Items that are not asked for, such as unknown ones."
    )


class PersonIn(BaseModel):
    """Somebody whose ratings are to be kept."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"name": "ada", "ratings": _RATED}]})
    name: TaskName
    ratings: _Ratings = {}


class RatingsIn(BaseModel):
    """Ratings to keep."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"ratings": {"Heat": 4, "Toy Story": None}}]})
    ratings: dict[_Text, _Value | None] = Field(
        min_length=1, max_length=_MOST, description="By names or titles of items; null takes one back."
    )


class FeatureOut(BaseModel):
    """What may be told of somebody."""

    name: str
    kind: str = Field(description="category, categories (several) or number.", examples=["category"])
    values: list[str] = Field(description=f"Categories that training knows, the first {_FEATURES}; none of numbers.")


class RecommenderOut(BaseModel):
    """A recommender."""

    name: str
    items: int
    lowest: float = Field(description="Of the scale of ratings.")
    highest: float
    step: float | None = Field(description="What known ratings are multiples of: 1, or 0.5; null where they are finer.")
    behaviour: bool = Field(description="Whether it is of what people took: any rating then says that an item was.")
    people: int = Field(description="How many people's ratings are kept.")
    features: list[FeatureOut] = Field(description="What may be told of somebody besides ratings.")


class ItemOut(BaseModel):
    """An item."""

    item: str = Field(description="Its name.")
    title: str = Field(description="What people call it, and told from others of that title by its name.")


class ReasonOut(BaseModel):
    """What raises a rating that is foreseen: a rated item, or a feature."""

    title: str
    share: float = Field(description="By how much.")


class RecommendedOut(ItemOut):
    """An item that somebody may like."""

    rating: float = Field(description="Foreseen, within the scale; of behaviour, the chance that it is taken next.")
    deviation: float | None = Field(description="How far the rating may be from that; null of a chance.")
    because: list[ReasonOut]
    features: list[ReasonOut] = Field(description="Its own features that raise it most, as `column: value`.")


class RecommendationsOut(BaseModel):
    """Items, best first."""

    recommended: list[RecommendedOut]
    notices: list[str] = Field(description="What was noticed, such as kept ratings of items that are gone.")


class QuestionsOut(BaseModel):
    """Items that are worth asking about, the most telling first."""

    items: list[ItemOut]
    notices: list[str]


class RatedOut(ItemOut):
    """A rating that is kept."""

    rating: float


class PersonOut(BaseModel):
    """Somebody whose ratings are kept."""

    id: int = Field(description="For the next page of a list.")
    name: str
    created: str
    version: int
    ratings: list[RatedOut]


def _item(one: Item) -> ItemOut:
    return ItemOut(item=one.item, title=one.title)


def _recommended(one: Recommended) -> RecommendedOut:
    because, features = (
        [ReasonOut(title=title, share=share) for title, share in some] for some in (one.because, one.features)
    )
    return RecommendedOut(
        item=one.item, title=one.title, rating=one.rating, deviation=one.deviation, because=because, features=features
    )


def _person(recommender: Recommender, one: Person) -> PersonOut:
    rated = list[RatedOut]()
    for name, rating in one.ratings.items():
        item = recommender.named(name) or Item(name, name)
        rated.append(RatedOut(item=item.item, title=item.title, rating=rating))
    return PersonOut(id=one.id, name=one.name, created=one.created, version=one.version, ratings=rated)


@router.get("")
async def recommenders(worker: Worker) -> list[RecommenderOut]:
    """All recommenders by name."""
    return [_about(name, one, count) for name, one, count in await worker.recommending.listed()]


def _about(name: str, one: Recommender, count: int) -> RecommenderOut:
    low, high = one.scale
    return RecommenderOut(
        name=name,
        items=len(one),
        lowest=low,
        highest=high,
        step=one.step,
        behaviour=one.behaviour,
        people=count,
        features=[FeatureOut(name=one.name, kind=one.kind, values=list(one.values[:_FEATURES])) for one in one.columns],
    )


@router.get("/{name}")
async def show(name: Name, worker: Worker) -> RecommenderOut:
    """One recommender."""
    return _about(name, *await worker.recommending.counted(name))


@router.get("/{name}/items")
async def search(
    name: Name,
    worker: Worker,
    search: Annotated[str, Query(max_length=200, description="Words of a title, or how they begin.")] = "",
    limit: Annotated[int, Query(ge=1, le=_LONGEST)] = 20,
) -> list[ItemOut]:
    """Items by words of their titles, those that most have rated first."""
    return [_item(one) for one in await worker.recommending.search(name, search, limit)]


@router.post("/{name}/recommend")
async def recommend(name: Name, body: RecommendationIn, worker: Worker) -> RecommendationsOut:
    """What somebody may like, best first, and the rated items that are the reason."""
    items, notices = await worker.recommending.recommend(name, body.asked, body.top, body.familiarity, body.diversity)
    return RecommendationsOut(recommended=[_recommended(one) for one in items], notices=notices)


@router.post("/{name}/ask")
async def ask(name: Name, body: OnboardingIn, worker: Worker) -> QuestionsOut:
    """What to ask somebody next: the items whose ratings would tell most about all others."""
    items, notices = await worker.recommending.ask(name, body.asked, body.count, body.without)
    return QuestionsOut(items=[_item(one) for one in items], notices=notices)


@router.get("/{name}/people")
async def people(
    name: Name,
    worker: Worker,
    limit: Annotated[int, Query(ge=1, le=_LONGEST)] = 100,
    after: Annotated[int, Query(ge=0, description="The id of the last one of the page before.")] = 0,
) -> list[PersonOut]:
    """People whose ratings are kept, a page of them."""
    recommender = await worker.recommending.find(name)
    return [_person(recommender, one) for one in await worker.recommending.people(name, limit, after)]


@router.post("/{name}/people", status_code=201)
async def meet(name: Name, body: PersonIn, worker: Worker, store: Asked) -> PersonOut:
    """Keep the ratings of somebody under a name."""
    person = await worker.recommending.meet(store, name, body.name, body.ratings)
    return _person(await worker.recommending.find(name), person)


@router.get("/{name}/people/{person}")
async def look(name: Name, person: Who, worker: Worker) -> PersonOut:
    """Somebody's ratings that are kept."""
    recommender = await worker.recommending.find(name)
    return _person(recommender, await worker.recommending.person(name, person))


@router.post("/{name}/people/{person}/ratings", status_code=201)
async def rate(name: Name, person: Who, body: RatingsIn, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Keep further ratings of somebody, change them, or take them back."""
    return VersionOut(version=await worker.recommending.rate(store, name, person, body.ratings, seen))


@router.delete("/{name}/people/{person}", status_code=204)
async def forget(name: Name, person: Who, worker: Worker, store: Asked, forever: Forever = False) -> Response:
    """Forget somebody with all ratings."""
    await worker.recommending.forget(store, name, person, forever)
    return Response(status_code=204)
