"""The pictures of `docs/gallery.md`, drawn by what stands on it: `make gallery`, or `python -m tests.docs.gallery`.

The page leaves files `gallery-NAME.png` and, under the same names, the numbers behind them.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

from tests.docs import blocks, reader

PAGE = blocks.ROOT / "docs" / "gallery.md"
IMAGES = blocks.ROOT / "docs" / "images"
DATA = IMAGES / "gallery.json"
_SIGN = "innerloop-data"


def draw(folder: Path) -> dict[str, Any]:
    """Run the page in `folder`, the current one: the numbers behind each picture, by its name."""
    names = reader.run(blocks.blocks(PAGE))
    return {name_of(path): rounded(names[name_of(path)]) for path in made(folder)}


def name_of(path: Path) -> str:
    """What a picture is called, and its numbers on the page."""
    return path.stem.removeprefix("gallery-")


def made(folder: Path) -> list[Path]:
    """The pictures in a folder."""
    return sorted(folder.glob("gallery-*.png"))


def rounded(value: Any) -> Any:
    """Lists and dicts of numbers with four digits each."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def digest(value: Any) -> str:
    """SHA-256 of what is behind a picture."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def signed(png: bytes, sign: str) -> bytes:
    """A PNG file with `sign` in a chunk of text before its end."""
    content = b"tEXt" + f"{_SIGN}\0{sign}".encode("latin-1")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:-12] + chunk + png[-12:]


def sign_of(png: bytes) -> str | None:
    """What `signed` put into a file; None: nothing."""
    place = png.find(f"tEXt{_SIGN}\0".encode())
    if place < 0:
        return None
    (length,) = struct.unpack(">I", png[place - 4 : place])
    return png[place + 4 : place + 4 + length].decode("latin-1").partition("\0")[2]


def main() -> None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            data = draw(Path(name))
        finally:
            os.chdir(before)
        for path in made(IMAGES):
            path.unlink()
        for path in made(Path(name)):
            shutil.copy(path, IMAGES)
            one = IMAGES / path.name
            one.write_bytes(signed(path.read_bytes(), digest(data[name_of(path)])))
    lines = (f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in data.items())
    DATA.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"drawn: {', '.join(data)}")


if __name__ == "__main__":
    main()
