"""Generated examples as files: a sheet, arrays, or a folder of pictures; whole or not at all."""

import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from innerloop.core import files
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.fewshot import generation
from innerloop.fewshot.asking import opened
from innerloop.fewshot.generation import Generated, of_task
from innerloop.fewshot.wish import Wish
from innerloop.tasks import contact_sheet

_UNSAFE = re.compile(r"[^\w .+-]+")


def generate(
    source: str, classes: Sequence[str], out: str, wish: Wish = Wish(), context: Context = Context()
) -> dict[str, Any]:
    """Generate examples and write them, as `innerloop generate` does.

    Args:
        source: A run, or a file of `adapt`, of a learner that can.
        classes: Folders, as of `generation.generate`; none for a file.
        out: As of `write`.
        wish: What is to be generated.
        context: What the source may name.

    Returns:
        The file, the examples that were given of each class, the ink, and the seconds that it took, in plain JSON.

    Raises:
        InputError: The learner cannot generate, examples cannot be read, or nothing can be written there.
    """
    check(out)
    start = time.perf_counter()
    if files.is_file(Path(source)) or Path(source).suffix == ".fewshot":
        if classes:
            raise InputError(f"{source} knows its classes: leave out {classes[0]}, or teach it by `innerloop add`")
        made = of_task(opened(source, context).task, wish)
    else:
        made = generation.generate(source, classes, wish, context.allow)
    return summary(made, write(made, out)) | {"seed": wish.seed, "seconds": time.perf_counter() - start}


def check(out: str | Path) -> None:
    """Refuse a place where nothing is written to, before any work.

    Raises:
        InputError: It has another ending, or there is a folder.
    """
    path = Path(out)
    if "\0" in str(out) or not str(out):
        raise InputError(f"out is the name of a file or folder, such as sheet.png; got {str(out)!r}")
    if path.suffix.lower() not in ("", ".png", ".npz"):
        raise InputError(f"{out} ends otherwise than in .png (a sheet) or .npz (arrays); a folder has no ending")
    if files.is_folder(path):
        raise InputError(f"{out} exists already and is a folder: give another name, so that nothing in it is mixed up")
    if not path.suffix and (files.is_file(path) or path.is_symlink()):
        raise InputError(f"{out} exists already and is a file, where a folder is to be made: give another name")


def write(generated: Generated, out: str | Path) -> Path:
    """Write generated examples.

    Args:
        generated: The examples.
        out: `.png`: one sheet, a row each class, what was given first. `.npz`: `x` [n, ...] and `y` [n] of the new
            examples, which `innerloop adapt` takes as they are, bytes for pictures. Without an ending: a folder of one
            for each class, of PNG files with ink as the given pictures had it.

    Raises:
        InputError: It cannot be written there, or the examples are no pictures.
    """
    check(out)
    path = Path(out)
    if path.suffix.lower() == ".png":
        files.write(path, sheet(generated))
    elif path.suffix.lower() == ".npz":
        files.write(path, _arrays(generated))
    else:
        _folder(generated, path)
    return path


def sheet(generated: Generated) -> bytes:
    """A PNG, a row each class: what was given, a rule, and the new examples.

    Raises:
        InputError: The examples are no pictures.
    """
    return contact_sheet.png(contact_sheet.sheet(generated.given, list(generated.x), generated.dark))


def summary(generated: Generated, out: str | Path) -> dict[str, Any]:
    """What was generated and how, in plain JSON."""
    return {
        "file": str(out),
        "learner": generated.learner,
        "examples": {str(name): len(x) for name, x in zip(generated.classes, generated.given, strict=True)},
        "count": generated.count,
        "ink": generated.ink,
    }


def _arrays(generated: Generated) -> bytes:
    rows = generated.x.flatten(0, 1)
    picture = contact_sheet.is_picture(rows.shape[1:])
    x = (rows.clamp(0, 1) * 255).round().byte().numpy() if picture else rows.numpy()
    out = io.BytesIO()
    np.savez_compressed(out, x=x, y=np.repeat(np.array(generated.classes), generated.count))
    return out.getvalue()


def _folder(generated: Generated, path: Path) -> None:
    if not contact_sheet.is_picture(generated.x.shape[2:]):
        raise InputError(f"examples of shape {list(generated.x.shape[2:])} are no pictures: write them as .npz")
    from PIL import Image

    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, x in zip(_names(generated.classes), generated.x, strict=True):
                (draft / name).mkdir()
                for j, pixels in enumerate(contact_sheet.bytes_of(x, generated.dark)):
                    Image.fromarray(pixels).save(draft / name / f"{j:03d}.png")
            files.share_folder(draft)
            os.rename(draft, path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _names(classes: Sequence[Any]) -> list[str]:
    """Names of folders, which no class may lead out of."""
    names: list[str] = []
    for i, label in enumerate(classes):
        name = _UNSAFE.sub("-", str(label)).strip(" .") or f"class {i}"
        names.append(name if name not in names else f"{name} {i}")
    return names
