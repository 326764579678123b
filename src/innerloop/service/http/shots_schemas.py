"""Answers about a task with fewer of its examples."""

from pydantic import BaseModel, ConfigDict, Field


class IntervalOut(BaseModel):
    """A number with half of its 95% interval."""

    mean: float | None
    ci95: float | None


class PointOut(IntervalOut):
    """The score with so many examples of each class."""

    shots: int


class GainOut(BaseModel):
    """What more examples bought."""

    model_config = ConfigDict(populate_by_name=True)
    less: int = Field(alias="from")
    more: int = Field(alias="to")
    difference: IntervalOut
    each: IntervalOut = Field(description="The same for one more example of every class.")


class ForecastOut(BaseModel):
    """What ten more examples of each class would bring; it is no measurement."""

    shots: int
    total: IntervalOut | None
    gain: IntervalOut | None = Field(description="Against the most that were measured.")
    reason: str


class ShotsOut(BaseModel):
    """How good a task is with fewer of its examples."""

    task: str
    version: int
    score: str
    points: list[PointOut]
    gains: list[GainOut]
    forecast: ForecastOut
