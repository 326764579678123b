"""No row at all, for a graph of ONNX: its runtimes give sums and reshapes over none another shape than torch does."""

from typing import Any

import numpy as np


def pad_none(graph: Any) -> None:
    """Let a graph see one row of zeros where it is given none, and leave that row out of what it returns.

    Args:
        graph: An `onnx.GraphProto` of one input, whose rows are its first dimension and that of every output. Changed
            in place.
    """
    from onnx import helper, numpy_helper

    (entry,) = graph.input
    rank = len(entry.type.tensor_type.shape.dim)
    padded = {value.name: f"{value.name}_padded" for value in (entry, *graph.output)}
    for node in graph.node:
        node.input[:] = [padded.get(name, name) for name in node.input]
        node.output[:] = [padded.get(name, name) for name in node.output]
    constants = {"zero": [0], "one": [1], "before": [0] * rank, "after": [0] * (rank - 1)}
    # Without an `if`, which few runtimes take: the padding is computed, and 0 where there are rows.
    nodes = [
        helper.make_node("Shape", [entry.name], ["rows"], start=0, end=1),
        helper.make_node("Sub", ["rows_one", "rows"], ["rows_lacking"]),
        helper.make_node("Max", ["rows_lacking", "rows_zero"], ["rows_added"]),
        helper.make_node("Concat", ["rows_before", "rows_added", "rows_after"], ["rows_pads"], axis=0),
        helper.make_node("Pad", [entry.name, "rows_pads"], [padded[entry.name]]),
        *graph.node,
        *(
            helper.make_node("Slice", [padded[one.name], "rows_zero", "rows", "rows_zero"], [one.name])
            for one in graph.output
        ),
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), f"rows_{name}") for name, values in constants.items()
    )
