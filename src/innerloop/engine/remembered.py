"""Choices of plans on disk, so that the same command on the same machine takes the same plan, and at once.

Each is kept as `core.kept` keeps what costs time: nothing depends on it.
"""

import platform
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from innerloop.core.config import encode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.kept import Kept
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
        self._kept: Kept | None = None
        # A network without a name that finds it again is another one in the next process: nothing is kept.
        with suppress(InputError):
            key = {"learner": encode(learner), "asked": asked, "machine": machine()}
            self._kept = Kept("plans", key, Context(cache=cache))

    def read(self) -> Remembered | None:
        """What was chosen before; None where nothing was, or it cannot be read."""
        value = None if self._kept is None else self._kept.read()
        if self._kept is None or value is None:
            return None
        try:
            return Remembered(Plan(**value["plan"]), int(value["each"]), bool(value["only_now"]))
        except (ValueError, LookupError, TypeError, InputError):
            self._kept.passed_over()
            return None

    def write(self, choice: Remembered) -> None:
        """Keep a choice, if the folder can be written."""
        if self._kept is not None:
            self._kept.write({"plan": asdict(choice.plan), "each": choice.each, "only_now": choice.only_now})


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
