"""TensorBoard: event files in `tracking/tensorboard` of the run folder; `tensorboard --logdir runs` finds them."""

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from innerloop.track.base import Place, Point, Setting, State, Tracker


class TensorBoard(Tracker):
    """Writes what TensorBoard reads, by its own writer."""

    package, extra = "tensorboard", "tensorboard"

    def open(self, place: Place, settings: Mapping[str, Setting], state: State, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event: Any = Event
        self._writer = EventFileWriter(str(place.folder / "tensorboard"))
        if step:
            # Readers drop what an earlier process wrote of later steps and that was not kept as sent.
            log = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(wall_time=time.time(), step=step + 1, session_log=log))
        else:
            self._add(_hyper_parameters(settings), 0)
        self._writer.flush()

    def points(self, points: Sequence[Point]) -> None:
        for point in points:
            self._scalars(point.values, point.step)
        self._writer.flush()

    def curve(self, name: str, points: Sequence[Point]) -> None:
        self.points(points)

    def picture(self, name: str, file: Path, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        content = file.read_bytes()
        width, height = struct.unpack(">II", content[16:24])  # of the PNG's header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=content)
        self._add(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def final(self, values: Mapping[str, Setting], step: int) -> None:
        self._scalars({k: float(v) for k, v in values.items() if not isinstance(v, str)}, step)

    def close(self, reason: str | None) -> None:
        self._writer.close()

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._add(Summary(value=[Summary.Value(tag=k, simple_value=v) for k, v in values.items()]), step)

    def _add(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))


def _hyper_parameters(settings: Mapping[str, Setting]) -> Any:
    """What the plugin for hyper-parameters reads; its own writer of this takes TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info: Any = SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    content = HParamsPluginData(session_start_info=info, version=metadata.PLUGIN_DATA_VERSION).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content)
    about = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=metadata.SESSION_START_INFO_TAG, metadata=about)])
