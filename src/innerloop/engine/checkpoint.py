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
from torch import Tensor

from innerloop.core import config, files
from innerloop.core.aligned import aligned
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model
from innerloop.core.names import printable, reason
from innerloop.core.types import Params

VERSION = 1
CHOICE = "selection.json"
"""What was chosen on meta-validation once a run was trained."""
GIVES = "gives"
"""Key in `CHOICE` of the fingerprint that the parameters have with the choice; None: it is still to be made."""
_BUFFERS = "buffers."
_ORDER = "order"
_STEP, _TRAINED = "step", "trained"
"""Metadata of `params.safetensors`: the step of the state it is of, and the fingerprint of the parameters there."""
_MOST = 2**62
"""Meta-steps and processes that no run has as many of."""
_TRIES = 5
"""Times that a run is read again which is being written meanwhile."""


def load(run: str | Path, allow: Sequence[str] = ()) -> tuple[Learner, Params]:
    """The learner and the meta-parameters of a run folder; runs no code that the folder brings.

    Args:
        run: The folder.
        allow: Module prefixes besides `innerloop.` that its config may name.

    Raises:
        InputError: Not a run, of another version, naming foreign classes, or not finished: parameters that are behind
            the state, a choice that is still to be made.
    """
    learner = _learner(run, allow)
    tensors = _read_tensors(run)
    try:
        restore_buffers(learner, tensors)
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        raise InputError(f"{run}: params.safetensors does not fit config.json ({reason(error)}): restore it") from error
    params = _without_buffers(tensors)
    _check_choice(run, learner, params)
    return learner, params


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise files.no_run(run) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {reason(error)}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise InputError(
            f"{path} is of version {printable(str(version))[:20]}, this release reads version {VERSION}: train again"
        )
    for name in ("learner", "train", "record"):
        entry = content.get(name)
        if not isinstance(entry, dict) and not (entry is None and name != "learner"):
            raise InputError(f"{path} is damaged: its '{name}' is no object. Restore it, or train again")
    try:
        return config.renewed(content)
    except (TypeError, AttributeError, LookupError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({reason(error)}): restore it, or train again") from error


def read_choice(run: str | Path) -> dict[str, Any]:
    """What was chosen for a run once it was trained, and how; nothing where there is no such file or it is damaged."""
    try:
        choice = json.loads((Path(run) / CHOICE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return choice if isinstance(choice, dict) else {}


def write_config(
    run: Path, learner: Learner, train: dict[str, Any], record: dict[str, Any], update: Any = None
) -> None:
    """Write what rebuilds everything, and what the update was, where it was not the default one."""
    entries = {"version": VERSION, "learner": config.encode(learner), "train": train, "record": record}
    entries |= {} if update is None else {"update": update}
    files.write(run / "config.json", json.dumps(entries, indent=2) + "\n")


def save(run: Path, learner: Learner, state: dict[str, Any], params: Params) -> None:
    """Write a checkpoint.

    The parameters come first: whatever ends the process between the two leaves parameters that are right, and a state
    from which the same ones are trained again.

    Args:
        run: The folder.
        learner: Whose networks' buffers are kept.
        state: From which the run goes on.
        params: What it learned, complete.
    """
    save_params(run, learner, params, _origin(state))
    file = io.BytesIO()
    torch.save(state, file)
    files.write(run / "state.pt", file.getvalue())


def save_params(run: Path, learner: Learner, params: Params, origin: dict[str, str] | None = None) -> None:
    """Write `params.safetensors`, with the networks' buffers beside the parameters.

    Args:
        run: The folder.
        learner: Whose buffers are kept.
        params: The parameters.
        origin: What state they are of, as of `origin`; None: of none.
    """
    write_tensors(run / "params.safetensors", params | buffers(learner), origin)


def origin(run: Path) -> dict[str, str]:
    """What state the parameters of a folder are of; nothing where they do not say."""
    try:
        metadata = read_tensors(run / "params.safetensors")[1]
    except (OSError, safetensors.SafetensorError, ValueError, RecursionError):
        return {}
    return {name: metadata[name] for name in (_STEP, _TRAINED) if name in metadata}


def is_current(run: Path) -> bool:
    """Whether the parameters of a folder are those of its state."""
    state = _glance(run)
    return state is not None and origin(run) == _origin(state)


def read_state(run: Path) -> dict[str, Any] | None:
    """What `save` wrote, in aligned memory, or None before the first checkpoint."""
    path = run / "state.pt"
    # A run that was opened and never reached a checkpoint is no error: it starts from step 0.
    if not path.exists():
        return None
    try:
        # weights_only: a folder may come from anyone, and unpickling runs code.
        state = aligned(torch.load(path, weights_only=True))
        _check_state(state)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read ({reason(error)}): remove it to start again, keeping params.safetensors"
        ) from error
    return state


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
    content = safetensors.torch.save(plain, {_ORDER: json.dumps(list(plain)), **(metadata or {})})
    files.write(path, _sorted_metadata(content))


def _sorted_metadata(content: bytes) -> bytes:
    """A safetensors file with its metadata by name: the package writes them in an order that changes with each call."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    again = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    again += b" " * (-len(again) % 8)  # tensors begin at a multiple of 8
    return len(again).to_bytes(8, "little") + again + content[end:]


def read_tensors(path: Path) -> tuple[Params, dict[str, str]]:
    """The tensors of a safetensors file in aligned memory, in the order in which they were written, and its metadata.

    The file itself has them sorted by name, and a sum over parameters in another order is rounded otherwise.

    Raises:
        OSError: It cannot be read.
        safetensors.SafetensorError: It is damaged.
        ValueError: Its metadata are.
    """
    if not _is_text(path):
        content = path.read_bytes()  # the package opens no names that are not UTF-8
        end = 8 + int.from_bytes(content[:8], "little")
        tensors, metadata = safetensors.torch.load(content), json.loads(content[8:end]).get("__metadata__") or {}
    else:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    order = json.loads(metadata[_ORDER]) if _ORDER in metadata else list(tensors)  # earlier releases did not write it
    if not isinstance(order, list) or {*map(type, order)} - {str} or sorted(order) != sorted(tensors):
        raise ValueError(f"its {_ORDER} does not name its tensors")
    return {name: aligned(tensors[name]) for name in order}, metadata


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _learner(run: str | Path, allow: Sequence[str]) -> Learner:
    path = Path(run) / "config.json"
    content = read_config(run)
    try:
        learner = config.decode(content["learner"], allow)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(learner, Learner):
        raise InputError(f"{path} names a {type(learner).__name__} where its learner should be: restore it")
    return learner


def _read_tensors(run: str | Path) -> Params:
    """The tensors of a folder, if they are not behind its state."""
    path, step = Path(run) / "params.safetensors", 0
    for _ in range(_TRIES):  # a run in training may have been saved between the reading of the two files
        try:
            tensors, metadata = read_tensors(path)
        except Exception as error:  # safetensors and torch raise whatever a damaged header leads them to
            raise InputError(
                f"{run} has no readable params.safetensors ({reason(error)}): train first, or restore it"
            ) from error
        state = _glance(Path(run))
        if state is None or not _behind(tensors, metadata, state):
            return tensors
        step = state["step"]
    raise InputError(
        f"{path} is not of the checkpoint that lies beside it, of step {step}: the same `innerloop train` "
        "command, or meta_train, makes it again"
    )


def _behind(tensors: Params, metadata: dict[str, str], state: dict[str, Any]) -> bool:
    if _STEP in metadata:
        if metadata[_STEP].isdecimal() and int(metadata[_STEP]) > state["step"]:
            return False  # saved before the state, which the run did not get to
        return {name: metadata.get(name) for name in (_STEP, _TRAINED)} != _origin(state)
    if _ORDER in metadata:
        return False  # saved by whoever called `save_params`, of no state
    # Written by an earlier release. Numbers are passed over: they may be chosen, or completed.
    pairs = ((tensors.get(name), value) for name, value in _trained(state).items() if value.ndim)
    return any(
        one is not None and one.shape == other.shape and not torch.equal(one, other.to(one.dtype))
        for one, other in pairs
    )


def _origin(state: dict[str, Any]) -> dict[str, str]:
    return {_STEP: str(state["step"]), _TRAINED: fingerprint(_trained(state))}


def _trained(state: dict[str, Any]) -> Params:
    """What a state holds as the result, before the learner completes it."""
    return state["params"] if state["best"] is None else state["best"]["params"]


def _glance(run: Path) -> dict[str, Any] | None:
    """The state of a folder, of which only what is looked at is read; None where there is none that can be read."""
    try:
        state = torch.load(run / "state.pt", weights_only=True, mmap=True, map_location="cpu")
        _check_state(state)
    except Exception:  # torch raises whatever a damaged file leads it to; the parameters stand for themselves
        return None
    return state


def _check_state(state: Any) -> None:
    """Refuse what `save` never wrote.

    Raises:
        ValueError: Saying what is wrong.
    """
    if not isinstance(state, dict):
        raise ValueError("it holds no state of a run")
    step, waited, best = (state.get(name) for name in ("step", "waited", "best"))
    counts = (step, waited, state.get("world_size", 1))
    if not all(type(count) is int and 0 <= count < _MOST for count in counts):
        raise ValueError("its step, patience or number of processes is none")
    _check_tensors("params", state.get("params"))
    if state.get("update") is not None:
        _check_tensors("update", state["update"])
    seconds = state.get("cpu_seconds", 0.0)
    if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ValueError("its processor time is none")
    if best is not None:
        if not isinstance(best, dict) or not isinstance(best.get("score"), int | float):
            raise ValueError("its best checkpoint has no score")
        _check_tensors("best", best.get("params"))
    plan = state.get("plan")
    if plan is not None and (not isinstance(plan, dict) or not all(isinstance(name, str) for name in plan)):
        raise ValueError("its plan is none")


def _check_tensors(name: str, tensors: Any) -> None:
    good = isinstance(tensors, dict) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()
    )
    if not good:
        raise ValueError(f"its '{name}' are not tensors by name")


def _check_choice(run: str | Path, learner: Learner, params: Params) -> None:
    """Refuse parameters that lack what was to be chosen for them once they were trained."""
    choice = read_choice(run)
    if GIVES in choice and choice[GIVES] != fingerprint(params, learner):
        raise InputError(
            f"{run} is not finished: '{choice.get('field')}' is not chosen for the parameters as they are now. The "
            "same `innerloop train` command goes on and chooses it"
        )


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
