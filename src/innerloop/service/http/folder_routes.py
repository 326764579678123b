"""`/api/tasks/{name}/folder`: which pictures of a folder or zip are read, and of which class, before any is sent.

The page asks it, so that what is dropped there is read by the rules of Python and the command line. Of a zip it sends
the directory at its end alone, and unpacks by itself what it is told to.
"""

import io
from typing import Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from innerloop.core.errors import InputError
from innerloop.core.texts import FILES
from innerloop.service.http import payload, thumbnails
from innerloop.service.http.apart import apart
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Name, Worker
from innerloop.service.limits import Limits
from innerloop.tasks import picture_files, zips
from innerloop.tasks.picture_files import Listing, Sent

router = APIRouter(prefix="/api", responses=REFUSALS)
_FORM = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "zip": {"type": "string", "format": "binary", "description": "A zip, or the directory at its end."},
        "names": {
            "type": "string",
            "format": "binary",
            "description": "In place of it: names of a folder's files, one a line in UTF-8, with / between folders.",
        },
    },
}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


class FileOut(BaseModel):
    """A picture that is read."""

    index: int = Field(description="Its place among the names, or in the directory of the zip, from 0.")
    name: str = Field(description="Below the folder.")
    label: str | None = Field(description="Its class; null: it lies in no folder, or classes were not asked for.")


class FolderOut(BaseModel):
    """What of a folder is read."""

    files: list[FileOut]
    notices: list[str] = Field(description="What is left out.")


@router.post("/tasks/{name}/folder", tags=["examples"], openapi_extra=_BODY)
async def read_folder(
    name: Name,
    request: Request,
    worker: Worker,
    classes: bool = Query(True, description="Whether its folders are classes; all pictures of each are of its class."),
) -> FolderOut:
    """Which pictures or sounds of a folder or a zip are read, and of which class; nothing is learned from it yet."""
    called, content, packed = await payload.folder(request)
    task, known = await worker.threads.read(worker.store.described, name)
    if task.kind not in FILES:
        raise HTTPError(422, f"task '{name}' is taught {task.kind}: a folder or zip is of pictures or sounds")
    asked = (called, content, packed, list(known) if classes else None, task.kind, worker.limits)
    return await apart("folders", _read, *asked)


def _read(called: str, content: bytes, packed: bool, known: list[str] | None, kind: str, limits: Limits) -> FolderOut:
    suffixes = picture_files.endings_of(kind)
    listing = _in_zip(called, content, suffixes) if packed else _named(called, content, suffixes)
    if kind == "pictures":
        thumbnails.leave_out_others(listing, called)
    else:
        picture_files.refuse_mixed(listing, called)
    labels: dict[int, str] = {}
    files = listing.files
    if known is not None and listing.classes:
        picture_files.refuse_parent(listing, called, known)
        of_class = picture_files.labelled(listing, called, kind)
        files = [file for some in of_class.values() for file in some]
        labels = {
            file.index: payload.label(name, limits, f"the folder '{name[:50]}'")
            for name, some in of_class.items()
            for file in some
        }
    if not files:
        left = f": {picture_files.notice(listing.left)}" if listing.left else ""
        raise InputError(f"{called} holds no {picture_files.ONE[kind]}{left}: put some in it")
    if len(files) > limits.examples:
        raise HTTPError(
            413, f"{called} holds {len(files):,} {kind}, and a task learns from {limits.examples:,} at most"
        )
    read = [
        FileOut(index=file.index, name=file.name.removeprefix(f"{called}/"), label=labels.get(file.index))
        for file in files
    ]
    return FolderOut(files=read, notices=[f"{called}: {picture_files.notice(listing.left)}"] if listing.left else [])


def _in_zip(called: str, content: bytes, suffixes: tuple[str, ...] | None) -> Listing[Sent]:
    listing = picture_files.of_zip(io.BytesIO(content), called, suffixes)
    archive = listing.files[0].archive if listing.files else None
    places = {} if archive is None else {id(entry): i for i, entry in enumerate(archive.infolist())}
    # Without their content: what is damaged is seen by who unpacks it.
    classes = {name: [Sent(one.name, places[id(one.entry)]) for one in some] for name, some in listing.classes.items()}
    return Listing(classes, [Sent(one.name, places[id(one.entry)]) for one in listing.loose], listing.left)


def _named(called: str, content: bytes, suffixes: tuple[str, ...] | None) -> Listing[Sent]:
    try:
        names = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise HTTPError(400, "the names of the files are not UTF-8: rename them") from error
    if len(names) > zips.COUNT:
        raise HTTPError(413, f"{called} holds {len(names):,} files, and {zips.COUNT:,} are most: take a part of it")
    return picture_files.of_names(names, called, suffixes)
