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
from innerloop.core.names import reason
from innerloop.engine import checkpoint

DIGEST = "digest"
OPTIONS = ("data", "split_scheme", "split", "ways", "shots", "queries", "unlabelled", "distractors", "same_group")
OPTIONS += ("seed", "steps", "episodes", "transductive")
"""Options of `innerloop test` that decide what is measured, in the order in which they are printed."""
_ROLES = ("train", "validation", "test")
_LONGEST = 1000


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


def unread(path: str | Path, error: Exception, what: str, command: str) -> InputError:
    """What is said of a file that cannot be read, or is damaged.

    Args:
        path: Of the file.
        error: Whatever came of reading it.
        what: What it should have been, such as "holds no curves".
        command: What makes it anew.
    """
    if isinstance(error, OSError):
        return InputError(f"cannot read {path}: {error.strerror or error}")
    return InputError(f"{path} {what} of this version ({reason(error)}): {renewing(command)}")


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


def renewal(run: str | Path, options: Mapping[str, Any]) -> str:
    """What to type to measure a result of a run folder again.

    Args:
        run: The folder.
        options: Of `OPTIONS`, by name. A file may bring anything: what is no value of such an option is left out.
    """
    words = ["innerloop", "test", str(run)]
    for name in OPTIONS:
        value, flag = options.get(name), f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif type(value) in (int, float) or (isinstance(value, str) and _is_word(value)):
            words += [flag, str(value)]
    return shlex.join(words)


def _is_word(value: str) -> bool:
    """Whether a text can stand for the value of an option: it prints, and is not read as an option of its own."""
    return 0 < len(value) <= _LONGEST and value.isprintable() and not value.startswith("-")


def options_of(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Options that give the tasks of a protocol's sampler, as far as it says."""
    counts = {"ways", "shots", "queries", "unlabelled", "distractors"}
    # Streams of generated tasks have seeds that are made from that of the test.
    counts |= {"seed"} if "class_hash" in tasks else set()
    options = {name: tasks.get("within" if name == "same_group" else name) for name in (*counts, "same_group")}
    options = {k: v for k, v in options.items() if type(v) in (int, float)}
    role = str(tasks.get("split")).rpartition("-")[2]
    return options | ({"split": role} if role in _ROLES and role != "test" else {})


def options(options: Any) -> dict[str, Any] | None:
    """Options that a file brings.

    Raises:
        ValueError: They are something else.
    """
    plain = isinstance(options, dict) and all(type(v) in (int, float, bool, str) for v in options.values())
    if options is not None and not plain:
        raise ValueError(f"{options!r:.60} are no options")
    return options


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
