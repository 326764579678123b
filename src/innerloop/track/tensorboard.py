"""TensorBoard: event files in `tracking/tensorboard` of the run folder; `tensorboard --logdir runs` finds them."""

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.track.base import Place, Point, Setting, State, Tracker


class TensorBoard(Tracker):
    """Writes what TensorBoard reads, by its own writer."""

    package, extra = "tensorboard", "tensorboard"

    def open(self, place: Place, settings: Mapping[str, Setting], state: State, step: int) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._proto = _protocol_buffers()
        self._writer = EventFileWriter(str(place.folder / "tensorboard"))
        if step:
            # Readers drop what an earlier process wrote of later steps and that was not kept as sent.
            log = self._proto.event.SessionLog(status=self._proto.event.SessionLog.START)
            self._writer.add_event(self._proto.event.Event(wall_time=time.time(), step=step + 1, session_log=log))
        else:
            self._add(hyper_parameters(settings), 0)
        self._writer.flush()

    def points(self, points: Sequence[Point]) -> None:
        for point in points:
            self._scalars(point.values, point.step)
        self._writer.flush()

    def curve(self, name: str, points: Sequence[Point]) -> None:
        self.points(points)

    def picture(self, name: str, file: Path, step: int) -> None:
        summary = self._proto.summary.Summary
        content = file.read_bytes()
        width, height = struct.unpack(">II", content[16:24])  # of the PNG's header
        image = summary.Image(width=width, height=height, colorspace=4, encoded_image_string=content)
        self._add(summary(value=[summary.Value(tag=name, image=image)]), step)

    def final(self, values: Mapping[str, Setting], step: int) -> None:
        self._scalars({k: float(v) for k, v in values.items() if not isinstance(v, str)}, step)

    def close(self, reason: str | None) -> None:
        self._writer.close()

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        summary = self._proto.summary.Summary
        self._add(summary(value=[summary.Value(tag=k, simple_value=v) for k, v in values.items()]), step)

    def _add(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._proto.event.Event(wall_time=time.time(), step=step, summary=summary))


def hyper_parameters(settings: Mapping[str, Setting]) -> Any:
    """What the plugin for hyper-parameters reads; its own writer of this takes TensorFlow."""
    from tensorboard.plugins.hparams import metadata

    proto = _protocol_buffers()
    info = proto.hparams.SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    data = proto.hparams.HParamsPluginData(session_start_info=info, version=metadata.PLUGIN_DATA_VERSION)
    about = proto.summary.SummaryMetadata
    plugin = about.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
    value = proto.summary.Summary.Value(tag=metadata.SESSION_START_INFO_TAG, metadata=about(plugin_data=plugin))
    return proto.summary.Summary(value=[value])


class _Proto(NamedTuple):
    """Modules whose classes are made when they are imported, so that no type checker knows them."""

    event: Any
    summary: Any
    hparams: Any


def _protocol_buffers() -> _Proto:
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.hparams import plugin_data_pb2

    return _Proto(event_pb2, summary_pb2, plugin_data_pb2)
