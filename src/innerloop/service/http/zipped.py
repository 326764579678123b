"""Zips of pictures or sounds in a request: read as Python and the command line do, and bounded as a request is."""

import io

from innerloop.core.errors import InputError
from innerloop.service.http import thumbnails
from innerloop.service.http.adapted import Raw
from innerloop.service.http.apart import apart
from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits
from innerloop.tasks import picture_files
from innerloop.tasks.audio import is_sound
from innerloop.tasks.zips import Packed

ENDING = ".zip"
_TIMES = 4
"""What a zip unpacks to, in sizes of the largest request: pictures hardly shrink."""


async def unpacked(content: bytes, name: str, labelled: bool, limits: Limits) -> tuple[list[Raw], list[str]]:
    """The pictures or sounds of a zip, and a line about what was left out of it.

    Args:
        content: Of the zip.
        name: What errors call it.
        labelled: Whether its folders are the classes.
        limits: How many and how large they may be together.

    Raises:
        InputError: It cannot be read, or has no classes where they are asked for.
        HTTPError: There is too much in it.
    """
    return await apart("zips", _unpacked, content, name, labelled, limits)


def raw(content: bytes, name: str, file: str | None = None) -> Raw:
    """A picture or a sound as a client sent it; other arguments as of `Raw`."""
    return Raw("sounds" if is_sound(content, name) else "pictures", content, name, file=file)


def _unpacked(content: bytes, name: str, labelled: bool, limits: Limits) -> tuple[list[Raw], list[str]]:
    listing = picture_files.of_zip(io.BytesIO(content), name, picture_files.SOUNDS)
    kind = "sounds" if listing.files else "pictures"
    if kind == "sounds":
        picture_files.refuse_mixed(listing, name)
    else:
        listing = picture_files.of_zip(io.BytesIO(content), name)
        thumbnails.leave_out_others(listing, name)
    if len(listing.files) > limits.batch:
        raise HTTPError(413, f"{name} holds {len(listing.files):,} {kind}, and {limits.batch} is most: send several")
    size = sum(file.entry.file_size for file in listing.files)
    if size > _TIMES * limits.body_mb * 1e6:
        raise HTTPError(413, f"{name} unpacks to {size:,} bytes, and {_TIMES * limits.body_mb:g} MB is most: split it")
    if labelled:
        picture_files.refuse_parent(listing, name, ())
        classes = picture_files.labelled(listing, name, kind)
        given = [_raw(file)._replace(label=label) for label, files in classes.items() for file in files]
    else:
        picture_files.drop_damaged(listing, name)
        given = [_raw(file) for file in listing.files]
    if not given:
        left = f": {picture_files.notice(listing.left)}" if listing.left else ""
        raise InputError(f"{name} holds no picture or sound that can be read{left}: pack some")
    return given, [f"{name}: {picture_files.notice(listing.left)}"] if listing.left else []


def _raw(file: Packed) -> Raw:
    return raw(bytes(file.read()), file.name, file.name)
