"""What ties a result file to what was measured: the parameters that were tested, and a digest of all that it holds."""

import functools
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.engine import checkpoint

DIGEST = "digest"
_OPTIONS = ("split", "ways", "shots", "queries", "unlabelled", "distractors", "same_group", "seed")
_WORDS = ("train", "validation", "test")


def digest(content: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of everything but the digest itself."""
    text = json.dumps({k: v for k, v in content.items() if k != DIGEST}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_seal(path: str | Path, content: Mapping[str, Any], command: str) -> bool:
    """Whether a file carries a digest; those of release 0.1.0 do not.

    Raises:
        InputError: It was edited.
    """
    # An empty digest is an edit too: no release wrote one.
    if content.get(DIGEST) is None:
        return False
    if content[DIGEST] != digest(content):
        raise InputError(
            f"{path} was edited after it was measured (its digest is of other scores): {renewing(command)}"
        )
    return True


def number(value: Any) -> float:
    """A finite number of a file.

    Raises:
        ValueError: It is something else, which whoever prints or draws it would stumble on.
    """
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def text(value: Any) -> str | None:
    """A name of a file, or None.

    Raises:
        ValueError: It is something else.
    """
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


def step(value: Any) -> int | None:
    """A meta-step of a file, or None.

    Raises:
        ValueError: It is something else.
    """
    if value is not None and type(value) is not int:
        raise ValueError(f"{value!r} is no step")
    return value


def refuse_constant(constant: str) -> Any:
    """Refuse NaN and infinity, which no release wrote: JSON has no word for them."""
    raise ValueError(f"it holds {constant}")


def renewing(command: str) -> str:
    """Advice to run the test again."""
    return f"run the test again by `{command}`"


def renewal(run: str | Path, tasks: Mapping[str, Any], episodes: Any, transductive: bool = False) -> str:
    """What to type to measure a result of a run folder again.

    Args:
        run: The folder.
        tasks: What its protocol says of them; what is no number is left out, so that nothing that a file brings is
            typed into a shell.
        episodes: How many.
        transductive: Whether predictions were.
    """
    words = ["innerloop", "test", str(run)]
    for name in _OPTIONS:
        value = tasks.get(name)
        if (type(value) in (int, float) and value) or (name == "split" and value in _WORDS and value != "test"):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--episodes", str(episodes)] if type(episodes) is int else []
    return shlex.join(words + ["--transductive"] * transductive)


def parameters_of(run: str | Path) -> str | None:
    """Fingerprint of the parameters that a run folder has now; None: it has none that can be read."""
    path = Path(run) / "params.safetensors"
    try:
        stat = path.stat()
        return _fingerprint(str(run), stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except (OSError, InputError):
        return None


def step_of(run: str | Path) -> int | None:
    """Meta-step that a run folder is at; None: it cannot be read."""
    try:
        return checkpoint.steps_done(Path(run))
    except (InputError, OSError, KeyError, TypeError):
        return None


def mark(run: str | Path, parameters: str | None, step: int | None, sealed: bool) -> str | None:
    """What must be said beside a result of a run folder; None: it is of the run as it is now.

    Args:
        run: The folder.
        parameters: Fingerprint of what was tested.
        step: Meta-step that it was of.
        sealed: Whether the file carries a digest.
    """
    if not sealed:
        return "of an earlier release, without a digest"
    now = parameters_of(run)
    if now is None or now == parameters:
        return None
    if parameters is None:
        return "does not say which parameters were tested"
    there = None if step is None else step_of(run)
    if there is None or there == step:
        return "of other parameters than the run has now"
    return f"of step {step:,}, the run is at step {there:,}"


# Pages ask again and again: what was read stays known until the file is another one.
@functools.lru_cache(maxsize=1024)
def _fingerprint(run: str, modified: int, size: int, inode: int) -> str:
    return checkpoint.fingerprint(checkpoint.read_params(run))
