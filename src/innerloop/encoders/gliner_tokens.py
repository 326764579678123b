"""`gliner:NAME_OR_FOLDER`: words as a GLiNER sees them, a model that finds entities by the names of their types.

Zaratiana et al. 2024, https://arxiv.org/abs/2311.08526. A folder is read where it lies, a name of the Hugging Face Hub
out of the cache of this machine; nothing is looked up in the network. Weights are read as safetensors only, since
pickled ones can run code, and no code that a model brings is run. Without any example it tags by itself, see
`GlinerTokens.zero_shot`.
"""

import functools
import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from innerloop.core import files
from innerloop.core.aligned import align
from innerloop.core.errors import InputError
from innerloop.core.importing import require
from innerloop.core.names import reason
from innerloop.encoders import hub
from innerloop.encoders.base import Pin, quietly
from innerloop.encoders.linear import quickened
from innerloop.encoders.tokens import TokenEncoder, TokenRows, encoded, named, readable
from innerloop.encoders.windows import Window, windows
from innerloop.tasks.entities.sentences import Span

PREFIX = "gliner:"
NAMES: dict[str, str] = {}
PACKAGE = EXTRA = "gliner"
_SETTINGS, _WEIGHTS = "gliner_config.json", "model.safetensors"
_KINDS = ("UniEncoderSpanGLiNER", "UniEncoderTokenGLiNER")
"""Models that read types and text together, and no more than tag."""
_ASKED = ("entity",)
"""Types that are asked for while words become rows: the model reads no text without any."""
_UNKNOWN = "?"
"""Stands for a word that the tokenizer makes nothing of, which the package would number wrongly."""
_BATCH = 16
_LONGEST_CHARACTER = 4
"""Pieces of a character, where bytes are."""


class GlinerTokens:
    """The frozen model."""

    def __init__(self, name: str, model: Any, pin: Pin) -> None:
        self.name, self.pin = name, pin
        self._model: Any = quickened(align(model)).requires_grad_(False).eval()
        self.features: int = model.config.hidden_size
        self._tokenizer = model.data_processor.transformer_tokenizer
        self._lock = threading.Lock()  # the tokenizer keeps settings of a call on itself

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)

    @torch.no_grad()
    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        """Rows of words, see `TokenEncoder`: the model's states of them; long sentences are read in windows."""
        return encoded(sentences, self._rows)

    @torch.no_grad()
    def zero_shot(
        self, sentences: Sequence[Sequence[str]], types: Sequence[str], threshold: float = 0.5
    ) -> list[list[tuple[Span, float]]]:
        """Entities by the names of types alone, none overlapping, with their scores between 0 and 1.

        Args:
            sentences: Their words.
            types: Names as they are said, such as `academic journal`.
            threshold: Least score.

        Raises:
            InputError: There is no type, one is empty, or a word is empty or cannot be read.
        """
        if not types or not all(name.strip() for name in types):
            raise InputError("give names of types, none of them empty: they are all that is told of the entities")
        words = readable(sentences)
        entities: list[list[tuple[Span, float]]] = [[] for _ in words]
        for batch, inputs in self._batches(words, types):
            outputs = self._model.run_batch(inputs, threshold=threshold)
            decoded = self._model.decode_batch(outputs, inputs, threshold=threshold)
            for (i, window), those in zip(batch, decoded, strict=True):
                for one in sorted(those, key=lambda one: one.start):
                    start, end = window.begin + one.start, window.begin + one.end + 1
                    before = entities[i][-1][0].end if entities[i] else 0
                    if window.first <= start < window.last and start >= before:
                        entities[i].append((Span(start, end, one.entity_type), float(one.score)))
        return entities

    def _rows(self, sentences: list[list[str]]) -> Tensor:
        starts = np.cumsum([0, *map(len, sentences)])
        rows = torch.zeros(int(starts[-1]), self.features)
        for batch, inputs in self._batches(sentences, _ASKED):
            read = {key: inputs[key] for key in ("input_ids", "attention_mask", "text_lengths", "words_mask")}
            states = self._model.model.get_representations(**read).words_embedding
            for (i, (begin, _, first, last)), state in zip(batch, states, strict=True):
                rows[starts[i] + first : starts[i] + last] = state[first - begin : last - begin].float()
        return rows

    def _batches(
        self, sentences: list[list[str]], types: Sequence[str]
    ) -> Iterator[tuple[list[tuple[int, Window]], dict[str, Any]]]:
        """Windows of sentences, each with the number of its sentence, and what the model reads of them."""
        with self._lock:
            room = self._room(types)
            read = [self._fitting(words, room) for words in sentences]
        parts = [(i, window) for i, (_, many) in enumerate(read) for window in windows(many, room)]
        parts.sort(key=lambda part: part[1].end - part[1].begin)
        for start in range(0, len(parts), _BATCH):
            batch = parts[start : start + _BATCH]
            texts = [read[i][0][window.begin : window.end] for i, window in batch]
            with self._lock:
                inputs = self._model.collate_batch(self._model.prepare_base_input(texts), list(types))
            yield batch, inputs

    def _room(self, types: Sequence[str]) -> int:
        """Pieces of words that are read beside the names of types."""
        config = self._model.config
        prompt = [piece for name in types for piece in (config.ent_token, name)] + [config.sep_token]
        taken = len(self._tokenizer(prompt, is_split_into_words=True)["input_ids"])
        room = min(config.max_len, self._tokenizer.model_max_length - taken)
        if room < 8 * _LONGEST_CHARACTER:
            raise InputError(
                f"the names of {len(types)} types leave no room for words in '{self.name}': ask for fewer at a time"
            )
        return room

    def _fitting(self, words: list[str], room: int) -> tuple[list[str], np.ndarray]:
        """Words of which the tokenizer makes something, and not too much, and how many pieces each has."""
        if not words:
            return words, np.zeros(0, dtype=np.int64)
        many = self._many(words)
        if many.min() == 0 or many.max() > room // 3:
            most = room // 3 // _LONGEST_CHARACTER
            words = [
                _UNKNOWN if not count else word if count <= room // 3 else word[:most]
                for word, count in zip(words, many, strict=True)
            ]
            many = self._many(words)
        return words, many

    def _many(self, words: list[str]) -> np.ndarray:
        """[words] pieces of each."""
        read = self._tokenizer(words, is_split_into_words=True, add_special_tokens=False)
        return np.bincount([word for word in read.word_ids() if word is not None], minlength=len(words))


