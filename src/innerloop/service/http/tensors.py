"""Tensors of the Open Inference Protocol, version 2, as examples, and answers as tensors.

Data stand in JSON, or behind it in bytes (the extension for binary tensor data): `Inference-Header-Content-Length` says
where the JSON ends. Texts and files are BYTES, each four bytes of its length and then its own.
"""

import io
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from innerloop.fewshot.calibrate import NONE
from innerloop.service.http import values
from innerloop.service.http.adapted import Raw
from innerloop.service.http.errors import HTTPError
from innerloop.service.limits import Limits

LENGTH = "inference-header-content-length"
"""Header with the number of bytes of JSON, where more comes behind."""
TYPES = {"FP32": "<f4", "FP64": "<f8", "UINT8": "u1", "INT32": "<i4", "INT64": "<i8"}
"""Numbers that are read, by the protocol's names."""
OUTPUTS = {"label": "BYTES", "accepted": "BOOL", "probabilities": "FP32", "classes": "BYTES", "prediction": "BYTES"}
"""What is answered: the class of each, whether it is one, how probable the `classes` are, and its id for feedback."""
_STRICT = ConfigDict(extra="forbid", strict=True)
_DTYPES = {"BOOL": "?", "FP32": "<f4"}
_FILES = {"images": "pictures", "sounds": "sounds"}
_BINARY, _EVERY, _SIZE = "binary_data", "binary_data_output", "binary_data_size"


class TensorIn(BaseModel):
    """A tensor that is asked about."""

    model_config = _STRICT
    name: str = Field(examples=["texts"])
    datatype: str = Field(examples=["BYTES"])
    shape: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1, max_length=4, examples=[[1]])
    parameters: dict[str, Any] = {}
    data: list[Any] | None = Field(None, description="Flat, or nested as the shape is.")


class OutputIn(BaseModel):
    """An output that is asked for."""

    model_config = _STRICT
    name: str = Field(examples=["label"])
    parameters: dict[str, Any] = {}


class InferIn(BaseModel):
    """A request of inference."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": [{"name": "texts", "datatype": "BYTES", "shape": [1], "data": ["what is on my account?"]}]}
            ]
        }
    )
    id: str | None = Field(None, max_length=200)
    parameters: dict[str, Any] = {}
    inputs: list[TensorIn]
    outputs: list[OutputIn] | None = None


class Inference(NamedTuple):
    """What a request asks."""

    body: InferIn
    raw: list[Raw]


def read(content: bytes, length: str | None, limits: Limits) -> Inference:
    """A request's examples.

    Args:
        content: The body.
        length: What `LENGTH` says; None: all is JSON.
        limits: Of one request.

    Raises:
        HTTPError: A tensor is of the wrong name, type or shape, or its data are none; the message names it.
    """
    head = len(content) if length is None else _length(length, len(content))
    body = values.validated(InferIn, values.parsed(content[:head]))
    _check_outputs(body)
    if len(body.inputs) != 1:
        known = ", ".join(values.READ)
        got = " and ".join(f"'{one.name[:50]}'" for one in body.inputs) or "none"
        raise HTTPError(422, f"give one input, which is one of {known}, got {got}")
    tensor = body.inputs[0]
    if tensor.name not in values.READ:
        raise HTTPError(422, f"there is no input '{tensor.name[:50]}': give one of {', '.join(values.READ)}")
    behind = _behind(tensor, content[head:])
    values.count(tensor.shape[0], limits)
    return Inference(body, _raw(tensor, behind, limits))


def inputs(kind: str) -> list[dict[str, Any]]:
    """What a task of a kind is asked with, as metadata say it."""
    if kind == "features":
        return [{"name": "features", "datatype": "FP32", "shape": [-1, -1]}]
    name = next((field for field, files in _FILES.items() if files == kind), "texts")
    return [{"name": name, "datatype": "BYTES", "shape": [-1]}]


def outputs(classes: int) -> list[dict[str, Any]]:
    """What is answered where there are so many classes, as metadata say it."""
    shapes = {"probabilities": [-1, classes], "classes": [classes]}
    return [{"name": name, "datatype": kind, "shape": shapes.get(name, [-1])} for name, kind in OUTPUTS.items()]


def answer(
    name: str, version: int, body: InferIn, predictions: Sequence[Mapping[str, Any]]
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer.

    Args:
        name: Of the task.
        version: That answered.
        body: What was asked.
        predictions: As `Service.predict` has them.
    """
    classes = sorted(predictions[0]["probabilities"])
    columns: dict[str, tuple[list[int], list[Any]]] = {
        "label": ([len(predictions)], [one["class"] if one["accepted"] else NONE for one in predictions]),
        "accepted": ([len(predictions)], [one["accepted"] for one in predictions]),
        "probabilities": (
            [len(predictions), len(classes)],
            [one["probabilities"][label] for one in predictions for label in classes],
        ),
        "classes": ([len(classes)], classes),
        "prediction": ([len(predictions)], [one["id"] for one in predictions]),
    }
    every = body.parameters.get(_EVERY, False)
    wanted = body.outputs or [OutputIn(name=one) for one in OUTPUTS]
    tensors, blobs = list[dict[str, Any]](), list[bytes]()
    for one in wanted:
        shape, data = columns[one.name]
        tensor: dict[str, Any] = {"name": one.name, "datatype": OUTPUTS[one.name], "shape": shape}
        if one.parameters.get(_BINARY, every):
            blobs.append(_packed(OUTPUTS[one.name], data))
            tensor["parameters"] = {_SIZE: len(blobs[-1])}
        elif OUTPUTS[one.name] == "FP32":
            tensor["data"] = np.asarray(data, np.float32).tolist()
        else:
            tensor["data"] = data
        tensors.append(tensor)
    about = {"model_name": name, "model_version": str(version)} | ({} if body.id is None else {"id": body.id})
    head = json.dumps(about | {"outputs": tensors}).encode()
    if not blobs:
        return head, {"content-type": "application/json"}
    return b"".join([head, *blobs]), {"content-type": "application/octet-stream", LENGTH: str(len(head))}


