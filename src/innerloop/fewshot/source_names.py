"""What sources are called; a misspelt name is told before torch is imported."""

import os
from pathlib import Path

from innerloop import encoders
from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.nearest import nearest

SHIPPED = Path(__file__).parent / "shipped"


def shipped() -> list[str]:
    """Names of the runs that are part of this package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def check(name: str) -> None:
    """Refuse what nothing is called.

    Raises:
        InputError: It is a folder of something else, or no encoder, shipped run, path, or name of a network or model.
    """
    path = Path(name)
    if files.is_folder(path) and not any(path.glob("config.json")) and not any(path.glob("seed-*/config.json")):
        raise InputError(
            f"{name} is a folder that holds no run, so nothing starts from it: name a run folder or an encoder, such "
            "as efficientnet-lite0; examples come after it"
        )
    there = files.is_folder(path) or files.is_file(path) or path.suffix == ".fewshot"
    if ":" not in name and not there and (os.sep in name or name not in [*encoders.listed(), *shipped()]):
        raise unknown(name)


def unknown(name: str) -> InputError:
    """The error of a name that nothing has."""
    # Names come first: most mistakes are a misspelt one, not a folder that is missing.
    known = [*encoders.listed(), *shipped(), "a run folder"]
    close = nearest(name, known).replace("'a run folder'", "a run folder")
    return InputError(f"there is no run folder, encoder or shipped run '{name}'{close}")
