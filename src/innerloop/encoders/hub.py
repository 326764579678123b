"""`hf:NAME_OR_FOLDER`: any model of sentences or pictures that `sentence-transformers` or `transformers` can read.

A folder is read where it lies, a name of the Hugging Face Hub out of the cache of this machine; `fetch` alone asks the
network. Weights are read as safetensors only, since pickled ones can run code, and no code that a model brings is run.
What was read is known by a hash of its content, which a task keeps.
"""

import functools
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.core.names import reason
from innerloop.core.texts import Kind
from innerloop.core.threads import on_one_core
from innerloop.encoders.base import Pin, pieces, quietly
from innerloop.encoders.linear import quickened
from innerloop.encoders.module import Own

PREFIX = "hf:"
EXTRA = "hub"
_READ = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files of settings, words and weights: all that is fetched, and all that the hash is of."""
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack")
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_THEIRS = "sentence_transformers."
"""Where classes of parts of a model may lie: another name would import somebody's code."""
_BATCH, _BLOCK = 32, 1 << 20
_LOADING = threading.Lock()


class Hub(Own):
    """A model, as it is."""

    def __init__(self, name: str, module: nn.Module, pin: Pin):
        super().__init__(name, module)
        self.pin = pin

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and sent to other processes by its name: its weights are read once in each.
        return load, (self._name,)


class Sentences(nn.Module):
    """A model of sentences."""

    kind: Kind = "texts"

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, texts: list[str]) -> Tensor:
        if torch.is_grad_enabled():  # it is being tuned, and `encode` below keeps no gradients
            return self.network(pieces(self.network, texts))["sentence_embedding"]

        def rows() -> Tensor:
            features = self.network.encode(texts, batch_size=_BATCH, convert_to_tensor=True, show_progress_bar=False)
            return features.clone()  # made in inference mode, in which nothing can be learned from it

        # A text alone gets the same row on any number of cores.
        return on_one_core(rows) if len(texts) == 1 else rows()


class Pictures(nn.Module):
    """A model of pictures: its image features, else what it pools, else its class token."""

    kind: Kind = "pictures"

    def __init__(self, network: Any, settings: "_Scaling", pools: bool):
        super().__init__()
        self.network, self._pools = network, pools
        self.size, self.mean, self.std = settings.size, settings.mean, settings.std

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self.network, "get_image_features"):
            outputs = self.network.get_image_features(pixel_values=x)
            return outputs if isinstance(outputs, Tensor) else outputs.pooler_output
        outputs = self.network(pixel_values=x)
        pooled = getattr(outputs, "pooler_output", None)
        return pooled.flatten(1) if self._pools and pooled is not None else outputs.last_hidden_state[:, 0]


