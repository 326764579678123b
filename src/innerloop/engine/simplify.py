"""Fewer operators for a recorded graph, what transforms leave behind for nothing, and a faster way to call them."""

import copy
import functools
import re
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

_ATEN = torch.ops.aten
_VIEWS = (_ATEN.view.default, _ATEN._unsafe_view.default)
_TURNS = (_ATEN.transpose.int, _ATEN.t.default)
_DRAWS = torch.Tag.nondeterministic_seeded
_SMALL = 1 << 16
"""Entries of a tensor that is worth being kept."""


def simplify(module: GraphModule) -> GraphModule:
    """The same function with equal operators merged, and without views that change nothing.

    A graph that changes a tensor in place stays as it is.
    """
    if any(_mutates(node) for node in module.graph.nodes):
        return module
    from torch._functorch.compile_utils import fx_graph_cse  # brings sympy, which takes a second

    graph = fx_graph_cse(module.graph)
    for node in graph.nodes:  # in the order of execution, so that chains fall together
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], Node):
            continue
        source = node.args[0]
        if node.target in _VIEWS and source.target in _VIEWS:
            node.target = _ATEN.view.default
            node.replace_input_with(source, source.args[0])
        elif same := _unchanged(node, source):
            node.replace_all_uses_with(same)
    graph.eliminate_dead_code()
    return GraphModule(module, graph)


def direct(module: GraphModule) -> functools.partial[Any]:
    """The graph as a function that calls its operators by themselves.

    The generated code looks each of them up by four names and goes through a Python frame: a fifth of a small step.
    Those that depend on no input, such as the numbers of rows, are called now, once.
    """
    graph = copy.deepcopy(module.graph)
    constants = _hoisted(graph)
    code = graph.python_code("self")
    operators: dict[Any, str] = {}

    def name(match: re.Match[str]) -> str:
        packet = getattr(getattr(torch.ops, match[1]), match[2])
        return operators.setdefault(getattr(packet, match[3])._op, f"operator_{len(operators)}") + "("

    source = re.sub(r"\btorch\.ops\.(\w+)\.(\w+)\.(\w+)\(", name, code.src)
    names = code.globals | {name: operator for operator, name in operators.items()}
    exec(compile(source, "<recorded step>", "exec"), names)
    return functools.partial(names["forward"], module, *constants)


def _hoisted(graph: Graph) -> list[Tensor]:
    """Values of small tensors that no input reaches; they become the first inputs of the graph."""
    values: dict[Node, Tensor] = {}
    own = _written(graph) | set(graph.output_node().all_input_nodes)
    for node in graph.nodes:
        # What is written into or given out must be a tensor of its own at every call, and in every thread.
        if node.op != "call_function" or node in own or not all(n in values for n in node.all_input_nodes):
            continue
        if not isinstance(node.target, torch._ops.OpOverload) or _DRAWS in node.target.tags or _mutates(node):
            continue
        example = node.meta.get("val")
        if isinstance(example, Tensor) and example.numel() <= _SMALL:
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)
    first = next(iter(graph.nodes))
    used = [node for node in values if any(user not in values for user in node.users)]
    for i, node in enumerate(used):
        with graph.inserting_before(first):
            node.replace_all_uses_with(graph.placeholder(f"constant_{i}"))
    for node in reversed(values):
        graph.erase_node(node)
    return [values[node] for node in used]


def _written(graph: Graph) -> set[Node]:
    """What is changed in place, with all that it is made from: any of that may be a view of the same memory."""
    pending = [n for node in graph.nodes if _mutates(node) for n in node.all_input_nodes]
    found: set[Node] = set()
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.all_input_nodes)
    return found


def _unchanged(node: Node, source: Node) -> Any:
    """What the node's value is under another name; None if it is new."""
    if node.target is _ATEN.detach.default:
        return source
    if node.target in (*_VIEWS, _ATEN.expand.default) and node.meta["val"].shape == source.meta["val"].shape:
        return source
    if node.target in _TURNS and source.target is node.target and source.args[1:] == node.args[1:]:
        return source.args[0]
    return None


def _mutates(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