def load(name: str) -> TokenEncoder:
    """Read a model; once a process, as long as its files stay as they are.

    Args:
        name: `gliner:` and a folder, or a name of the Hub, which may end in `@revision`.

    Raises:
        InputError: The package is missing, it is neither a folder nor in the cache, has no weights as safetensors,
            wants other files or code of its own, or cannot be read.
    """
    require(PACKAGE, name, EXTRA)
    folder, revision = _place(name)
    _check(folder, name)
    return _loaded(name, folder, Pin(content=hub.digest(folder), revision=revision))


@functools.lru_cache(maxsize=4)
def _loaded(name: str, folder: Path, pin: Pin) -> GlinerTokens:
    from gliner import GLiNER  # pyright: ignore[reportMissingImports]

    try:
        with quietly(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = GLiNER.from_pretrained(str(folder), local_files_only=True)
        there = _names(folder / _WEIGHTS)
    except Exception as error:  # of whatever a model's settings lead these libraries to
        raise InputError(f"'{name}' cannot be read as a GLiNER ({reason(error)})") from error
    if type(model).__name__ not in _KINDS:
        raise InputError(f"'{name}' is a {type(model).__name__}; of these only {' and '.join(_KINDS)} are read")
    if lacking := model.model.state_dict().keys() - there:
        raise InputError(f"'{name}' lacks weights, such as {min(lacking)}: it would answer by chance")
    return GlinerTokens(name, model, pin)


def _names(weights: Path) -> set[str]:
    """Names of the tensors of a file, also of those that it keeps under another's."""
    with weights.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {*header, *header.get("__metadata__", {})}


def _place(name: str) -> tuple[Path, str | None]:
    """Where a model lies, and its revision where it has one."""
    from huggingface_hub import snapshot_download

    text = name.removeprefix(PREFIX)
    if text and files.is_folder(folder := files.expanded(text)):
        return folder, None
    repository, _, revision = text.partition("@")
    try:
        snapshot = Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except Exception as error:  # of a name that there is none of, or that is none
        raise InputError(
            f"'{name}' is neither a folder nor in the cache of this machine: fetch it with `hf download {repository}`, "
            "or give the folder that it lies in"
        ) from error
    return snapshot, snapshot.name


def _check(folder: Path, name: str) -> None:
    """Refuse what would run code or ask the network."""
    settings = {path.name: _json(path, name) for path in sorted(folder.glob("*.json"))}
    if _SETTINGS not in settings:
        raise InputError(f"'{name}' is no GLiNER: there is no {_SETTINGS} in it")
    if not (folder / _WEIGHTS).is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in hub.PICKLED)
        if not pickled:
            raise InputError(f"'{name}' has no weights: there is no {_WEIGHTS} in it")
        raise InputError(
            f"'{name}' has its weights in {pickled[0]}, which can run code when it is read: only {_WEIGHTS} is. Save "
            "the model with save_pretrained(folder, safe_serialization=True), where you trust it"
        )
    for file, values in settings.items():
        if _has_key(values, "auto_map"):
            raise InputError(f"'{name}' wants code of its own to be run ('auto_map' in {file}): that is never done")
    lacking = [
        part
        for part, there in (
            ("tokenizer_config.json", "tokenizer_config.json" in settings),
            (f"encoder_config in {_SETTINGS}", bool(settings[_SETTINGS].get("encoder_config"))),
        )
        if not there
    ]
    if lacking:
        raise InputError(
            f"'{name}' has no {lacking[0]}, and would look it up under another name: load it with `gliner` once, and "
            "give the folder that save_pretrained(folder, safe_serialization=True) wrote"
        )


def _has_key(values: Any, key: str) -> bool:
    if isinstance(values, dict):
        return key in values or any(_has_key(value, key) for value in values.values())
    return isinstance(values, list) and any(_has_key(value, key) for value in values)


def _json(path: Path, name: str) -> Any:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{name}' has a {path.name} that cannot be read ({reason(error)})") from error
    if path.name == _SETTINGS and not isinstance(values, dict):
        raise InputError(f"'{name}' has a {path.name} that holds no settings: fetch it anew")
    return values