@dataclass(frozen=True, kw_only=True)
class _Scaling:
    """What a model says of its pictures."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def is_name(text: str) -> bool:
    """Whether this names a model of the Hub, or a folder of one."""
    return text.startswith(PREFIX)


def load(name: str) -> Hub:
    """Read a model; once a process, as long as its files stay as they are.

    Args:
        name: `hf:` and a folder, or a name of the Hub, which may end in `@revision`.

    Raises:
        InputError: A package is missing, it is neither a folder nor in the cache, has no weights as safetensors, wants
            code of its own to be run, or cannot be read.
    """
    require("sentence_transformers", name, EXTRA)
    folder, revision = _place(name)
    checked = _checked(folder, name)
    content = digest(folder)
    with _LOADING:  # the cache alone would let every thread that comes early load its own
        return _loaded(name, folder, checked, Pin(content=content, revision=revision))


def fetch(name: str) -> Path:
    """Download a model into the cache of this machine: settings, words and safetensors, nothing else.

    Raises:
        InputError: It is no name of the Hub, or cannot be fetched.
    """
    require("sentence_transformers", name, EXTRA)
    if not is_name(name) or files.is_folder(_folder(name)):
        raise InputError(f"'{name}' is not fetched: only a name of the Hugging Face Hub is, such as hf:BAAI/bge-m3")
    return _snapshot(name, local=False)


@functools.lru_cache(maxsize=8)
def _loaded(name: str, folder: Path, kind: Kind, pin: Pin) -> Hub:
    try:
        module = _sentences(folder) if kind == "texts" else _pictures(folder, name)
    except InputError:
        raise
    except Exception as error:  # of whatever a model's settings lead these libraries to
        raise InputError(f"'{name}' cannot be read as a model of {kind} ({reason(error)})") from error
    return Hub(name, module, pin)


def _folder(name: str) -> Path:
    return files.expanded(name.removeprefix(PREFIX) or ".")


def _place(name: str) -> tuple[Path, str | None]:
    """Where a model lies, and its revision where it has one."""
    folder = _folder(name)
    if files.is_folder(folder):
        return folder, None
    snapshot = _snapshot(name, local=True)
    return snapshot, snapshot.name


def _snapshot(name: str, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    text = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(text):
        raise InputError(f"'{name}' is neither a folder nor a name of the Hugging Face Hub, such as hf:BAAI/bge-m3")
    repository, _, revision = text.partition("@")
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            local_files_only=local,
            allow_patterns=list(_READ),
            ignore_patterns=["onnx/*", "openvino/*"],
        )
    except Exception as error:  # of a network, a disk, or a name that there is none of
        if local:
            raise InputError(
                f"'{name}' is neither a folder nor in the cache of this machine: fetch it with `innerloop adapt {name} "
                "... --download`, or give the folder that it lies in"
            ) from error
        raise InputError(f"'{name}' cannot be fetched ({reason(error)}): check the name and the network") from error
    return Path(folder)


def _checked(folder: Path, name: str) -> Kind:
    """What a model is of, once nothing of it can run code."""
    parts = [folder]
    modules = _json(folder / "modules.json", name)
    for part in modules if isinstance(modules, list) else ():
        if not str(part.get("type", "")).startswith(_THEIRS):
            raise InputError(f"'{name}' wants {part.get('type')} to be run, code of its own: that is never done")
        if (place := str(part.get("path") or "")) and files.is_folder(folder / place):
            parts.append(folder / place)
    safe = [part for part in parts if any(part.glob("*.safetensors"))]
    for part in parts:
        pickled = sorted(file.name for file in part.iterdir() if file.suffix in PICKLED)
        if pickled and part not in safe:
            raise InputError(
                f"'{name}' has its weights in {pickled[0]}, which can run code when it is read: only safetensors are. "
                "Take a model that has them, or save it with save_pretrained"
            )
    settings = _json(folder / "config.json", name)
    if not safe or (settings is None and modules is None):
        raise InputError(f"'{name}' is no model: there is no {'config.json' if safe else 'file of safetensors'} in it")
    return "pictures" if modules is None and (folder / "preprocessor_config.json").is_file() else "texts"


def digest(folder: Path) -> str:
    """A hash of all that is read, by name."""
    every = sorted({path for pattern in _READ for path in folder.rglob(pattern)})
    stamps = tuple((str(path), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in every)
    return _hash(folder, stamps)


@functools.lru_cache(maxsize=32)
def _hash(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in stamps:
        digest.update(f"{Path(name).relative_to(folder).as_posix()}\0{size}\0".encode())
        for block in _blocks(Path(name)):
            digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _sentences(folder: Path) -> nn.Module:
    from sentence_transformers import SentenceTransformer

    with quietly():
        network = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    return Sentences(quickened(network))


def _pictures(folder: Path, name: str) -> nn.Module:
    from transformers import AutoModel

    scaling = _scaling(_json(folder / "preprocessor_config.json", name), name)
    with quietly():
        network, about = AutoModel.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    lacking = {key for key in about["missing_keys"] if not key.startswith("pooler.")}
    if lacking:
        raise InputError(f"'{name}' lacks weights, such as {min(lacking)}: it would answer by chance")
    return Pictures(network, scaling, pools=not about["missing_keys"])


def _scaling(settings: Any, name: str) -> _Scaling:
    """What `preprocessor_config.json` says; a picture is seen whole, padded to a square, and not cropped."""
    size = settings.get("crop_size") if settings.get("do_center_crop") else None
    size = settings.get("size") if size is None else size
    sides = size.values() if isinstance(size, dict) else [size]
    normal = settings.get("do_normalize", True)
    mean, std = (settings.get(key) if normal else [usual] for key, usual in (("image_mean", 0.0), ("image_std", 1.0)))
    side = next(iter(sides), None)
    if not isinstance(side, int) or len(set(sides)) != 1 or not isinstance(mean, list) or not isinstance(std, list):
        raise InputError(f"'{name}' does not say in preprocessor_config.json how large and bright pictures are to be")
    if abs(settings.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-6:
        raise InputError(f"'{name}' takes pictures that are not from 0 to 1 before they are normalised: take another")
    return _Scaling(size=side, mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def _json(path: Path, name: str) -> Any:
    """The content of a file; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"'{name}' has a {path.name} that cannot be read ({reason(error)})") from error
