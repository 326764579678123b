"""An adapted task as one portable graph: ONNX for any runtime, or `.pt2` for torch without this package.

Both hold in their metadata, as JSON under `innerloop`, the class names, what the input is and how pictures become it.
"""

import contextlib
import importlib.metadata
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import GraphModule

from innerloop.core import files, guards
from innerloop.core.aligned import from_numpy
from innerloop.core.errors import InnerloopError, InputError
from innerloop.core.importing import require
from innerloop.encoders.tuned import Tuned
from innerloop.fewshot import onnx_rows
from innerloop.fewshot.check_export import Checked, Run, check
from innerloop.fewshot.graph import Graph
from innerloop.fewshot.task import Task

Format = Literal["onnx", "pt2"]
KEY = "innerloop"
"""Key of ONNX's metadata, and before `.json` the name of the extra file in a `.pt2`."""
_EXTRA = f"{KEY}.json"
_BATCH = "n"
_OUTPUTS = ("probabilities", "accepted")
_PREPARED = (
    "paste the picture on a square of the mean colour of its border, scale it to size x size (Lanczos), divide by 255"
)
_HEARD = "make a picture of log-mel energy, [1, size, size], as innerloop.tasks.audio.sound_row, and divide it by 255"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written."""

    path: Path
    format: Format
    bytes: int
    seconds: float
    """To make it, without the check."""
    checked: Checked
    about: dict[str, Any]
    """The metadata."""


def export(task: Task, path: str | Path, to: Format | None = None) -> Exported:
    """Write a task as one graph from pixels or features to calibrated probabilities; any number of inputs at once.

    The graph is run beside the original before anything is written. Texts are no tensors: with an encoder of texts it
    begins with the encoder's features.

    Args:
        task: What was learned.
        path: The file.
        to: Its format; None: as the ending of `path` says.

    Raises:
        InputError: The learner or its network cannot be a graph, a package is missing, or the file cannot be written.
        FailedError: The graph does not answer as the task does.
    """
    path, to = Path(path), _format(Path(path), to)
    if to == "onnx":
        # Before the task is traced, which takes seconds.
        for module in ("onnx", "onnxscript", "onnxruntime"):
            require(module, "export to ONNX", "export")
    graph = Graph(task)
    about = _about(graph)
    start = time.perf_counter()
    with _quiet(), _explained(task, to), torch.no_grad():
        graph(torch.zeros(2, *graph.shape))  # builds what learners build once, before anything is traced
        content, run = (_onnx if to == "onnx" else _pt2)(_traced(graph), graph, about)
    seconds = time.perf_counter() - start
    with _quiet(), _explained(task, to):
        checked = check(graph, run)
    # Last: a graph that failed its check must not lie anywhere.
    files.write(path, content)
    return Exported(path=path, format=to, bytes=len(content), seconds=seconds, checked=checked, about=about)


def _format(path: Path, to: Format | None) -> Format:
    ending = path.suffix.removeprefix(".")
    if to is None and ending not in get_args(Format):
        raise InputError(f"{path} ends in neither .onnx nor .pt2: say which it is to be, onnx or pt2")
    name = ending if to is None else to
    if name not in get_args(Format):
        raise InputError(f"there is no format '{name}': choose onnx or pt2")
    if files.is_folder(path):
        raise InputError(f"{path} is a folder: give the file to write, such as {path / 'task'}.{name}")
    return "onnx" if name == "onnx" else "pt2"


def _traced(graph: Graph) -> ExportedProgram:
    # Not one row: torch.export takes sizes of 0 and 1 for constants.
    x = torch.rand(3, *graph.shape)
    program = torch.export.export(graph, (x,), dynamic_shapes=({0: Dim(_BATCH)},))
    _drop_unused(program)
    program.example_inputs = None  # as large as three photographs
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def _drop_unused(program: ExportedProgram) -> None:
    """Leave out tensors that nothing reads, such as the weights that fine-tuning started from."""
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    for node in [n for n in program.graph.nodes if n.op == "placeholder" and not n.users]:
        spec = specs[node.name]
        if spec.kind in (InputKind.BUFFER, InputKind.PARAMETER):
            program.graph_signature.input_specs.remove(spec)
            program.state_dict.pop(str(spec.target), None)
            program.graph.erase_node(node)
    program.graph_module.recompile()


def _pt2(program: ExportedProgram, graph: Graph, about: dict[str, Any]) -> tuple[bytes, Run]:
    out = io.BytesIO()
    torch.export.save(program, out, extra_files={_EXTRA: json.dumps(about, ensure_ascii=False)})
    # Read back, so that what is checked is what the file holds.
    module = torch.export.load(io.BytesIO(out.getvalue())).module()

    def run(x: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = module(x)
        return outputs if graph.rejects else (outputs, None)

    return out.getvalue(), run


def _onnx(program: ExportedProgram, graph: Graph, about: dict[str, Any]) -> tuple[bytes, Run]:
    import onnxruntime
    from onnxscript import optimizer

    outputs = _OUTPUTS if graph.rejects else _OUTPUTS[:1]
    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        # Its rewriting takes 1e-12 for 0 (a tolerance of 1e-8) and drops what keeps a division by a length finite.
        optimize=False,
        input_names=[about["input"]["name"]],
        output_names=outputs,
    )
    assert exported is not None
    optimizer.fold_constants(exported.model)
    optimizer.remove_unused_nodes(exported.model)
    proto: Any = exported.model_proto
    _tidy(proto, json.dumps(about, ensure_ascii=False))
    onnx_rows.pad_none(proto.graph)
    content: bytes = proto.SerializeToString(deterministic=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised as well
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = [from_numpy(value) for value in session.run(None, {about["input"]["name"]: x.numpy()})]
        return outputs[0], outputs[1] if graph.rejects else None

    return content, run


def _tidy(proto: Any, about: str) -> None:
    """Name the batch, leave out what the exporter notes about this machine and its own steps, add what we know."""
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_param = _BATCH
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer, proto.graph):
        del part.metadata_props[:]
    del proto.graph.value_info[:]
    proto.graph.name = KEY
    proto.producer_name, proto.producer_version = KEY, importlib.metadata.version(KEY)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=about)


def _about(graph: Graph) -> dict[str, Any]:
    """The metadata: all that one needs to feed the graph and to read its answers, in plain JSON."""
    source, calibration = graph.task.source, graph.task.calibration
    inputs: dict[str, Any] = {"name": "features", "shape": [None, *graph.shape], "dtype": "float32"}
    if graph.takes_pictures:
        inputs |= {"name": "pictures", "range": [0, 1], "layout": "[n, channels, height, width]"}
    elif source.encoder is not None:
        inputs["encoder"] = source.encoder_name or source.name
        if isinstance(source.encoder, Tuned):  # rows of the encoder as it comes would be answered, and wrongly
            inputs["encoder"] += f", tuned to this task ({source.encoder.pin.content[:16]})"
    outputs = {"probabilities": "[n, classes], given that it is one of the classes"}
    if graph.rejects:
        outputs["accepted"] = "[n], false: none of these"
    preprocessing = None
    if graph.takes_pictures:
        channels, size = graph.shape[0], graph.shape[-1]
        preprocessing = {
            "size": size,
            "channels": channels,
            "colours": "grey" if channels == 1 else "RGB",
            "ink": "dark" if graph.inverts else "light",
            "steps": _PREPARED,
        }
    elif source.kind == "sounds":
        preprocessing = {**(source.preprocessing or {}), "steps": _HEARD}
    return {
        "made_by": f"{KEY} {importlib.metadata.version(KEY)}",
        "classes": graph.task.classes,
        "input": inputs,
        "outputs": outputs,
        "preprocessing": preprocessing,
        "source": source.name,
        "learner": type(source.learner).__name__,
        "version": graph.task.history.present.version,
        "calibration": calibration.to_json(),
    }


@contextlib.contextmanager
def _explained(task: Task, to: Format) -> Iterator[None]:
    """Whatever the exporters make of a learner, in one message."""
    try:
        yield
    # These say themselves what to do.
    except (InnerloopError, MemoryError):
        raise
    except Exception as error:
        reason = guards.explain(error) or str(error).strip().partition("\n")[0] or type(error).__name__
        name = type(task.source.learner).__name__
        raise InputError(
            f"this task ({name} of '{task.source.name}') cannot be made into a graph of format {to}: {reason}. Nothing "
            "was written; try the other format, or keep the .fewshot file"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
