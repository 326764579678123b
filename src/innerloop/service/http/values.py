"""One example of a request, and JSON: read and checked, however the request is made."""

import base64
import binascii
import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from innerloop.service.http.adapted import Raw
from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits

T = TypeVar("T", bound=BaseModel)


def count(n: int, limits: Limits) -> None:
    """Refuse a number of examples that one request cannot have.

    Raises:
        HTTPError: It is none, or too many.
    """
    if not n:
        raise HTTPError(422, "there is no example in the request: give at least one")
    if n > limits.batch:
        raise HTTPError(
            413, f"there are {n:,} examples in one request, and {limits.batch} is most: send several requests"
        )


def text(value: str, name: str, limits: Limits) -> Raw:
    """A text.

    Args:
        value: As it came.
        name: What errors call it.
        limits: Of its length.

    Raises:
        HTTPError: It is empty or too long.
    """
    if len(value) > limits.text:
        raise HTTPError(422, f"{name} has {len(value):,} characters, and {limits.text:,} is most")
    if not value.strip():
        raise HTTPError(422, f"{name} is empty: give a text")
    return Raw("texts", value.encode("utf-8", "replace").decode(), name)  # half of a character becomes a question mark


def features(value: Sequence[float], name: str, limits: Limits) -> Raw:
    """A vector of numbers; arguments as of `text`.

    Raises:
        HTTPError: It has too many, or one that is no finite 32-bit number.
    """
    if not 1 <= len(value) <= limits.features:
        raise HTTPError(422, f"{name} has {len(value):,} numbers; 1 to {limits.features:,} are taken")
    # Rows are of 32 bits, where anything larger becomes infinite.
    wrong = next((i for i, v in enumerate(value) if not math.isfinite(v) or abs(v) > 3e38), None)
    if wrong is not None:
        raise HTTPError(422, f"{name}[{wrong}] is NaN, infinite, or beyond 32-bit numbers: remove or fill it")
    return Raw("features", value, name)


def image(value: str, name: str, limits: Limits) -> Raw:
    """A picture file in base64, as `decoded` reads it."""
    return Raw("pictures", decoded(value, name), name)


def sound(value: str, name: str, limits: Limits) -> Raw:
    """A sound file in base64, likewise."""
    return Raw("sounds", decoded(value, name), name)


def decoded(value: str, name: str) -> bytes:
    """What base64 holds, also behind the head of a data URL.

    Raises:
        HTTPError: It is none.
    """
    if value.startswith("data:"):
        value = value.partition(",")[2]
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPError(422, f"{name} is not base64 ({error})") from error


def parsed(content: bytes) -> Any:
    """What is in JSON.

    Raises:
        HTTPError: It is none, or holds what JSON has no word for.
    """
    # How deep it is nested, and how much it holds, was counted while it was read (`counting`, in the guard).
    with contextlib.suppress(ValueError):  # the same values in less than half of the time
        return from_json(content, allow_inf_nan=False)
    try:  # marks of the byte order and halves of characters, or a message that says what is wrong
        value = json.loads(content, parse_constant=_constant)
    except RecursionError:
        raise HTTPError(400, "the body is nested too deeply: send a flat one") from None
    except ValueError as error:
        raise HTTPError(400, f"the body is not JSON: {str(error)[:200]}") from error
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def validated(model: type[T], value: Any) -> T:
    """A body as its model has it.

    Raises:
        HTTPError: It is not as the model says.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise HTTPError(422, first(error.errors(include_url=False, include_context=False))) from error


def first(errors: Sequence[Any]) -> str:
    """What a validation found, as one message: the first error, and how many more there are."""
    where = ".".join(str(part) for part in errors[0]["loc"] if part != "body")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where[:200] or 'the body'}: {errors[0]['msg']}{more}"


READ = {"texts": text, "features": features, "images": image, "sounds": sound}
"""What reads an example of each field of a request."""
