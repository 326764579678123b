"""Installs the peers into the environment that runs this file: `make .venv-bench/.ready`.

A peer that cannot be installed stops nothing: why is kept beside the interpreter, and its rows say it.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

REASONS = Path(sys.prefix) / "peers.json"
"""Peer -> why it is missing; empty: it is there."""


def pip(*words: str, **environment: str) -> None:
    """Run pip quietly.

    Raises:
        RuntimeError: It failed; the message is the last line that it printed.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", words[0], "--quiet", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RuntimeError(next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "pip"))


def source(pin: str, folder: Path) -> Path:
    """The unpacked source distribution of a pinned package."""
    pip("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder), pin)
    archive = next(folder.glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def learn2learn(pin: str) -> None:
    """Its shipped .c files include a header that Python 3.11 no longer has: made again from the .pyx by Cython 3."""
    with tempfile.TemporaryDirectory() as folder:
        place = source(pin, Path(folder))
        pyx = [str(path) for path in (place / "learn2learn" / "data").glob("*.pyx")]
        subprocess.run([sys.executable, "-m", "cython", "-3", *pyx], check=True, capture_output=True)
        pip("install", "--no-deps", "--no-build-isolation", str(place))


def torchopt(pin: str) -> None:
    """Its wheel's extension lacks a symbol of this torch, and it works without one."""
    with tempfile.TemporaryDirectory() as folder:
        place = source(pin, Path(folder))
        pip("install", "--no-deps", "--no-build-isolation", str(place), TORCHOPT_NO_EXTENSIONS="1")


def plain(pin: str) -> None:
    pip("install", "--no-deps", pin)


PEERS: dict[str, tuple[str, Callable[[str], None]]] = {
    "learn2learn": ("learn2learn==0.2.0", learn2learn),
    "higher": ("higher==0.2.1", plain),
    "torchopt": ("torchopt==0.7.3", torchopt),
    "easyfsl": ("easyfsl==1.5.0", plain),
    "metalearn": ("parallel-metalearn==0.5.6", plain),
}


def main() -> None:
    reasons: dict[str, str] = {}
    try:
        pip("install", "--requirement", str(Path(__file__).with_name("requirements.txt")))
    except RuntimeError as error:
        reasons["jax"] = str(error)
    for name, (pin, install) in PEERS.items():
        print(f"installing {pin}", file=sys.stderr)
        try:
            install(pin)
            reasons[name] = ""
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            reasons[name] = str(error)
            print(f"  not installed: {error}", file=sys.stderr)
    REASONS.write_text(json.dumps(reasons, indent=1) + "\n")


if __name__ == "__main__":
    main()
