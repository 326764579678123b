"""Choices of plans on disk, so that the same command on the same machine takes the same plan, and at once.

One small JSON file a choice, in the cache folder. Nothing depends on it: a folder that cannot be written, or a file
that cannot be read, costs the time of choosing again.
"""

import hashlib
import json
import platform
import warnings
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from innerloop.core import files
from innerloop.core.config import encode
from innerloop.core.context import Context, cache_folder
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import cores
from innerloop.engine.plan import Plan


class Remembered(NamedTuple):
    """What is kept of a choice."""

    plan: Plan
    each: int
    """Bytes that the graph of one task keeps: whether there is room for the plan is asked anew."""
    only_now: bool
    """Whether it holds for so few steps alone."""


class Place:
    """Where a choice is kept: a file for the learner, the shapes of its tasks, and the machine.

    Args:
        learner: Whose plan it is.
        asked: Plain JSON: everything else that the choice depends on.
        cache: The cache folder; None: the environment's, or the user's.
    """

    def __init__(self, learner: Learner, asked: dict[str, Any], cache: str | Path | None = None):
        self._cache = Context(cache=cache)
        self._key: dict[str, Any] | None = None
        # A network without a name that finds it again is another one in the next process: nothing is kept.
        with suppress(InputError):
            key = {"learner": encode(learner), "asked": asked, "machine": machine()}
            self._key = json.loads(json.dumps(key))  # as it comes back from the file

    @property
    def path(self) -> Path | None:
        """The file; None: this choice cannot be kept."""
        if self._key is None:
            return None
        digest = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()
        return cache_folder(self._cache) / "plans" / f"{digest[:32]}.json"

    def read(self) -> Remembered | None:
        """What was chosen before; None where nothing was, or it cannot be read."""
        path = self.path
        if path is None:
            return None
        try:
            text = path.read_text()
        except (OSError, ValueError):
            return None
        try:
            kept = json.loads(text)
            found = Remembered(Plan(**kept["plan"]), int(kept["each"]), bool(kept["only_now"]))
            if kept["key"] != self._key:
                raise ValueError("of something else")
            return found
        except (ValueError, LookupError, TypeError, InputError):
            warnings.warn(f"{path} is damaged, and passed over: plans are timed again", stacklevel=2)
            return None

    def write(self, choice: Remembered) -> None:
        """Keep a choice, if the folder can be written."""
        path = self.path
        if path is not None:
            kept = {"plan": asdict(choice.plan), "each": choice.each, "only_now": choice.only_now, "key": self._key}
            with suppress(InputError):
                files.write(path, json.dumps(kept, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What tells this machine, and this software, from others."""
    try:
        own = metadata.version("innerloop")
    except metadata.PackageNotFoundError:  # run from its source
        own = ""
    vectors = torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "processor": f"{_processor()}, {vectors}",
        "gpu": gpu,
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "innerloop": own,
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
