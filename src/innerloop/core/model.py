"""Networks as pure functions: an ordinary `nn.Module`, wrapped so that its tensors are arguments."""

import abc
import contextlib
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from innerloop.core import faithful, guards, norm
from innerloop.core.context import under
from innerloop.core.duplicate import duplicate
from innerloop.core.errors import InputError
from innerloop.core.ranges import Checked
from innerloop.core.types import Params

T = TypeVar("T")
_SEED_OF_BUFFERS = 0
_TRIES = 3
"""Inputs on which a network may not be comparable with its module before it is taken as it is."""


@dataclass(frozen=True)
class Model(Checked, abc.ABC):
    """A network without its tensors. Subclasses are frozen dataclasses of sizes with one method, `build`.

    Batch, instance and layer norms of the built module are replaced (see `core.norm`), and what cannot be
    differentiated twice is routed around or refused (`core.guards`). On the first rows that it sees, what came of the
    module is compared with the module itself (`core.faithful`). Buffers (positional codes, running statistics of norms
    in eval mode) and frozen parameters stay on the module, follow the device of `x`, and are never learned.
    """

    wanted = "a Model, which holds no tensors: {name}=Module(lambda: network), from innerloop.core.model"

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """A fresh module, drawing its initial weights from torch's global generator."""

    def init(self, seed: int) -> Params:
        """Initial parameters, a function of `seed` alone; those with `requires_grad=False` are not among them."""
        with torch.inference_mode(False):  # tensors of inference mode could never be trained
            network = norm.convert(self._fresh(seed))
            return {k: p.detach().clone() for k, p in network.named_parameters() if p.requires_grad}

    def apply(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """The network's outputs for [n, ...] inputs.

        Args:
            params: As from `init`; with the entries of `with_statistics`, batch norms use those.
            x: Inputs; a dict is passed as keyword arguments.
            mask: [n] bool, the rows whose statistics count; None: all.

        Raises:
            InputError: Parameters are missing or of another network; or, on the first rows, the wrapped network is not
                the module that was given.
        """
        return self._twin(params, x).call(params, x, mask)

    def with_statistics(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Params:
        """`params` with the batch-norm statistics of these rows added, replacing older ones."""
        twin = self._twin(params, x)
        return twin.observe(params, x, mask)[1] if twin.statistics else params

    def observe(
        self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None
    ) -> tuple[Tensor, Params]:
        """`apply` by the statistics of these rows, and `with_statistics`, for the price of one."""
        return self._twin(params, x).observe(params, x, mask)

    def norm_weights(self) -> frozenset[str]:
        """Names of the scales and shifts of batch norms that are learned."""
        kinds = norm.BatchNorm | nn.modules.batchnorm._BatchNorm
        norms = [(name, m) for name, m in self._skeleton().named_modules() if isinstance(m, kinds)]
        names = {f"{name}.{k}" if name else k for name, m in norms for k, _ in m.named_parameters()}
        return frozenset(names & self.__dict__["_learned"])

    def buffers(self) -> Params:
        """Tensors of the network that are not learned, frozen parameters too; saved beside the parameters."""
        return {k: b.detach() for k, b in self._kept().items()}

    def load_buffers(self, buffers: Params) -> None:
        """Restore what `buffers` returned, in every thread.

        Release 0.1.0 kept neither frozen parameters nor running statistics: networks that it trained normalise by a
        task's own rows, as they did then.
        """
        with torch.no_grad():
            for k, b in self._kept().items():
                if k in buffers:
                    b.copy_(buffers[k])
                else:
                    norm.forget(self._skeleton(), k)
        object.__setattr__(self, "_local", threading.local())  # twins of another device or dtype have copies

    def _kept(self) -> Params:
        skeleton = self._skeleton()
        frozen = {k: p for k, p in skeleton.named_parameters() if k not in self.__dict__["_learned"]}
        return frozen | dict(skeleton.named_buffers())

    def _fresh(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.build()
        if not isinstance(module, nn.Module):
            raise InputError(f"a network must be an nn.Module, and this factory makes a {type(module).__name__}")
        if getattr(type(module), "forward", None) is nn.Module.forward and "forward" not in vars(module):
            name = type(module).__name__
            raise InputError(f"{name} has no method forward(self, x): write the one that takes a batch to its outputs")
        return guards.prepare(module)

    def _skeleton(self) -> nn.Module:
        """The one module whose buffers are real; built once, shared by the twins."""
        state = self.__dict__
        if "_module" not in state:
            # The first use may be under a transform, which refuses to draw weights; transforms are per thread.
            original = _elsewhere(lambda: self._fresh(_SEED_OF_BUFFERS))
            module = _elsewhere(lambda: norm.convert(duplicate(original)))
            learned = frozenset(k for k, p in module.named_parameters() if p.requires_grad)
            _elsewhere(lambda: module.requires_grad_(False))
            with _BUILDING:
                if "_module" not in state:
                    object.__setattr__(self, "_learned", learned)
                    object.__setattr__(self, "_local", threading.local())
                    object.__setattr__(self, "_checking", _Checking(original))
                    object.__setattr__(self, "_module", module)
        return state["_module"]

    def _twin(self, params: Params, x: Tensor | dict[str, Tensor]) -> "_Twin":
        """This thread's copy: `functional_call` swaps tensors on the module, so threads must not share one."""
        skeleton = self._skeleton()
        local, rows = self.__dict__["_local"], next(iter(x.values())) if isinstance(x, dict) else x
        key = rows.device, next(iter(params.values()), rows).dtype
        if getattr(local, "key", None) != key:
            checking: _Checking = self.__dict__["_checking"]
            if not checking.done and not torch.compiler.is_compiling():
                _elsewhere(lambda: checking.check(skeleton, x))
            local.twin = _elsewhere(lambda: _Twin(skeleton, key, self.__dict__["_learned"], checking.functional))
            local.key = key if checking.done else None  # looked at again as long as it is not
        return local.twin

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self  # immutable, as far as anyone can tell


_BUILDING = threading.Lock()
_NOTHING = contextlib.nullcontext()


@dataclass(frozen=True)
class Module(Model):
    """Anyone's `nn.Module`: `Module(lambda: nn.Linear(4, 2))`.

    Norms in eval mode keep their running statistics, those in train mode use the task's. Saving a run needs a factory
    that has a name: a function or class of an importable module.
    """

    factory: Annotated[Callable[[], nn.Module], "a function without arguments that makes the network"]

    def __post_init__(self) -> None:
        if isinstance(self.factory, nn.Module):
            name = type(self.factory).__name__
            raise InputError(f"Module takes a function that makes the network, got a {name}: Module(lambda: network)")

    def build(self) -> nn.Module:
        return _own(self.factory())


@dataclass(frozen=True)
class ModuleWith(Model):
    """`Module` of a class or function that takes arguments: `ModuleWith(MyNet, (("outputs", 5),))`."""

    factory: Annotated[Callable[..., nn.Module], "a class or function that makes the network"]
    arguments: tuple[tuple[str, Any], ...] = ()
    """Names and plain values, which are kept with a run."""

    def __post_init__(self) -> None:
        # A file may name functions of this package because none of them can be a factory; with arguments one could.
        home = getattr(self.factory, "__module__", None) or ""
        if inspect.isfunction(self.factory) and under(home, "innerloop"):
            raise InputError(f"'{self.factory.__name__}' of {home} makes no network: give a class or function of yours")

    def build(self) -> nn.Module:
        return _own(self.factory(**dict(self.arguments)))


def _own(module: Any) -> Any:
    """A copy: a factory may hand out one and the same network, which must stay as it is."""
    return duplicate(guards.refuse_gradient_hooks(module)) if isinstance(module, nn.Module) else module


class _Checking:
    """Whether a network was compared with its module, and what was learned from that."""

    def __init__(self, original: nn.Module):
        self.original: nn.Module | None = original
        self.done, self.tries = False, 0
        self.functional = True
        """Whether functional norms must be caught; until it is known, they are."""
        self._lock = threading.Lock()

    def check(self, skeleton: nn.Module, x: Any) -> None:
        with self._lock:
            if self.done or self.original is None:
                return
            self.tries += 1
            functional = faithful.check(self.original, skeleton, faithful.values(x))
            if functional is not None:
                self.functional = functional
            if functional is not None or self.tries >= _TRIES:
                self.done, self.original = True, None


class _Twin:
    """One thread's copy of a network for one device and dtype."""

    def __init__(
        self,
        skeleton: nn.Module,
        key: tuple[torch.device, torch.dtype],
        learned: frozenset[str],
        functional: bool,
    ):
        device, dtype = key
        self.module, self.learned = duplicate(skeleton, shared=True), learned
        weights = [p for p in skeleton.parameters() if p.is_floating_point()]
        own = weights[0].dtype if weights else dtype
        moved: dict[int, Tensor] = {}
        for m in self.module.modules():
            for kind in (m._parameters, m._buffers):
                for name, v in kind.items():
                    if v is not None:
                        to = v.to(device, dtype if v.dtype == own and dtype.is_floating_point else v.dtype)
                        if to is not v:
                            to = moved.setdefault(id(v), nn.Parameter(to, False) if kind is m._parameters else to)
                        kind[name] = to  # pyright: ignore[reportArgumentType]
        self.functional = norm.Functional() if functional else None
        self.norms = [m for m in self.module.modules() if isinstance(m, norm.BatchNorm) and m.statistics is not None]
        for m in self.norms:
            m.watched = functional
        self.statistics = [m.statistics for m in self.norms if m.statistics is not None]
        self.statistics += [] if self.functional is None else [self.functional.statistics]
        self.others = {k for k, _ in self.module.named_parameters()} - learned
        self.others |= {k for k, _ in self.module.named_buffers()}

    def call(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None) -> Tensor:
        tensors = dict(params)
        try:
            for statistics in self.statistics:
                statistics.begin(tensors, mask)
            if tensors.keys() != self.learned:
                self._refuse(tensors)
            positional, named = ((), x) if isinstance(x, dict) else ((x,), None)
            with self.functional or _NOTHING:
                if torch.is_grad_enabled() and not torch.compiler.is_compiling():
                    with guards.math_attention:
                        return functional_call(self.module, tensors, positional, named)
                return functional_call(self.module, tensors, positional, named)
        finally:
            for statistics in self.statistics:
                statistics.end()

    def observe(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None) -> tuple[Tensor, Params]:
        plain = dict(params)
        for statistics in self.statistics:
            statistics.begin(plain, None)
            statistics.stored = []
            statistics.observed = []
        pairs = [(statistics, statistics.observed) for statistics in self.statistics]
        outputs = self.call(plain, x, mask)
        observed: Params = {}
        for statistics, pair in pairs:
            observed |= statistics.named(pair or [])
        return outputs, plain | observed if observed or len(plain) < len(params) else params

    def _refuse(self, tensors: Params) -> None:
        """Parameters that are none of this network's; those it does without may come along."""
        missing = sorted(self.learned - tensors.keys())
        strange = sorted(tensors.keys() - self.learned - self.others)
        if missing or strange:
            names, origin = ", ".join((missing or strange)[:3]), "give those of `init` or of a run of the same network"
            if missing:
                verb = "is" if len(missing) == 1 else "are"
                raise InputError(f"the network's {names} {verb} missing among the parameters: {origin}")
            raise InputError(f"these are not the parameters of this network: it has no {names}. Give{origin[4:]}")


def _elsewhere(work: Callable[[], T]) -> T:
    """`work()` in a thread of its own, where no transform, mode or autocast of this one holds."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(work).result()
