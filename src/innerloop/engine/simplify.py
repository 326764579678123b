"""Fewer operators for a recorded graph, what transforms leave behind for nothing, and a faster way to call them."""

import re
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

_ATEN = torch.ops.aten
_VIEWS = (_ATEN.view.default, _ATEN._unsafe_view.default)
_TURNS = (_ATEN.transpose.int, _ATEN.t.default)


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


def direct(module: GraphModule) -> Callable[..., Any]:
    """The graph as a function that calls its operators by themselves.

    The generated code looks each of them up by four names and goes through a Python frame: a fifth of a small step.
    """
    code = module.graph.python_code("self")
    operators: dict[Any, str] = {}

    def name(match: re.Match[str]) -> str:
        packet = getattr(getattr(torch.ops, match[1]), match[2])
        return operators.setdefault(getattr(packet, match[3])._op, f"operator_{len(operators)}") + "("

    source = re.sub(r"\btorch\.ops\.(\w+)\.(\w+)\.(\w+)\(", name, code.src)
    names = code.globals | {name: operator for operator, name in operators.items()}
    exec(compile(source, "<recorded step>", "exec"), names)
    return types.MethodType(names["forward"], module)


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
