"""Bodies of answers about runs."""

from typing import Any

from pydantic import BaseModel, Field


class RunOut(BaseModel):
    """A run folder."""

    name: str
    learner: str | None
    data: str | None
    steps: int | None
    score: str | None = Field(description="Title of what it is scored by; null where the run does not say.")
    tests: list[dict[str, Any]]


class ComparisonOut(BaseModel):
    """Results of one protocol, side by side."""

    hash: str = Field(description="Of the protocol.")
    conditions: str = Field(examples=["600 episodes, inductive, 5-way 1-shot omniglot test"])
    measured: str = Field(description="What the intervals and differences are.")
    rows: list[dict[str, Any]] = Field(description="Tests with their run and their difference to the first.")


class RunDetails(BaseModel):
    """What a run was, how it learned, and what it reached."""

    name: str
    config: dict[str, Any]
    score: str | None = Field(description="As of the list.")
    metrics: list[dict[str, Any]]
    tests: list[dict[str, Any]]
