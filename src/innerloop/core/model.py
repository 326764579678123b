"""Networks as pure functions: an ordinary `nn.Module`, wrapped so that its tensors are arguments."""

import abc
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from innerloop.core import guards, norm
from innerloop.core.types import Params

_SEED_OF_BUFFERS = 0


@dataclass(frozen=True)
class Model(abc.ABC):
    """A network without its tensors. Subclasses are frozen dataclasses of sizes with one method, `build`.

    Batch, instance and layer norms of the built module are replaced (see `core.norm`), and what cannot be
    differentiated twice is routed around or refused (`core.guards`); other buffers (positional codes, frozen
    statistics) stay on the module, follow the device of `x`, and are never meta-learned.
    """

    @abc.abstractmethod
    def build(self) -> nn.Module:
        """A fresh module, drawing its initial weights from torch's global generator."""

    def init(self, seed: int) -> Params:
        """Initial parameters, a function of `seed` alone."""
        return {k: p.detach().clone() for k, p in self._fresh(seed).named_parameters()}

    def apply(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """The network's outputs for [n, ...] inputs.

        Args:
            params: As from `init`; with the entries of `with_statistics`, batch norms use those.
            x: Inputs; a dict is passed as keyword arguments.
            mask: [n] bool, the rows whose statistics count; None: all.
        """
        return self._call(self._twin(x), params, x, mask)

    def with_statistics(self, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None = None) -> Params:
        """`params` with the batch-norm statistics of these rows added, replacing older ones."""
        twin = self._twin(x)
        norms = {name: m for name, m in twin.named_modules() if isinstance(m, norm.BatchNorm)}
        if not norms:
            return params
        plain = {k: v for k, v in params.items() if not k.endswith(norm.STATISTICS)}
        observed: Params = {}
        for module in norms.values():
            module.observed = {}
        try:
            self._call(twin, plain, x, mask)
            for name, module in norms.items():
                prefix = f"{name}." if name else ""
                observed |= {prefix + k: v for k, v in (module.observed or {}).items()}
        finally:
            for module in norms.values():
                module.observed = None
        return plain | observed

    def norm_weights(self) -> frozenset[str]:
        """Names of the scales and shifts of batch norms."""
        norms = [(name, m) for name, m in self._skeleton().named_modules() if isinstance(m, norm.BatchNorm)]
        return frozenset(f"{name}.{k}" if name else k for name, m in norms for k, _ in m.named_parameters())

    def buffers(self) -> Params:
        """Tensors of the network that are not learned; saved beside the parameters."""
        return {k: b.detach() for k, b in self._skeleton().named_buffers()}

    def load_buffers(self, buffers: Params) -> None:
        """Restore what `buffers` returned, in every thread."""
        for k, b in self._skeleton().named_buffers():
            b.copy_(buffers[k])

    def _call(self, twin: nn.Module, params: Params, x: Tensor | dict[str, Tensor], mask: Tensor | None) -> Tensor:
        tensors = dict(params)
        if mask is not None:
            for name, m in twin.named_modules():
                if isinstance(m, norm.BatchNorm):
                    tensors[f"{name}.mask" if name else "mask"] = mask
        positional, named = ((), x) if isinstance(x, dict) else ((x,), None)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            with guards.math_attention:
                return functional_call(twin, tensors, positional, named)
        return functional_call(twin, tensors, positional, named)

    def _fresh(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return norm.replace(guards.prepare(self.build()))

    def _skeleton(self) -> nn.Module:
        """The one module whose buffers are real; built once, shared by the twins."""
        state = self.__dict__
        if "_module" not in state:
            # The first use may be under a transform, which refuses to draw weights; transforms are per thread.
            with ThreadPoolExecutor(1) as elsewhere:
                module = elsewhere.submit(lambda: self._fresh(_SEED_OF_BUFFERS).requires_grad_(False)).result()
            with _BUILDING:
                if "_module" not in state:
                    object.__setattr__(self, "_local", threading.local())
                    object.__setattr__(self, "_module", module)
        return state["_module"]

    def _twin(self, x: Tensor | dict[str, Tensor]) -> nn.Module:
        """This thread's shallow copy: `functional_call` swaps tensors on the module, so threads must not share one."""
        skeleton = self._skeleton()
        local = self.__dict__["_local"]
        device = (next(iter(x.values())) if isinstance(x, dict) else x).device
        if getattr(local, "device", None) != device:
            local.twin, local.device = _shallow(skeleton), device
            for module in local.twin.modules():
                for name, buffer in module._buffers.items():
                    module._buffers[name] = None if buffer is None else buffer.to(device)
        return local.twin

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        return self  # immutable, as far as anyone can tell


_BUILDING = threading.Lock()


@dataclass(frozen=True)
class Module(Model):
    """Anyone's `nn.Module`: `Module(lambda: nn.Linear(4, 2))`.

    Saving a run needs a factory that has a name: a function or class of an importable module.
    """

    factory: Callable[[], nn.Module]

    def build(self) -> nn.Module:
        # The factory may hand out one and the same network, which must stay as it is.
        return copy.deepcopy(self.factory())


def _shallow(module: nn.Module) -> nn.Module:
    """The same tensors on new module objects."""
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    twin._buffers = dict(module._buffers)
    twin._modules = {k: None if m is None else _shallow(m) for k, m in module._modules.items()}
    return twin
