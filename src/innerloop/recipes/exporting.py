"""From what `adapt` wrote to one graph that needs neither this package nor Python."""

from pathlib import Path
from typing import Any

from innerloop.core.errors import InputError
from innerloop.serve import export as graphs
from innerloop.serve import fewshot


def export(
    file: str | Path, out: str | Path, to: graphs.Format | None = None, allow: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Write an adapted task as ONNX or `.pt2`, once it was seen to answer as the task does.

    Args:
        file: What `adapt` wrote.
        out: The file to write.
        to: Its format; None: as the ending of `out` says.
        allow: Module prefixes besides `innerloop.` that the file may name.

    Returns:
        The file, its size in bytes, what goes in and comes out, the largest difference to the original, and the time of
        both for one input, in plain JSON.

    Raises:
        InputError: There is no such file, the learner cannot be a graph, or a package is missing.
        FailedError: The graph does not answer as the task does; nothing is written.
    """
    if Path(out).exists() and Path(file).exists() and Path(out).samefile(file):
        raise InputError(f"{out} is the task itself: give another file to write")
    made = graphs.export(fewshot.read(Path(file), allow), out, to)
    checked = made.checked
    return {
        "file": str(made.path),
        "format": made.format,
        "bytes": made.bytes,
        "seconds": made.seconds,
        "input": made.about["input"],
        "outputs": made.about["outputs"],
        "classes": made.about["classes"],
        "inputs_checked": checked.inputs,
        "largest_difference": checked.difference,
        "beyond_tolerance_by_rounding": checked.rounding,
        "milliseconds_an_input": 1e3 * checked.seconds / checked.inputs,
        "milliseconds_of_original": 1e3 * checked.seconds_of_original / checked.inputs,
    }
