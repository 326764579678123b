"""How far a stream was followed: what is known by then, and how well it answers; kept as one file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.names import reason
from innerloop.engine.checkpoint import read_tensors, write_tensors

FILE = "stream.safetensors"
_STATE, _MATRIX, _BATCHES = "state.", "matrix", "batches"


@dataclass(kw_only=True)
class Progress:
    """Everything that changes while a stream is followed, and nothing else."""

    state: Any
    """The learner's; see `core.online`."""
    batches: int = 0
    """How many it has seen."""
    matrix: list[Tensor] = field(default_factory=list)
    """[tasks] float64 for every row of R: how well it answered before the first batch, and after every end."""

    def save(self, run: Path) -> None:
        """Write all of it, whole or not at all."""
        leaves = {f"{_STATE}{name}": leaf for name, leaf in tree.items(self.state)}
        write_tensors(run / FILE, leaves | {_MATRIX: torch.stack(self.matrix)}, {_BATCHES: str(self.batches)})

    def restored(self, run: Path) -> "Progress":
        """What a folder holds; this one, where it holds nothing yet.

        Raises:
            InputError: It is damaged, or of another learner or stream.
        """
        if not (run / FILE).exists():
            return self
        tensors, batches = _read(run)
        leaves = {k.removeprefix(_STATE): v for k, v in tensors.items() if k.startswith(_STATE)}
        mine = {name: (leaf.shape, leaf.dtype) for name, leaf in tree.items(self.state)}
        if {name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()} != mine:
            raise InputError(f"{run / FILE} holds the state of another learner: choose another folder")
        return Progress(
            state=tree.rebuild(self.state, leaves), batches=batches, matrix=list(tensors[_MATRIX].unbind(0))
        )


def matrix_of(run: str | Path) -> tuple[Tensor, int]:
    """R of a run folder, [rows, tasks] float64, and how many batches were seen.

    Raises:
        InputError: There is none, or it is damaged.
    """
    if not (Path(run) / FILE).exists():
        raise InputError(f"{run} has seen nothing yet: the same `innerloop train` command goes on")
    tensors, batches = _read(Path(run))
    return tensors[_MATRIX], batches


def part_of_state(run: str | Path, name: str) -> dict[str, Tensor]:
    """What a learner knows below a name of its state after its stream, such as `rates`; nothing where there is none."""
    tensors, _ = _read(Path(run))
    start = f"{_STATE}{name}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def size_of_state(run: str | Path) -> int:
    """Bytes of what a learner knows after its stream: weights, memories, sums."""
    tensors, _ = _read(Path(run))
    return sum(v.numel() * v.element_size() for k, v in tensors.items() if k.startswith(_STATE))


def _read(run: Path) -> tuple[dict[str, Tensor], int]:
    path = run / FILE
    try:
        tensors, metadata = read_tensors(path)
        matrix, batches = tensors[_MATRIX], json.loads(metadata[_BATCHES])
        if matrix.dim() != 2 or matrix.dtype != torch.float64 or type(batches) is not int or batches < 0:
            raise ValueError("it holds no matrix, or no position")
    except (OSError, safetensors.SafetensorError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): remove it to start again") from error
    return tensors, batches
