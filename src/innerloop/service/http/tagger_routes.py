"""`/api/taggers`: making taggers of tagged sentences, tagging texts, correcting, going back."""

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from innerloop.apps.ner.settings import SOURCE
from innerloop.service import task_names
from innerloop.service.http import payload
from innerloop.service.http.access import Reach
from innerloop.service.http.apart import apart
from innerloop.service.http.named import TaskName
from innerloop.service.http.routes import REFUSALS, Asked, Expected, Forever, Worker
from innerloop.service.http.schemas import UndoIn, VersionOut
from innerloop.service.store.taggers import Kept

router = APIRouter(prefix="/api/taggers", responses=REFUSALS, tags=["taggers"])
Name = Annotated[TaskName, Path(description="Of the tagger.")]
_STRICT = ConfigDict(extra="forbid", strict=True)
_ENTITY = {"start": 0, "end": 12, "type": "person"}
_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "Tagged sentences (CoNLL or JSON), or a .fewshot file with all its versions.",
        },
        "name": {"type": "string", "description": f"Of the tagger: {task_names.RULE}; without it, that of the file."},
        "source": {
            "type": "string",
            "description": "What reads the words of tagged sentences; a .fewshot file brings its own.",
        },
    },
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


class EntityIn(BaseModel):
    """An entity of a text."""

    model_config = _STRICT
    start: int = Field(ge=0, description="Its first character, counted from 0 in characters of Unicode.")
    end: int = Field(ge=1, description="The one after its last.")
    type: str


class SentenceIn(BaseModel):
    """A tagged text."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"text": "Ada Lovelace wrote it.", "entities": [_ENTITY]}]}
    )
    text: str
    entities: list[EntityIn] = Field([], max_length=1_000)


class TaggerIn(BaseModel):
    """A tagger to make."""

    model_config = _STRICT
    name: TaskName
    source: str = Field(SOURCE, description="What it starts from: a run for taggers, or what reads the words.")
    sentences: list[SentenceIn] = Field(min_length=1)


class SentencesIn(BaseModel):
    """Tagged texts to learn from."""

    model_config = _STRICT
    sentences: list[SentenceIn] = Field(min_length=1)


class TextsIn(BaseModel):
    """Texts to tag."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"texts": ["Grace Hopper came to London."]}]})
    texts: list[str] = Field(min_length=1)


class TypeOut(BaseModel):
    """A type of entities."""

    type: str
    entities: int = Field(description="How many it was taught.")


class TaggerOut(BaseModel):
    """A tagger."""

    name: str
    source: str
    version: int
    created: str
    sentences: int
    types: list[TypeOut]


class TakenOut(TaggerOut):
    """A tagger of a file."""

    notices: list[str] = Field(description="What was noticed, such as the encoding, or entities that began with I-.")


class TaggersOut(BaseModel):
    """All taggers, and what new ones may be made with."""

    taggers: list[TaggerOut]
    sources: list[str]


class EntityOut(BaseModel):
    """An entity that was found."""

    start: int
    end: int
    type: str
    text: str
    confidence: float


class TextOut(BaseModel):
    """A text that was tagged."""

    text: str
    words: list[tuple[int, int]] = Field(description="Start and end of each word.")
    entities: list[EntityOut]


class WordsOut(BaseModel):
    """A text that was cut into words."""

    text: str
    words: list[tuple[int, int]] = Field(description="Start and end of each word.")


class CutOut(BaseModel):
    """Texts that were cut into words."""

    texts: list[WordsOut]


class TaggedOut(BaseModel):
    """Texts that were tagged, by one version."""

    version: int
    texts: list[TextOut]


class HistoryOut(BaseModel):
    """A version of a tagger."""

    version: int
    time: str
    action: str
    sentences: int
    types: int


def _out(kept: Kept) -> TaggerOut:
    about = kept.about
    types = [TypeOut(type=kind, entities=count) for kind, count in about["types"].items()]
    return TaggerOut(
        name=kept.name,
        source=about["source"],
        version=kept.version,
        created=kept.created,
        sentences=about["sentences"],
        types=types,
    )