def _length(said: str, most: int) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 16 and int(said) <= most):
        raise HTTPError(400, f"Inference-Header-Content-Length is {said[:50]!r}, and the body has {most:,} bytes")
    return int(said)


def _check_outputs(body: InferIn) -> None:
    names = [one.name for one in body.outputs or ()]
    if len(set(names)) < len(names):  # each again is as much to write as all that was asked
        raise HTTPError(422, "an output is asked for twice: ask for each once")
    for one in body.outputs or ():
        if one.name not in OUTPUTS:
            raise HTTPError(422, f"there is no output '{one.name[:50]}': ask for some of {', '.join(OUTPUTS)}")
        if strange := next((name for name in one.parameters if name != _BINARY), None):
            raise HTTPError(422, f"output '{one.name}' takes no parameter '{strange[:50]}': {_BINARY} alone is known")
        _check_flag(one.parameters, _BINARY)
    _check_flag(body.parameters, _EVERY)


def _check_flag(parameters: Mapping[str, Any], name: str) -> None:
    if not isinstance(parameters.get(name, False), bool):
        raise HTTPError(422, f"the parameter {name} must be true or false")


def _behind(tensor: TensorIn, rest: bytes) -> bytes | None:
    """The bytes of a tensor; None: its data stand in JSON."""
    if strange := next((name for name in tensor.parameters if name.startswith("shared_memory")), None):
        raise HTTPError(422, f"input '{tensor.name}' has {strange}: this server shares no memory, send the data")
    size = tensor.parameters.get(_SIZE)
    if (size is None) == (tensor.data is None):
        raise HTTPError(422, f"input '{tensor.name}' must have data, or {_SIZE} and the bytes behind the JSON")
    if (0 if size is None else size) != len(rest):
        raise HTTPError(
            422, f"input '{tensor.name}' has {size or 0} bytes as {_SIZE} says, and {len(rest):,} are behind the JSON"
        )
    return None if size is None else rest


def _raw(tensor: TensorIn, behind: bytes | None, limits: Limits) -> list[Raw]:
    name, shape = tensor.name, tensor.shape
    if name == "features":
        if len(shape) != 2:
            raise _wrong_shape(tensor, "[n, numbers]")
        rows = _numbers(tensor, behind, limits).reshape(shape)
        return [values.features(row.tolist(), f"{name}[{i}]", limits) for i, row in enumerate(rows)]
    if name == "images" and tensor.datatype == "UINT8":
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
            raise _wrong_shape(tensor, "[n, height, width], or the same with 1 or 3 colours")
        if not shape[1] or not shape[2]:
            raise _wrong_shape(tensor, "pictures of at least one pixel")
        pixels = shape[1] * shape[2]
        if pixels > limits.pixels:
            raise HTTPError(422, f"each of {name} has {pixels:,} pixels, and {limits.pixels:,} is most")
        arrays = _numbers(tensor, behind, limits, pictures=True).reshape(shape)
        return [Raw("pictures", _png(array), f"{name}[{i}]") for i, array in enumerate(arrays)]
    if tensor.datatype != "BYTES":
        raise HTTPError(422, f"input '{name}' is {tensor.datatype[:20]}, and must be {_types(name)}")
    if len(shape) > 2 or shape[1:] not in ([], [1]):
        raise _wrong_shape(tensor, "[n] or [n, 1]")
    return _strings(tensor, behind, limits)


def _types(name: str) -> str:
    return {"features": " or ".join(TYPES), "images": "BYTES or UINT8"}.get(name, "BYTES")


