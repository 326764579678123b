"""Bodies of requests and answers, with the examples that stand in the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

from innerloop.fewshot.calibrate import Wanted
from innerloop.fewshot.settings import Head, Names
from innerloop.service.http.named import TaskName

# A field that nobody reads is a mistake that the client should hear of; so is a number sent as text.
_STRICT = ConfigDict(extra="forbid", strict=True)


class _First:
    """Has the first error end a list; pydantic's own `FailFast` cannot stand in a union, as it has no hash."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        schema["fail_fast"] = True  # pyright: ignore[reportGeneralTypeIssues]
        return schema


_FIRST = _First()
# The first error ends a list: an error for each of a million elements takes seconds, and gigabytes.
_Numbers = Annotated[list[float], _FIRST]
Share = Annotated[float | None, Field(gt=0, lt=1, allow_inf_nan=False)]
_Texts = Annotated[list[str], _FIRST]


class Error(BaseModel):
    """Why a request was refused."""

    error: str = Field(examples=["there is no task 'pets'"])


class Health(BaseModel):
    """That the server works."""

    status: str = Field(examples=["ok"])
    version: str = Field(examples=["0.1.0"])
    tasks: int = Field(description="Tasks in the store.", examples=[3])
    idempotency: bool = Field(description="Whether changes take an Idempotency-Key.", examples=[True])


class SourceOut(BaseModel):
    """What a task can be taught to."""

    name: str = Field(examples=["use-multilingual"])
    kind: str = Field(description="What raw examples are: pictures, sounds, texts or features.", examples=["texts"])
    about: str
    heads: bool = Field(description="Whether heads fit its rows: those of a frozen encoder, or of a run's map.")
    names: bool = Field(description="Whether it learns from names of classes: it has an encoder of texts.")


class AskedIn(BaseModel):
    """What is to be asked of a task's "none of these"; without both it is never answered."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"coverage": 0.9}]})
    strangers: Share = Field(None, description="Share of examples of no class that may pass as one.")
    coverage: Share = Field(None, description="In place of it: share of examples of the classes to be answered.")

    @property
    def wanted(self) -> Wanted:
        """The same as the store keeps it."""
        return Wanted(self.strangers, self.coverage)

    @model_validator(mode="after")
    def _one(self) -> "AskedIn":
        if None not in self.wanted:
            raise ValueError("one threshold cannot hold two shares: give strangers or coverage")
        return self


class TaskIn(AskedIn):
    """A task to make."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"name": "intents", "source": "use-multilingual", "strangers": 0.05}]}
    )
    name: TaskName
    source: str = Field(min_length=1, max_length=200)
    reject: Share = Field(None, description="What strangers was called before; it counts where strangers is not given.")
    head: Head | None = Field(
        None,
        description="What is fitted to the rows of a frozen encoder, or of a run's map; auto, the usual of encoders "
        "of texts and pictures: what is best on examples held out; own: the run's learner.",
    )
    names: Names | None = Field(
        None,
        description="Whether an encoder of texts learns from names of classes as from examples; auto, the usual: where "
        "the examples show that they mean something.",
    )
    descriptions: dict[str, str] | None = Field(None, description="What classes are, by their names.")
    prior: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="A source that is a run over the rows of the encoder `source`, which teaching starts from, such as "
        "polarity; none: the rows as they are.",
    )
    budget: int | None = Field(
        None, ge=1, lt=2**31, description="Examples of each class that are learned from at most, a uniform sample."
    )
    classes: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Classes that an encoder of texts knows by their names, before there is an example."
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.reject if self.strangers is None else self.strangers, self.coverage)


class ClassesIn(BaseModel):
    """Classes that are known by their names."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"classes": ["refund", "delivery"]}]})
    classes: Annotated[list[str], Field(min_length=1)]


class ClassOut(BaseModel):
    """A class of a task."""

    label: str
    examples: int


class TaskOut(BaseModel):
    """A task at its newest version."""

    name: str = Field(examples=["intents"])
    source: str = Field(examples=["use-multilingual"])
    kind: str = Field(examples=["texts"])
    version: int = Field(examples=[2])
    created: str = Field(examples=["2026-01-31T09:30:00.000Z"])
    classes: list[ClassOut]
    reject: float | None = Field(description="The share of strangers that was asked for.")
    coverage: float | None = Field(None, description="The coverage that was asked for in its place.")
    calibration: dict[str, Any] | None = Field(
        description="Temperature, threshold, coverage and what else was measured; null until it was adapted."
    )
    head: dict[str, Any] | None = Field(
        description="Of a frozen encoder: what was asked for, and once it was adapted what it came to and why."
    )
    names: dict[str, Any] | None = Field(
        description="Of an encoder of texts: whether names of classes are learned from, as was asked for, and why."
    )
    tuning: dict[str, Any] | None = Field(None, description="Whether its encoder was tuned before it came, and why.")
    budget: dict[str, Any] | None = Field(None, description="How many examples of each class stay, where it was asked.")
    drift: dict[str, Any] = Field(
        description="Whether it still answers what it was taught: by feedback, and by how far what is asked lies."
    )


class ExampleIn(BaseModel):
    """A labelled example: one of text, features, image and sound."""

    model_config = _STRICT
    label: str
    text: str | None = None
    features: _Numbers | None = None
    image: str | None = Field(None, description="A picture file in base64.")
    sound: str | None = Field(None, description="A WAV or FLAC file in base64.")


class ExamplesIn(BaseModel):
    """Labelled examples."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "examples": [
                        {"label": "balance", "text": "how much money do I have"},
                        {"label": "card", "text": "my card was stolen"},
                    ]
                }
            ]
        }
    )
    examples: Annotated[list[ExampleIn], _FIRST]


