"""`innerloop export <file>`."""

from dataclasses import dataclass, field
from typing import Any, Literal

import tyro
from rich.console import Console

from innerloop.cli.options import Common, emit, parse, print
from innerloop.fewshot import paths


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop export`."""

    file: tyro.conf.Positional[str]
    """What `innerloop adapt` wrote."""
    out: str
    """The file to write."""
    to: Literal["onnx", "pt2"] | None = None
    """onnx: for any runtime; pt2: for torch without innerloop. None: as the ending of --out says."""
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Write one graph from pixels or features to calibrated probabilities, checked against the original."""
    options = parse(Command, argv, "export", run.__doc__ or "")
    paths.existing(options.file)
    from innerloop.fewshot.commands import export

    console = Console(stderr=True)
    with console.status("exporting, and running it beside the original"):
        summary = export(options.file, options.out, options.to, options.common)
    if options.common.json:
        emit(summary)
        return 0
    size = f"{summary['bytes'] / 1e6:.2f} MB, {len(summary['classes'])} classes"
    print(f"wrote {summary['file']} ({size}): {_inside(summary)}")
    rounding = summary["beyond_tolerance_by_rounding"]
    known = f", of which {rounding:.1e} is rounding that the original has as well" if rounding else ""
    print(f"largest difference on {summary['inputs_checked']} inputs: {summary['largest_difference']:.1e}{known}")
    times = summary["milliseconds_an_input"], summary["milliseconds_of_original"]
    print(f"{times[0]:.3g} ms an input, the original {times[1]:.3g} ms")
    return 0


def _inside(summary: dict[str, Any]) -> str:
    """What goes in and comes out, in a line."""
    first = summary["input"]
    shape = ", ".join(["n", *map(str, first["shape"][1:])])
    before = f" that the encoder {first['encoder']} makes, which is not in the file" if "encoder" in first else ""
    return f"{first['name']} [{shape}]{before} -> {', '.join(summary['outputs'])}"
