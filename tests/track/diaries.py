"""Trackers of one's own, as the process of a tracker makes them."""

import json
import shutil
import time

from innerloop.track.base import Tracker


class Diary(Tracker):
    """Writes what it hears into `diary.jsonl`."""

    package, extra = "json", "diary"

    def open(self, place, settings, state, step):
        self.file = place.folder / "diary.jsonl"
        state.setdefault("here", place.name)
        self._write(opened=state["id"], settings=dict(settings), step=step)

    def points(self, points):
        for point in points:
            self._write(step=point.step, values=point.values)

    def curve(self, name, points):
        self._write(curve=name, points=len(points))

    def picture(self, name, file, step):
        self._write(picture=name, bytes=len(file.read_bytes()))

    def final(self, values, step):
        self._write(final=dict(values))

    def close(self, reason):
        self._write(closed=reason)

    def _write(self, **entry):
        with self.file.open("a") as file:
            file.write(json.dumps(entry) + "\n")


class Slow(Diary):
    def points(self, points):
        time.sleep(0.08 * len(points))
        super().points(points)


class Hanging(Diary):
    def close(self, reason):
        time.sleep(20)


class Broken(Diary):
    def points(self, points):
        raise ValueError("no more room\nand more words")


class Loses(Diary):
    """Its disk goes: the folder that it writes into is removed."""

    def points(self, points):
        shutil.rmtree(self.file.parent)
        super().points(points)


class NeverOpens(Diary):
    def open(self, place, settings, state, step):
        raise SystemError("cannot")


class Dies(Diary):
    def points(self, points):
        import os

        os._exit(9)
