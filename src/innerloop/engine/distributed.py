"""Several processes that train one learner, each on its share of every meta-batch; see `docs/scale.md`.

`torchrun` starts them and watches them; a process alone is a `World` of one, in which everything here does nothing.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store

from innerloop.core.errors import FailedError, InnerloopError, InputError
from innerloop.core.threads import cores
from innerloop.core.types import Metrics, Params

T = TypeVar("T")
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets."""
BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 20.0
"""Seconds without one after which a process counts as lost; torchrun kills what is left after 30."""
PATIENCE = timedelta(minutes=30)
"""A collective may wait this long for a process that is slow but alive (compiling, or timing plans)."""


class LostError(FailedError):
    """Another process of the job is gone; what was saved is whole."""


class World:
    """The processes of a job as one of them sees them. This one is alone: what it has is what all have."""

    rank = 0
    size = 1
    step = 0
    """Where training is, for what there is to say when a process is lost."""

    def share(self, count: int) -> range:
        """Which of `count` tasks are this process's: as even as can be, the first ranks take what is left over."""
        each, more = divmod(count, self.size)
        first = self.rank * each + min(self.rank, more)
        return range(first, first + each + (self.rank < more))

    def mean(self, gradient: Params, metrics: Metrics, weight: float, stop: bool) -> tuple[Params, Metrics, bool]:
        """The mean over all tasks from the means over each process's tasks.

        Args:
            gradient: Of this process's tasks.
            metrics: Of this process's tasks, 0-dimensional; the same names in every process.
            weight: The part of all tasks that they are.
            stop: Whether this process was asked to stop.

        Returns:
            Gradient and metrics, the same bits in every process, and whether any process was asked to stop.
        """
        return gradient, metrics, stop

    def gather(self, mine: Tensor, share: range, count: int) -> Tensor:
        """[count, ...] values of all processes, of which this one has `mine`, those of `share(count)`."""
        return mine

    def on_rank_zero(self, make: Callable[[], T]) -> T:
        """Call `make` in the first process only; what it returns, or its `InnerloopError`, goes to all."""
        return make()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite `tensors` by those of the first process."""

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Processes(World):
    """One of several processes.

    A process that dies takes its connections with it, so that the others' next collective raises. One that is silent (a
    host without power) leaves them waiting: a thread exchanges signs of life through torchrun's store and ends the
    process, because nothing can wake a thread that waits inside a collective.
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        self._training, self._ended = False, threading.Event()
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
        if os.environ.get("OMP_NUM_THREADS", "1") == "1":  # torchrun's own choice, however many cores there are
            torch.set_num_threads(cores())
        try:
            if not dist.is_initialized():
                # NCCL refuses two processes on one GPU; gloo carries GPU tensors through the host.
                backend = "cpu:gloo,cuda:nccl" if gpus >= local else "gloo"
                dist.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
            self._board = _board()
            self._board.set(f"beat/{rank}", "0")
        except (RuntimeError, ValueError) as error:
            raise FailedError(
                f"rank {rank} cannot reach the other processes ({_line(error)}). Within one host, "
                "GLOO_SOCKET_IFNAME=lo helps where the host's name leads nowhere; across hosts, set it (and "
                "NCCL_SOCKET_IFNAME) to the network interface that joins them"
            ) from error
        self._watching = threading.Thread(target=self._watch, name="signs of life", daemon=True)
        self._watching.start()
        atexit.register(self._end)

    def mean(self, gradient: Params, metrics: Metrics, weight: float, stop: bool) -> tuple[Params, Metrics, bool]:
        """One all-reduce of one vector: gradient, metrics, and the wish to stop."""
        parts = [*gradient.values(), *metrics.values()]
        # One type for the one vector; never below float32, in which a sum of many shares would lose its last bits.
        dtype = functools.reduce(torch.promote_types, (part.dtype for part in parts), torch.float32)
        # The wish to stop travels with the gradient, so that all processes leave at the same step.
        flag = torch.tensor([float(stop)], dtype=dtype, device=parts[0].device)
        flat = torch.cat([(weight * part.to(dtype)).reshape(-1) for part in parts] + [flag])
        self._together(lambda: dist.all_reduce(flat))
        pieces = flat[:-1].split([part.numel() for part in parts])
        means = [piece.view(part.shape).to(part.dtype) for piece, part in zip(pieces, parts, strict=True)]
        named = iter(means)
        return {k: next(named) for k in gradient}, {k: next(named) for k in metrics}, bool(flat[-1] > 0)

    def gather(self, mine: Tensor, share: range, count: int) -> Tensor:
        """A sum in which every value is added to zeros: exact."""
        values = mine.new_zeros(count, *mine.shape[1:])
        values[share.start : share.stop] = mine
        self._together(lambda: dist.all_reduce(values))
        return values

    def on_rank_zero(self, make: Callable[[], T]) -> T:
        """As in a world of one; other errors than `InnerloopError` end the first process, and with it the job."""
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = make()
            except InnerloopError as error:
                outcome[1] = error
        self._together(lambda: dist.broadcast_object_list(outcome))
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """One broadcast of each; only done once."""
        with torch.no_grad():
            for tensor in tensors:
                self._together(lambda tensor=tensor: dist.broadcast(tensor, 0))

    def __enter__(self) -> "World":
        self._training = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._training = False
        if error is not None:
            with contextlib.suppress(RuntimeError):
                # Noted before it leaves: the others hear of it by a broken collective, and must not report it again.
                if not isinstance(error, LostError):
                    self._board.add("said/lost", 1)  # this process says itself what happened
                self._board.set(f"left/{self.rank}", f"{type(error).__name__}: {_line(error)}")
            self._ended.set()

    def _together(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise LostError(self._lost(self._missing(error))) from error

    def _missing(self, error: RuntimeError) -> str:
        """Who is to blame for a collective that failed, in words."""
        try:
            before = self._beats()
            time.sleep(3 * BEAT)
            after = self._beats()
            left = {r: self._board.get(f"left/{r}").decode() for r in self._others if self._has_left(r)}
        except RuntimeError:
            return "torchrun's store does not answer: its host, or torchrun itself, is gone"
        reasons = [f"rank {r} stopped ({why})" for r, why in left.items() if not why.startswith(LostError.__name__)]
        silent = [r for r in self._others if r not in left and before[r] == after[r]]
        reasons += [f"rank {r} is gone (killed, out of memory, or its host is down)" for r in silent]
        return ", ".join(reasons) or f"the connection to another process broke ({_line(error)})"

    def _lost(self, what: str) -> str:
        return (
            f"{what}, one of {self.size} processes, at step {self.step}. The others stop too; nothing is half-written. "
            "Start the same command again, with any number of processes: a run goes on from its last checkpoint"
        )

    def _watch(self) -> None:
        """Beat, and end the process when another one, or the store, has been silent for too long."""
        count, beats = 0, [b""] * self.size
        heard = [time.monotonic()] * self.size
        answered = time.monotonic()
        while not self._ended.wait(BEAT):
            now, count = time.monotonic(), count + 1
            try:
                self._board.set(f"beat/{self.rank}", str(count))
                now_beating = self._beats()
                answered = now
            except RuntimeError:
                now_beating = beats
            heard = [now if new != old else then for new, old, then in zip(now_beating, beats, heard, strict=True)]
            beats = now_beating
            if not self._training:
                continue
            if now - answered > SILENCE:
                self._abandon(f"torchrun's store has been silent for {SILENCE:.0f} s: its host is gone")
            elif now == answered:
                silent = [r for r in self._others if now - heard[r] > SILENCE and not self._has_left(r)]
                if silent:
                    self._abandon(f"rank {silent[0]} has given no sign of life for {SILENCE:.0f} s")

    def _abandon(self, what: str) -> None:
        error = LostError(self._lost(what))
        if mine_to_say(error):
            print(f"innerloop: {error}", file=sys.__stderr__, flush=True)
        os._exit(error.code)

    @property
    def _others(self) -> list[int]:
        return [r for r in range(self.size) if r != self.rank]

    def _beats(self) -> list[bytes]:
        return self._board.multi_get([f"beat/{r}" for r in range(self.size)])

    def _has_left(self, rank: int) -> bool:
        return self._board.check([f"left/{rank}"])

    def _end(self) -> None:
        """At exit: silence from now on is no alarm."""
        failed = self._ended.is_set()
        self._ended.set()
        # A thread of torch's that needs Python when there is none any more aborts the process: the one that watches is
        # waited for, and gloo's are given time to let go of the tensors of the last collective.
        self._watching.join()
        if not failed:
            time.sleep(0.1)
            with contextlib.suppress(RuntimeError):
                self._board.set(f"left/{self.rank}", "done")
            dist.destroy_process_group()


_JOINED: list[Processes] = []


def join() -> World:
    """The world this process belongs to, as torchrun's environment variables say; connected once.

    Raises:
        InputError: The variables are incomplete or no numbers.
        FailedError: The other processes cannot be reached.
    """
    rank, size = _rank_and_size()
    if size == 1:
        return World()
    # Joined once and kept: a second training in the same process meets the same others.
    if not _JOINED:
        _JOINED.append(Processes(rank, size))
    return _JOINED[0]


@contextlib.contextmanager
def only_first_prints() -> Iterator[None]:
    """Let only the first process print; errors still pass."""
    if _rank_and_size()[0] == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        try:
            yield
        except SystemExit as leaving:
            if leaving.code:  # torchrun ends all as soon as one fails: the first is still saying why
                time.sleep(5)
            raise


def mine_to_say(error: BaseException) -> bool:
    """Whether this process is the first of the job to say this, so that it is said once."""
    if _rank_and_size()[1] == 1:
        return True
    what = "lost" if isinstance(error, LostError) else hashlib.sha256(str(error).encode()).hexdigest()
    try:
        return _board().add(f"said/{what}", 1) == 1
    except RuntimeError:  # nobody can be asked
        return True


def _rank_and_size() -> tuple[int, int]:
    """Rank and size from the environment."""
    variables = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if variables.get("WORLD_SIZE", "1") == "1" and variables.get("RANK", "0") == "0":
        return 0, 1
    start = "start several processes with `torchrun --nproc-per-node 2 -m innerloop.cli.main train ...`"
    missing = [name for name in VARIABLES if name not in variables]
    if missing:
        settings = ", ".join(f"{k}={v}" for k, v in variables.items())
        raise InputError(f"{settings} in the environment, but no {', '.join(missing)}: {start}, or unset them for one")
    numbers = {name: variables[name] for name in VARIABLES if name != "MASTER_ADDR"}
    wrong = [f"{k}={v}" for k, v in numbers.items() if not v.isdecimal()]
    rank, size = (0, 0) if wrong else (int(variables["RANK"]), int(variables["WORLD_SIZE"]))
    if wrong or rank >= size or int(variables["LOCAL_WORLD_SIZE"]) < 1:
        settings = ", ".join(wrong) or ", ".join(f"{k}={v}" for k, v in numbers.items())
        raise InputError(f"{settings} in the environment makes no sense: {start}, or unset them for one")
    return rank, size


@functools.cache
def _board() -> Store:
    """Notes the processes leave each other, in the store through which torchrun joins them.

    A restart of the job by torchrun (`--max-restarts`) finds a board of its own.
    """
    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(*where, None, False, timedelta(seconds=10))  # pyright: ignore[reportPrivateImportUsage]
    return PrefixStore(f"innerloop/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _line(error: BaseException) -> str:
    """The first line of what it says, without torch's call stack."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