@router.post("/{name}/tag")
async def tag(name: Name, body: TextsIn, worker: Worker) -> TaggedOut:
    """The entities of texts, with their places in characters and how sure each is."""
    version, texts = await worker.tagging.tag(name, body.texts)
    return TaggedOut(version=version, texts=[TextOut(**one) for one in texts])


@router.get("")
async def taggers(worker: Worker, reach: Reach) -> TaggersOut:
    """All taggers that the key is for, by name, and what words can be read by."""
    kept = await worker.tagging.listed()
    return TaggersOut(taggers=[_out(one) for one in kept if one.name in reach], sources=list(worker.tagging.sources))


@router.post("", status_code=201)
async def create(body: TaggerIn, worker: Worker, store: Asked, reach: Reach) -> TaggerOut:
    """Make a tagger of tagged texts."""
    # The name is in the body, where `permitted` cannot see it.
    reach.check(body.name)
    sentences = [one.model_dump() for one in body.sentences]
    return _out(await worker.tagging.create(store, body.name, body.source, sentences))


@router.post("/import", status_code=201, openapi_extra=_BODY)
async def take(request: Request, worker: Worker, store: Asked, reach: Reach) -> TakenOut:
    """Make a tagger of a file: of tagged sentences as `innerloop ner adapt` reads them, or what that wrote."""
    sent = await payload.tagger_file(request)
    name = sent.name or task_names.of_file(PurePath(sent.file).stem)
    reach.check(name)
    kept, notices = await worker.tagging.take(store, name, sent.source, sent.file, sent.content)
    return TakenOut(**_out(kept).model_dump(), notices=notices)


@router.post("/words")
async def words(body: TextsIn, worker: Worker) -> CutOut:
    """The words of texts, as every tagger cuts them: entities are marked in whole words."""
    cut = await apart("words", worker.tagging.cut, body.texts)
    return CutOut(texts=[WordsOut(text=text, words=list(words)) for text, words in cut])


@router.get("/{name}")
async def show(name: Name, worker: Worker) -> TaggerOut:
    """One tagger."""
    return _out(await worker.tagging.find(name))


@router.delete("/{name}", status_code=204)
async def delete(name: Name, worker: Worker, store: Asked, forever: Forever = False) -> None:
    """Forget a tagger with all its sentences and versions."""
    await worker.tagging.delete(store, name, forever)


@router.post("/{name}/sentences", status_code=201)
async def teach(name: Name, body: SentencesIn, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Teach more tagged texts, such as corrected answers; new types are learned with them."""
    sentences = [one.model_dump() for one in body.sentences]
    return VersionOut(version=await worker.tagging.teach(store, name, sentences, seen))


@router.delete("/{name}/types/{type:path}")
async def drop(name: Name, type: str, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Forget a type."""
    return VersionOut(version=await worker.tagging.drop(store, name, type, seen))


@router.get("/{name}/versions")
async def versions(name: Name, worker: Worker) -> list[HistoryOut]:
    """Every version there was, oldest first."""
    return [HistoryOut(**one) for one in await worker.tagging.versions(name)]


@router.post("/{name}/undo")
async def undo(name: Name, worker: Worker, seen: Expected, store: Asked, body: UndoIn | None = None) -> VersionOut:
    """Make a new version that holds what an old one held: the one before the last change, or any."""
    return VersionOut(version=await worker.tagging.undo(store, name, None if body is None else body.to, seen))


@router.post("/{name}/redo")
async def redo(name: Name, worker: Worker, seen: Expected, store: Asked) -> VersionOut:
    """Take back the last undo, as long as nothing was changed since."""
    return VersionOut(version=await worker.tagging.redo(store, name, seen))


@router.get("/{name}/download", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
async def download(name: Name, worker: Worker) -> Response:
    """The tagger as a portable file with all its versions, for `innerloop ner` and `FewShotTagger.load`."""
    content: Any = await worker.tagging.file(name)
    headers = {"content-disposition": task_names.disposition(name)}
    return Response(content, media_type="application/octet-stream", headers=headers)