def _wrong_shape(tensor: TensorIn, needed: str) -> HTTPError:
    return HTTPError(422, f"input '{tensor.name}' has the shape {tensor.shape}, and must have {needed}")


def _numbers(tensor: TensorIn, behind: bytes | None, limits: Limits, pictures: bool = False) -> np.ndarray:
    """Flat numbers of a tensor, as many as its shape says."""
    if tensor.datatype not in TYPES:
        raise HTTPError(422, f"input '{tensor.name}' is {tensor.datatype[:20]}, and must be {_types(tensor.name)}")
    dtype, count = np.dtype(TYPES[tensor.datatype]), math.prod(tensor.shape)
    if behind is not None:
        if len(behind) != count * dtype.itemsize:
            raise _wrong_count(tensor, f"{count * dtype.itemsize:,} bytes", f"{len(behind):,}")
        # Of pictures, the bytes of the request are the bound: nothing is made of each.
        if count > limits.numbers and not pictures:
            raise HTTPError(413, f"a request has at most {limits.numbers:,} numbers: send several")
        return np.frombuffer(behind, dtype)
    data = _flat(tensor)
    wrong = next((i for i, one in enumerate(data) if isinstance(one, bool) or not isinstance(one, int | float)), None)
    if wrong is not None:
        raise HTTPError(422, f"data[{wrong}] of input '{tensor.name}' is no number, and its datatype is a number's")
    if dtype.kind == "f":
        return np.asarray([_float(one) for one in data], np.float64)
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    wrong = next((i for i, one in enumerate(data) if not least <= one <= most or one != int(one)), None)
    if wrong is not None:
        raise HTTPError(422, f"data[{wrong}] of input '{tensor.name}' is a number that {tensor.datatype} has not")
    return np.asarray(data, dtype)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf


def _strings(tensor: TensorIn, behind: bytes | None, limits: Limits) -> list[Raw]:
    names = [f"{tensor.name}[{i}]" for i in range(tensor.shape[0])]
    if behind is None:
        data = _flat(tensor)
        wrong = next((i for i, one in enumerate(data) if not isinstance(one, str)), None)
        if wrong is not None:
            raise HTTPError(422, f"data[{wrong}] of input '{tensor.name}' is no text, and its datatype is BYTES")
        return [values.READ[tensor.name](one, name, limits) for one, name in zip(data, names, strict=True)]
    pieces = _unpacked(tensor, behind)
    if tensor.name in _FILES:
        return [Raw(_FILES[tensor.name], one, name) for one, name in zip(pieces, names, strict=True)]
    return [values.text(_utf8(one, name), name, limits) for one, name in zip(pieces, names, strict=True)]


def _flat(tensor: TensorIn) -> list[Any]:
    """The data of a tensor in one list, whether they are nested as its shape is or not."""
    data, shape = tensor.data or [], tensor.shape
    for length in shape[1:]:
        if not data or not isinstance(data[0], list):
            break
        wrong = next((i for i, row in enumerate(data) if not isinstance(row, list) or len(row) != length), None)
        if wrong is not None:
            raise HTTPError(422, f"data of input '{tensor.name}' are not nested as its shape {shape} is")
        data = [one for row in data for one in row]
    if len(data) != math.prod(shape):
        raise _wrong_count(tensor, f"{math.prod(shape):,} elements", f"{len(data):,}")
    return data


def _wrong_count(tensor: TensorIn, needed: str, got: str) -> HTTPError:
    shape = f"{tensor.datatype} of shape {tensor.shape}"
    return HTTPError(422, f"input '{tensor.name}' is {shape}, which takes {needed}, and has {got}")


def _unpacked(tensor: TensorIn, behind: bytes) -> list[bytes]:
    pieces, at = list[bytes](), 0
    while at < len(behind):
        size = struct.unpack_from("<I", behind, at)[0] if at + 4 <= len(behind) else None
        if size is None or at + 4 + size > len(behind) or len(pieces) == tensor.shape[0]:
            break
        pieces.append(behind[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(behind) or len(pieces) != tensor.shape[0]:
        raise HTTPError(
            422,
            f"input '{tensor.name}' has the shape {tensor.shape}, and its bytes are not so many pieces: each is four "
            "bytes of its length, the lowest first, and then its own",
        )
    return pieces


def _utf8(piece: bytes, name: str) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise HTTPError(422, f"{name} is not UTF-8: byte {error.start} of it is {piece[error.start]:#04x}") from error


def _png(pixels: np.ndarray) -> bytes:
    """A file of pixels, without loss: what is asked by its pixels and by its file gets the same answer."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(
        out, "PNG", compress_level=1
    )
    return out.getvalue()


def _packed(datatype: str, data: Sequence[Any]) -> bytes:
    if datatype != "BYTES":
        return np.asarray(data, _DTYPES[datatype]).tobytes()
    pieces = [one.encode() for one in data]
    return b"".join(struct.pack("<I", len(one)) + one for one in pieces)
