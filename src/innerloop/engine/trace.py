"""A piece recorded once as a graph of operators, then replayed, or compiled: Python's part of the work is done once.

For small networks the interpreter, the transforms and the dispatch of gradients cost ten times the arithmetic. What a
learner does with a piece cannot depend on the data (`vmap` demands the same), so one recording serves all.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.types import Episode, Params
from innerloop.engine import task_gradient
from innerloop.engine.plan import Plan
from innerloop.engine.simplify import direct, simplify

_KEPT = 16
_RECORDED: "OrderedDict[Any, Recorded]" = OrderedDict()


class Recorded:
    """A function from trees to a tree, as a graph of operators on their leaves; makes no graph for autograd.

    Args:
        f: A pure function.
        example: Its arguments; the graph holds for their shapes and types.
        plan: Whether to compile the graph, and how many Python threads will call it.
    """

    def __init__(self, f: Callable[..., Any], example: tuple[Any, ...], plan: Plan):
        self._shape: Any = None

        def flat(*leaves: Tensor) -> list[Tensor]:
            result = f(*tree.unflatten(example, leaves))
            self._shape = tree.map(lambda _: 0, result)
            # A leaf handed through has no place in the graph.
            return [leaf.clone() if any(leaf is own for own in leaves) else leaf for leaf in tree.flatten(result)]

        leaves = tree.flatten(example)
        with torch.enable_grad():
            # Fake: shapes only. A network's own buffers are real.
            make = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)
            graph = simplify(task_gradient.vmapped(lambda: make(*leaves)))
        self.operators = len(graph.graph.nodes)
        self._run = _compiled(graph, leaves, plan.threads) if plan.name == "compile" else direct(graph)

    def __call__(self, *trees: Any) -> Any:
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():  # what autograd would look at costs a tenth
            return tree.unflatten(self._shape, self._run(*tree.flatten(trees)))


def recorded(learner: Learner, params: Params, episodes: Episode, plan: Plan) -> Recorded:
    """`task_gradient.sums` of this learner for these shapes and this plan, recorded at the first call.

    Raises:
        InputError: What the learner does depends on values, so that it cannot be recorded.
    """
    # By value of the learner: two equal ones compute the same, and fields are all that a learner has.
    key = (learner, shapes((params, episodes)), plan)
    if key not in _RECORDED:
        example = ({k: v.detach() for k, v in params.items()}, episodes)
        _RECORDED[key] = Recorded(lambda p, e: task_gradient.sums(learner, p, e, plan), example, plan)
        if len(_RECORDED) > _KEPT:
            _RECORDED.popitem(last=False)
    _RECORDED.move_to_end(key)
    return _RECORDED[key]


def shapes(values: Any) -> tuple[Any, ...]:
    """What a recording holds for: paths, shapes, types and devices of the leaves."""
    return tuple((path, leaf.shape, leaf.dtype, leaf.device) for path, leaf in tree.items(values))


def _compiled(graph: torch.fx.GraphModule, leaves: list[Tensor], threads: int) -> Callable[..., Any]:
    """By inductor, called once so that it is ready; with one intra-op thread where Python threads will call it."""
    options: dict[str, Any] = {"cpp_wrapper": True} if _on_cpu(leaves) else {"triton.cudagraphs": True}
    intra_op = torch.get_num_threads()
    with Console(stderr=True).status(f"compiling {len(graph.graph.nodes):,} operators"):
        try:
            if threads > 1:
                torch.set_num_threads(1)
            with torch.no_grad():
                from torch import _inductor  # takes seconds, which no other command should wait for

                # Not `torch.compile`: its guards cost as much as a small step, and are not made for threads.
                run: Any = _inductor.compile(graph, [*leaves], options=options)
                run(*leaves)
        except Exception as error:  # whatever is missing or wrong in the compiler, other plans do not need it
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"this step cannot be compiled here ({line}): use another plan, such as replay") from error
        finally:
            torch.set_num_threads(intra_op)
    return run


def _on_cpu(leaves: list[Tensor]) -> bool:
    return all(leaf.device.type == "cpu" for leaf in leaves)
