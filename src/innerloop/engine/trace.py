"""A piece recorded once as a graph of operators, then replayed, or compiled: Python's part of the work is done once.

For small networks the interpreter, the transforms and the dispatch of gradients cost ten times the arithmetic. What a
learner does with a piece cannot depend on the data (`vmap` demands the same), so one recording serves all.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.threads import compute_on_one_core
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import halves, task_gradient
from innerloop.engine.gradients import vmapped
from innerloop.engine.plan import Plan
from innerloop.engine.simplify import direct, simplify

_KEPT = 16
_RECORDED: "OrderedDict[Any, Any]" = OrderedDict()


class Recorded:
    """A function from trees to a tree, as a graph of operators on their leaves; makes no graph for autograd.

    Args:
        f: A pure function.
        example: Its arguments; the graph holds for their shapes and types, a compiled one for their strides as well.
        plan: Whether the graph is compiled, and on how many cores it is computed.
        compiled: Whether the graph is compiled after all; None: as the plan has it.
    """

    def __init__(self, f: Callable[..., Any], example: tuple[Any, ...], plan: Plan, compiled: bool | None = None):
        compiled = plan.compiled if compiled is None else compiled
        self._shape: Any = None

        def flat(*leaves: Tensor) -> list[Tensor]:
            result = f(*tree.unflatten(example, leaves))
            self._shape = tree.map(lambda _: 0, result)
            # A leaf handed through has no place in the graph.
            return [leaf.clone() if any(leaf is own for own in leaves) else leaf for leaf in tree.flatten(result)]

        leaves = _apart(tree.flatten(example))
        with torch.enable_grad():
            # Fake: shapes only. A network's own buffers are real.
            make = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)
            graph = simplify(vmapped(lambda: make(*leaves)))
        self.operators = len(graph.graph.nodes)
        self._run = _compiled(graph, leaves, plan.threads > 1 or plan.one_core) if compiled else direct(graph)
        self._cores = compute_on_one_core if plan.one_core else contextlib.nullcontext
        # CUDA graphs write into the same memory at every call, and what the last one gave may still be in use.
        self._volatile = compiled and not _on_cpu(leaves)

    def __call__(self, *trees: Any) -> Any:
        # What autograd would look at costs a tenth.
        with self._cores(), torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            results = self._run(*tree.flatten(trees))
            if self._volatile:
                results = [leaf.clone() for leaf in results]
            return tree.unflatten(self._shape, results)


def recorded(learner: Learner, params: Params, episodes: Episode, plan: Plan, compiled: bool = True) -> Recorded:
    """`task_gradient.sums` of this learner for these shapes and this plan, recorded at the first call.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Stacked tasks of one chunk.
        plan: A traced one.
        compiled: Whether to compile where the plan does; otherwise the operators are called as they were recorded.

    Raises:
        InputError: What the learner does depends on values, so that it cannot be recorded.
    """
    # By value of the learner: two equal ones compute the same, and fields are all that a learner has.
    compiled = compiled and plan.compiled
    key = (learner, shapes((params, episodes)), plan, compiled)
    example = ({k: v.detach() for k, v in params.items()}, episodes)

    def make() -> Recorded:
        return Recorded(lambda p, e: task_gradient.sums(learner, p, e, plan), example, plan, compiled)

    return _kept(key, make)


def recorded_query(
    learner: Learner, params: Params, episodes: Episode, plan: Plan, compiled: bool = True
) -> tuple[halves.QueryPass, int]:
    """`halves.query_pass` of this learner for the shapes of one task, recorded at the first call.

    Args:
        learner: The algorithm.
        params: Meta-parameters.
        episodes: Stacked tasks, the first of which is adapted to for its shapes.
        plan: Its precision, and how many Python threads will call what is recorded.
        compiled: Whether it is compiled; otherwise the operators are called as they were recorded.

    Returns:
        What is recorded, and how many operators it has.

    Raises:
        InputError: The learner has no query half by itself, or it depends on values.
    """
    if not halves.splits(learner):
        raise InputError(
            f"the loss of {type(learner).__name__} is not that of a query after adaptation, so there is no query half "
            "to compile: use the plan compile, threads or auto"
        )
    one = tree.slice(episodes, slice(0, 1))
    key = (learner, shapes((params, one)), plan.precision, plan.threads, compiled, "query")

    def make() -> tuple[Recorded, halves.Through]:
        with task_gradient.settings(learner, one, plan):
            leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
            adapted, through = halves.adapted_together(learner, leaves, one.support)
            example = _in_order({k: v.detach() for k, v in params.items()}, *halves.one_of(adapted, one.query, 0))

            def query_pass(params: Params, adapted: Any, query: Batch) -> halves.Given:
                return halves.query_pass(learner, params, adapted, query, through)

            return Recorded(query_pass, example, plan, compiled), through

    query, expected = _kept(key, make)

    def run(params: Params, adapted: Any, task: Batch, through: halves.Through) -> halves.Given:
        if through != expected:  # what a vmap leaves out of the graph, and one task alone does not
            return halves.query_pass(learner, params, adapted, task, through)
        return query(*_in_order(params, adapted, task))

    return run, query.operators


def _in_order(params: Params, adapted: Any, query: Batch) -> tuple[Params, Any, Batch]:
    """With the strides that a compiled graph was made for: `halves.one_of` gives pictures theirs."""

    def dense(leaf: Tensor) -> Tensor:
        return leaf if leaf.ndim == 4 and leaf.is_floating_point() else leaf.contiguous()

    return tree.map(Tensor.contiguous, params), tree.map(dense, adapted), tree.map(dense, query)


def _kept(key: Any, make: Callable[[], Any]) -> Any:
    if key not in _RECORDED:
        _RECORDED[key] = make()
        if len(_RECORDED) > _KEPT:
            _RECORDED.popitem(last=False)
    _RECORDED.move_to_end(key)
    return _RECORDED[key]


def shapes(values: Any) -> tuple[Any, ...]:
    """What a recording holds for: paths, shapes, types and devices of the leaves."""
    return tuple((path, leaf.shape, leaf.dtype, leaf.device) for path, leaf in tree.items(values))


def _compiled(graph: torch.fx.GraphModule, leaves: list[Tensor], alone: bool) -> Callable[..., Any]:
    """By inductor, called once so that it is ready; with one intra-op thread where whoever calls it has one core."""
    options: dict[str, Any] = {"cpp_wrapper": True} if _on_cpu(leaves) else {"triton.cudagraphs": True}
    intra_op = torch.get_num_threads()
    from rich.console import Console  # who only adapts and predicts need not wait for it

    with Console(stderr=True).status(f"compiling {len(graph.graph.nodes):,} operators"):
        try:
            if alone:
                torch.set_num_threads(1)
            # What torch keeps on disk was made for the vectors of one processor, and it does not look at that: on
            # another one, or under ATEN_CPU_CAPABILITY, it would give nonsense.
            vectors = torch.backends.cpu.get_cpu_capability()
            config: Any = torch.compiler.config
            with torch.no_grad(), config.patch(cache_key_tag=f"innerloop {vectors}"):
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


def _apart(leaves: list[Tensor]) -> list[Tensor]:
    """The leaves, of which no two are one object: the tracer would take them for one input, in calls to come too."""
    places = {id(leaf): i for i, leaf in reversed([*enumerate(leaves)])}
    return [leaf if places[id(leaf)] == i else leaf.detach() for i, leaf in enumerate(leaves)]


def _on_cpu(leaves: list[Tensor]) -> bool:
    return all(leaf.device.type == "cpu" for leaf in leaves)
