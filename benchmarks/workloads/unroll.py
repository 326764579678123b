"""W5: a learned optimizer's meta-step, 20 steps of a coordinatewise LSTM on 100 random 10-dimensional quadratics."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.child import Work
from benchmarks.claim import Claim, Workload
from benchmarks.contest import Contender
from benchmarks.ours import Steps
from benchmarks.problems import META_LR
from innerloop.core import tree
from innerloop.core.gradient import grad
from innerloop.core.learner import Learner
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.engine.plan import Plan

PROBLEMS, SIZE, LENGTH, HIDDEN = 100, 10, 20, 20


def quadratics(problems: int) -> tuple[Tensor, Tensor, Tensor]:
    """`|W theta - y|^2`: W [problems, size, size], y and the starting theta [problems, size]."""
    draw = torch.Generator().manual_seed(0)
    matrices = torch.randn(problems, SIZE, SIZE, generator=draw)
    targets = torch.randn(problems, SIZE, generator=draw)
    return matrices, targets, torch.randn(problems, SIZE, generator=draw)


def cells() -> list[dict[str, Tensor]]:
    """Initial parameters of two LSTM cells and of the output layer."""
    return [{k: v.detach() for k, v in module.named_parameters()} for module in _modules()]


def plain(problems: int, length: int, together: bool) -> Work:
    """What a user of torch writes with `nn.LSTMCell`, one problem after another, or all as one batch."""
    matrices, targets, start = quadratics(problems)
    first, second, output = modules = _modules()
    optimizer = torch.optim.Adam(modules.parameters(), lr=META_LR)
    parts = [slice(0, problems)] if together else [slice(i, i + 1) for i in range(problems)]

    def value(theta: Tensor, part: slice) -> Tensor:
        residual = torch.einsum("pij,pj->pi", matrices[part], theta) - targets[part]
        return residual.square().sum(-1)

    def unrolled(part: slice) -> Tensor:
        theta, total = start[part], torch.zeros(())
        states: list[tuple[Tensor, Tensor] | None] = [None, None]
        for _ in range(length):
            with torch.enable_grad():
                leaf = theta.detach().requires_grad_()
                (slope,) = torch.autograd.grad(value(leaf, part).sum(), leaf)
            x = slope.reshape(-1, 1)
            for i, cell in enumerate((first, second)):
                states[i] = found = cell(x, states[i])
                x = found[0]
            theta = theta + 0.1 * output(x).view_as(theta)
            total = total + value(theta, part).sum() / problems
        return total

    def run() -> float:
        optimizer.zero_grad()
        total = 0.0
        for part in parts:
            loss = unrolled(part)
            loss.backward()
            total += loss.item()
        optimizer.step()
        return total

    return Work(run=run)


@dataclass(frozen=True, kw_only=True)
class Unroll(Learner[Tensor]):
    """The same for one problem, as a learner: what an engine that knows nothing of optimizers makes of it."""

    length: int

    def init(self, seed: int) -> Params:
        parts = cells()
        return tree.join(first=parts[0], second=parts[1], output=parts[2])

    def adapt(self, params: Params, support: Batch) -> Tensor:
        return self._unrolled(params, support)[0]

    def predict(self, params: Params, adapted: Tensor, x: Any) -> Tensor:
        return adapted

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        return self._unrolled(params, episode.support)[1], {}

    def _unrolled(self, params: Params, support: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(support.x, dict)
        matrix, target, theta = (support.x[k] for k in ("matrix", "target", "start"))

        def value(theta: Tensor) -> Tensor:
            return (matrix @ theta - target).square().sum()

        total = torch.zeros_like(target[0])
        zeros = torch.zeros(SIZE, HIDDEN)
        states = {"first": (zeros, zeros), "second": (zeros, zeros)}
        output = tree.part(params, "output")
        for _ in range(self.length):
            slope = grad(lambda p: value(p["theta"]), {"theta": theta.detach()}, create_graph=False)["theta"]
            x = slope[:, None]  # one coordinate a row
            for name in states:
                states[name] = _cell(tree.part(params, name), x, states[name])
                x = states[name][0]
            theta = theta + 0.1 * (x @ output["weight"].T + output["bias"])[:, 0]
            total = total + value(theta)
        return theta, total


def ours(problems: int, length: int, plan: dict[str, Any]) -> Work:
    matrices, targets, start = quadratics(problems)
    batch = Batch({"matrix": matrices, "target": targets, "start": start}, torch.zeros(problems, 1))
    return Work(run=Steps(Unroll(length=length), Episode(batch, batch), Plan(**plan)))


def _cell(cell: Params, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """`nn.LSTMCell`, written out: the native one cannot be differentiated under vmap."""
    hidden, memory = state
    gates = x @ cell["weight_ih"].T + cell["bias_ih"] + hidden @ cell["weight_hh"].T + cell["bias_hh"]
    let, forget, new, out = gates.chunk(4, -1)
    memory = forget.sigmoid() * memory + let.sigmoid() * new.tanh()
    return out.sigmoid() * memory.tanh(), memory


def _modules() -> nn.ModuleList:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.ModuleList([nn.LSTMCell(1, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)])


_SIZES = {"problems": PROBLEMS, "length": LENGTH}
_ONE, _ALL = _SIZES | {"together": False}, _SIZES | {"together": True}
_LOOP, _OURS = "benchmarks.workloads.unroll:plain", "benchmarks.workloads.unroll:ours"
_PLANS = tuple(
    Contender(name=name, make=_OURS, options=_SIZES | {"plan": {"name": plan}}, threads=threads, plan=plan)
    for name, plan, threads in (
        ("vmap", "vmap", 1),
        ("replay", "replay", 1),
        ("compile", "compile", 1),
        ("compile, 2 threads", "compile", 2),
    )
)
WORKLOADS = (
    Workload(
        name="W5",
        title="learned optimizer: 20-step unroll on 100 quadratics in 10 dimensions, two LSTM layers of 20, with Adam",
        contenders=(
            *_PLANS,
            Contender(name="loop over problems, LSTMCell", make=_LOOP, options=_ONE, threads=1),
            Contender(name="one batch, LSTMCell, 1 thread", make=_LOOP, options=_ALL, threads=1),
            Contender(name="one batch, LSTMCell, 2 threads", make=_LOOP, options=_ALL, threads=2),
            Contender(name="JAX scan", make="benchmarks.peers.jax:unroll", options=_SIZES),
        ),
        claims=(
            Claim(
                said="a plain loop with LSTMCell",
                ours="compile, 2 threads",
                others=("loop over problems, LSTMCell",),
                alternatives=("vmap", "replay", "compile"),
                least=18,
                aim=30,
            ),
            Claim(
                said="JAX scan",
                ours="compile, 2 threads",
                others=("JAX scan",),
                alternatives=("vmap", "replay", "compile"),
                least=1.6,
                aim=2,
            ),
        ),
        budget=30,
        note="Ours is the engine on a learner of some 40 lines that lives beside the benchmark.",
    ),
)