class PredictBody(BaseModel):
    """Examples to predict: one of texts, features, images and sounds."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"texts": ["what is on my account?"]}]})
    texts: _Texts | None = None
    features: Annotated[list[_Numbers], _FIRST] | None = None
    images: _Texts | None = Field(None, description="Picture files in base64.")
    sounds: _Texts | None = Field(None, description="WAV or FLAC files in base64.")


class TaughtOut(BaseModel):
    """What was learned."""

    version: int
    ids: list[int] = Field(description="Of the new examples, in the order given.")
    classes: list[ClassOut]
    notices: list[str] = Field(description="What was left out of zips.")


class HeldOut(BaseModel):
    """What is kept of a change until its last part is there."""

    version: int = Field(description="Of the task, as it stays until then.")
    held: int = Field(description="Examples of the change so far.")
    notices: list[str] = Field(description="What was left out of zips.")


class TableRow(BaseModel):
    """An example of a table."""

    text: str | None = None
    features: list[float] | None = None
    label: str | None = Field(description="Null: the table has no column of labels.")


class TableOut(BaseModel):
    """What a table holds."""

    examples: list[TableRow]
    notices: list[str] = Field(description="What was noticed, such as the encoding, and empty rows that were left out.")


class VersionOut(BaseModel):
    """The version that a change made."""

    version: int = Field(examples=[3])


class ExampleOut(BaseModel):
    """An example of a task."""

    id: int
    label: str
    added: str
    text: str | None = None
    picture: str | None = Field(None, description="Path of its thumbnail.")
    features: int | None = Field(None, description="Numbers of its feature vector.")


class RelabelIn(BaseModel):
    """Another class for an example."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"label": "card"}]})
    label: str


class NeighbourOut(BaseModel):
    """A taught example that is near to one that was asked."""

    label: str
    number: int = Field(description="In its class, from 1, in the order in which they were taught.")
    distance: float = Field(description="1 - cosine behind a frozen encoder, otherwise Euclidean.")
    example: int | None = Field(description="Its id; null where it was erased since.")
    text: str | None
    picture: str | None = Field(description="Path of its thumbnail.")


class PredictionOut(BaseModel):
    """About one example."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)
    id: str = Field(description="For feedback.")
    label: str | None = Field(alias="class", description="null: none of these.")
    accepted: bool
    probabilities: dict[str, float] = Field(description="Most probable first.")
    nearest: list[NeighbourOut] | None = Field(None, description="Where `explain` asks for them, nearest first.")
    set: list[str] | None = Field(None, description="Where `sets` asks for it: the classes, most probable first.")
    file: str | None = Field(None, description="Its name, where it came in a zip.")


class PredictionsOut(BaseModel):
    """About all examples of a request, in their order."""

    version: int
    predictions: list[PredictionOut]
    notices: list[str] | None = Field(None, description="What was left out of zips.")


class SuggestionOut(PredictionOut):
    """An example that is worth a label."""

    index: int = Field(description="Its place in the request, from 0.")


class SuggestionsOut(BaseModel):
    """Which examples to label next, the most telling first."""

    version: int
    suggestions: list[SuggestionOut]
    notices: list[str] | None = Field(None, description="What was left out of zips.")


class FeedbackIn(BaseModel):
    """What a prediction should have been, by its id or with the example itself."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"prediction": "k3J9xw2LQm0aZt1C", "label": "card"}]}
    )
    prediction: str | None = Field(None, max_length=64)
    label: str
    text: str | None = None
    features: _Numbers | None = None
    image: str | None = None
    sound: str | None = None


class ShareOut(BaseModel):
    """A share with its 95% interval."""

    value: float | None
    low: float
    high: float
    count: int
    of: int


class ClassScoreOut(BaseModel):
    """How one class is answered, or the mean of several."""

    precision: float
    recall: float
    f1: float
    support: int = Field(description="Examples that were asked.")


class PreviousOut(BaseModel):
    """An earlier version that was evaluated."""

    version: int
    accuracy: ShareOut


class EvaluationOut(BaseModel):
    """How good a task is."""

    task: str
    version: int
    source: str
    method: str = Field(examples=["5-fold cross-validation on 40 of its own examples"])
    folds: int | None
    accuracy: ShareOut = Field(description='Share that is named correctly; an answer "none of these" is not.')
    previous: PreviousOut | None = Field(description="The version before that was evaluated last.")
    classes: dict[str, ClassScoreOut]
    macro: ClassScoreOut
    weighted: ClassScoreOut
    confusion: dict[str, Any] = Field(description="classes, and counts: true ones down; last column: none of these.")
    risk_coverage: dict[str, Any]
    calibration: dict[str, Any]
    nll: float
    reject: float | None
    coverage: ShareOut = Field(description="Share that is answered.")
    accuracy_of_answered: ShareOut
    accuracy_if_forced: ShareOut
    strangers: dict[str, Any]
    wrong: int
    errors: list[dict[str, Any]] = Field(
        description="The clearest ones, by id; a wrong label is mostly among them. With the nearest taught."
    )
    notes: list[str]


class HistoryOut(BaseModel):
    """One version of a task."""

    version: int
    time: str
    action: str = Field(examples=["add 5 to card"])
    classes: int
    examples: int


class UndoIn(BaseModel):
    """The version to go back to; null: before the last change that was not undone yet."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"to": 1}]})
    to: Annotated[int | None, Field(ge=0, lt=2**31)] = None


class RollbackIn(BaseModel):
    """The version to go back to, as `UndoIn` was before."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"version": 1}]})
    version: Annotated[int, Field(ge=0, lt=2**31)]
