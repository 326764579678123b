"""Begin a run with the parameters of another one: transfer, or one pre-training for several learners."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.files import is_folder
from innerloop.core.learner import Learner
from innerloop.core.types import Params
from innerloop.engine.checkpoint import fingerprint, read_config, read_params
from innerloop.fewshot.source_names import SHIPPED, shipped
from innerloop.problems.classes import trained_on

_ENCODER = "encoder."


class Start(NamedTuple):
    """What of another run fits."""

    run: str
    params: Params
    """By the names of the learner that begins."""
    new: tuple[str, ...]
    """Parameters that the learner has besides."""
    left: tuple[str, ...]
    """Parameters of the other run that it has no place for."""
    record: dict[str, Any]
    """Plain JSON for the new run's config: what was taken, and which classes it has seen."""

    def __str__(self) -> str:
        message = f"begun with {self.run}: {len(self.params)} parameters taken ({_parts(self.params)})"
        message += f"; new: {_parts(self.new)}" if self.new else ""
        return message + (f"; left there: {_parts(self.left)}" if self.left else "")


def begin(learner: Learner, seed: int, run: str | Path) -> Start:
    """Take from a run what the learner has a place for: equal names and shapes, with or without `encoder.` before them.

    Args:
        learner: That is to begin.
        seed: Of what is new.
        run: Folder of the other run, or the name of a shipped one, which a folder of that name beats.

    Raises:
        InputError: Not a run, or no weights of it fit.
    """
    folder = SHIPPED / run if str(run) in shipped() and not is_folder(Path(run)) else Path(run)
    record = read_config(folder).get("record") or {}
    before, wanted = read_params(folder), learner.init(seed)
    # A classifier calls its body `encoder.0.weight`, MAML calls the same tensor `0.weight`.
    bare = {k.removeprefix(_ENCODER): k for k in before}
    source = {k: k if k in before else bare.get(k.removeprefix(_ENCODER)) for k in wanted}
    taken = {k: v for k, v in source.items() if v is not None and before[v].shape == wanted[k].shape}
    params = {k: before[v].to(wanted[k].dtype) for k, v in taken.items()}
    # A bias or a norm that happens to have the right length is no transfer.
    if not any(v.ndim > 1 for v in params.values()):
        raise InputError(f"no weights of {run} fit {type(learner).__name__}: {_why(wanted, before, source)}")
    return Start(
        run=str(run),
        params=params,
        new=tuple(k for k in wanted if k not in taken),
        left=tuple(k for k in before if k not in taken.values()),
        # Classes that the other run has seen count as seen by this one: testing on them is refused as well.
        record={"hash": fingerprint(params), "taken": len(params), "trained_on": trained_on(record)},
    )


def _why(wanted: Params, before: Params, source: dict[str, str | None]) -> str:
    clash = [(k, v) for k, v in source.items() if v is not None and before[v].shape != wanted[k].shape]
    if not wanted:
        return "it has no parameters; choose a network with --network"
    if not clash:
        return (
            f"it has {_parts(wanted)}, the run {_parts(before) if before else 'no parameters'}: use the same --network"
        )
    # The tensor with the most dimensions says most plainly what differs.
    k, v = max(clash, key=lambda pair: wanted[pair[0]].ndim)
    here, there = ("x".join(map(str, t.shape)) for t in (wanted[k], before[v]))
    return f"'{k}' is {there} there and {here} here: use the same --network, --width and shape of examples"


def _parts(names: Iterable[str] | dict[str, Tensor]) -> str:
    """Names by their first word: "18 of encoder, head.weight"."""
    first = Counter(_first(name) for name in names)
    alone = {_first(name): name for name in names}
    return ", ".join(alone[word] if count == 1 else f"{count} of {word}" for word, count in first.items())


def _first(name: str) -> str:
    word = name.partition(".")[0]
    return "the network" if word.isdigit() else word
