"""Run folders: what a run was (`config.json`), learned (`params.safetensors`), and where it stopped (`state.pt`)."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from innerloop.core import config, files
from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.types import Params

VERSION = 1
_BUFFERS = "buffers."
_ORDER = "order"


def load(run: str | Path, allow: Sequence[str] = ()) -> tuple[Learner, Params]:
    """The learner and the meta-parameters of a run folder; runs no code that the folder brings.

    Args:
        run: The folder.
        allow: Module prefixes besides `innerloop.` that its config may name.

    Raises:
        InputError: Not a run, of another version, or naming foreign classes.
    """
    learner = config.decode(read_config(run)["learner"], allow)
    tensors = _read_tensors(run)
    restore_buffers(learner, tensors)
    return learner, _without_buffers(tensors)


def read_params(run: str | Path) -> Params:
    """The meta-parameters of a run folder alone, whatever learner they are of.

    Raises:
        InputError: There are none.
    """
    return _without_buffers(_read_tensors(run))


def fingerprint(params: Params, learner: Learner | None = None) -> str:
    """Short sha256 of the parameters, and of the learner with its fields: what was tested, or taken over."""
    digest = hashlib.sha256(b"" if learner is None else json.dumps(config.encode(learner), sort_keys=True).encode())
    # Sorted: parameters that come back from a file in another order are the same parameters.
    for name in sorted(params):
        value = params[name].detach().cpu().contiguous()
        # With shape and type: the same bytes laid out otherwise are another network.
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def read_config(run: str | Path) -> dict[str, Any]:
    """`config.json` of a run: `version`, `learner`, `train` and `record`, with the names of today.

    Raises:
        InputError: It is missing, broken, or of another version.
    """
    path = Path(run) / "config.json"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{run} is not a run folder: {path.name} is missing ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise InputError(f"{path} is of version {version}, this release reads version {VERSION}: train again")
    return config.renewed(content)


def write_config(
    run: Path, learner: Learner, train: dict[str, Any], record: dict[str, Any], update: Any = None
) -> None:
    """Write what rebuilds everything, and what the update was, where it was not the default one."""
    entries = {"version": VERSION, "learner": config.encode(learner), "train": train, "record": record}
    entries |= {} if update is None else {"update": update}
    files.write(run / "config.json", json.dumps(entries, indent=2) + "\n")


def save_params(run: Path, learner: Learner, params: Params) -> None:
    """Write `params.safetensors`, with the networks' buffers beside the parameters."""
    write_tensors(run / "params.safetensors", params | buffers(learner))


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Write `state.pt`, from which a run goes on."""
    file = io.BytesIO()
    torch.save(state, file)
    files.write(run / "state.pt", file.getvalue())


def read_state(run: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, in aligned memory, or None before the first checkpoint."""
    path = run / "state.pt"
    # A run that was opened and never reached a checkpoint is no error: it starts from step 0.
    if not path.exists():
        return None
    try:
        # weights_only: a folder may come from anyone, and unpickling runs code.
        return aligned(torch.load(path, weights_only=True))
    except Exception as error:
        raise InputError(
            f"{path} cannot be read ({error}): remove it to start again, keeping params.safetensors"
        ) from error


def steps_done(run: Path) -> int:
    """How many meta-steps a run took; fewer than were asked for where its budget or patience ended first."""
    state = read_state(run)
    return 0 if state is None else state["step"]


def buffers(learner: Learner) -> Params:
    """Tensors of the learner's networks that are not learned, named for a file."""
    buffers = {}
    for field, model in _models(learner).items():
        buffers |= {f"{_BUFFERS}{field}.{k}": v for k, v in model.buffers().items()}
    return buffers


def restore_buffers(learner: Learner, tensors: Params) -> None:
    """The inverse of `buffers`."""
    for field, model in _models(learner).items():
        prefix = f"{_BUFFERS}{field}."
        mine = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if mine:
            model.load_buffers(mine)


def write_tensors(path: Path, tensors: Params, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all, with the order of the tensors in its metadata.

    Raises:
        InputError: It cannot be written.
    """
    # Cloned: safetensors refuses tensors that share memory, as views of one vector do.
    plain = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
    files.write(path, safetensors.torch.save(plain, {_ORDER: json.dumps(list(plain)), **(metadata or {})}))


def read_tensors(path: Path) -> tuple[Params, dict[str, str]]:
    """The tensors of a safetensors file in aligned memory, in the order in which they were written, and its metadata.

    The file itself has them sorted by name, and a sum over parameters in another order is rounded otherwise.

    Raises:
        OSError: It cannot be read.
        safetensors.SafetensorError: It is damaged.
        ValueError: Its metadata are.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
        order = json.loads(metadata[_ORDER]) if _ORDER in metadata else names  # earlier releases did not write it
        if not isinstance(order, list) or {*map(type, order)} - {str} or sorted(order) != sorted(names):
            raise ValueError(f"its {_ORDER} does not name its tensors")
        return {name: aligned(file.get_tensor(name)) for name in order}, metadata


def _read_tensors(run: str | Path) -> Params:
    try:
        return read_tensors(Path(run) / "params.safetensors")[0]
    except (OSError, safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise InputError(f"{run} has no readable params.safetensors ({error}): train first, or restore it") from error


def _without_buffers(tensors: Params) -> Params:
    return {k: v for k, v in tensors.items() if not k.startswith(_BUFFERS)}


def _models(value: Any, path: str = "") -> dict[str, Model]:
    """The networks in the fields of a learner, and of those that it holds, by their path."""
    if isinstance(value, tuple):
        entries = {str(i): entry for i, entry in enumerate(value)}
    else:
        entries = vars(value) if isinstance(value, Learner) else {}
    models: dict[str, Model] = {}
    for name, entry in entries.items():
        place = f"{path}.{name}" if path else name
        # Not into a model: what it wraps is its own business, and its buffers are asked for as a whole.
        models |= {place: entry} if isinstance(entry, Model) else _models(entry, place)
    return models
