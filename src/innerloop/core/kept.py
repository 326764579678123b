"""Values that cost time to make, a small JSON file each in the cache folder.

Nothing depends on one: a folder that cannot be written, or a file that cannot be read, costs the time of making it
again.
"""

import hashlib
import json
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from innerloop.core import files
from innerloop.core.context import Root, cache_folder
from innerloop.core.errors import InputError


class Kept:
    """Where a value is kept.

    Args:
        kind: What it is; the folder in the cache folder.
        key: Plain JSON: all that it depends on.
        root: Whose cache folder; None: the environment's, or the user's.
    """

    def __init__(self, kind: str, key: Any, root: Root = None):
        self._key = json.loads(json.dumps(key))  # as it comes back from the file
        digest = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()
        self.path: Path = cache_folder(root) / kind / f"{digest[:32]}.json"

    def read(self) -> Any:
        """What was kept; None where nothing was, or it cannot be read."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        try:
            kept = json.loads(text)
            if kept["key"] != self._key:
                raise ValueError("of something else")
            return kept["value"]
        except (ValueError, LookupError, TypeError):
            self.passed_over()
            return None

    def write(self, value: Any) -> None:
        """Keep plain JSON, if the folder can be written."""
        with suppress(InputError):
            files.write(self.path, json.dumps({"key": self._key, "value": value}, indent=1) + "\n")

    def passed_over(self) -> None:
        """Say that what was kept is of no use."""
        warnings.warn(f"{self.path} is damaged, and passed over: it is made again", stacklevel=2)


def installation() -> dict[str, Any]:
    """What follows from the installed packages alone follows from this: where they lie, and when they were changed."""
    own = Path(__file__).parents[1]
    changed = {str(path.relative_to(own)): path.stat().st_mtime_ns for path in sorted(own.rglob("*.py"))}
    places = {place: os.stat(place).st_mtime_ns for place in sys.path if os.path.isdir(place)}
    return {"python": sys.version, "own": str(own), "changed": changed, "places": places}
