"""Measure every threshold of the field anew: three seeds, as this processor is and with MKL as on AMD.

`python -m tests.field.measure` takes an hour on two cores, and rewrites `measured.json`; with words for pytest, such as
`-k siamese`, only what those tests measure is renewed there. It needs the data sets.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import processor
from tests.field.margins import FILE, WRITE, measured
from tests.portable import SETTINGS, has_effect, shim

SEEDS = (0, 1, 2)


def main(words: list[str]) -> int:
    others, found = measured() if words else {}, {}
    with shim() as library:
        amd = {"LD_PRELOAD": str(library)}
        if not has_effect(SETTINGS["amd"], os.environ | amd):
            raise SystemExit("MKL as on AMD takes Linux on x86-64, torch with MKL, and a C compiler")
        for make, variables in {processor(): {}, f"{processor()}, MKL as on AMD": amd}.items():
            for seed in SEEDS:
                _add(found, make, _run(variables | {"INNERLOOP_FIELD_SEED": str(seed)}, words))
                _write(others | found)  # after every run, so that stopping loses one
    return 0


def _run(variables: dict[str, str], words: list[str]) -> list[dict[str, Any]]:
    """What one run of the slow tests of this folder measured, whether they passed or not."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "measured.jsonl"
        command = [sys.executable, "-m", "pytest", "-n", "2", "-q", "-m", "slow", *words, str(FILE.parent)]
        subprocess.run(command, env=os.environ | variables | {WRITE: str(lines)}, check=False)
        return [json.loads(line) for line in lines.read_text().splitlines()]


def _write(found: dict[str, Any]) -> None:
    about = {"command": "python -m tests.field.measure", "date": str(date.today()), "torch": torch.__version__}
    head = json.dumps(about | {"seeds": SEEDS})[:-1]
    lines = [f"{json.dumps(what)}: {json.dumps(known)}" for what, known in sorted(found.items())]
    FILE.write_text(f'{head}, "thresholds": {{\n' + ",\n".join(lines) + "\n}}\n")


def _add(found: dict[str, Any], make: str, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        known = found.setdefault(line["what"], {"least": line["least"], "most": line["most"], "values": {}})
        known["values"].setdefault(make, []).append([round(line["value"], 5), round(line["ci95"], 5)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
