"""What a single command costs: processor seconds and memory of a fresh process. `python -m benchmarks.startup`.

Nine processes of each, in turns; the median. What comes out is kept in `startup.json`; `docs/benchmarks.md` tells it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("startup.json")
TURNS = 9
TAUGHT = """text,label
where is my parcel,delivery
when will it arrive,delivery
has it been sent yet,delivery
I want my money back,refund
please refund what I paid,refund
how do I return these shoes,refund
"""
COMMANDS = {
    "innerloop --help": ["-m", "innerloop", "--help"],
    "import innerloop": ["-c", "import innerloop"],
    "import torch": ["-c", "import torch"],
    "from innerloop import FewShotClassifier": ["-c", "from innerloop import FewShotClassifier"],
    "the same after import torch": ["-c", "import torch; from innerloop import FewShotClassifier"],
    "innerloop predict, one sentence": ["-m", "innerloop", "predict", "t.fewshot", "q.txt"],
    "the same with --explain": ["-m", "innerloop", "predict", "t.fewshot", "q.txt", "--explain"],
    "innerloop show of a file that is missing": ["-m", "innerloop", "show", "none.fewshot"],
    "innerloop adapt with a misspelt name": ["-m", "innerloop", "adapt", "minilmm", "t.csv", "--out", "a"],
    "innerloop show": ["-m", "innerloop", "show", "t.fewshot"],
}


def cost(words: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and megabytes of a process."""
    out = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=out, stderr=out)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 2):  # 2: of a mistake
        raise RuntimeError(f"{words} ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.csv").write_text(TAUGHT)
        (folder / "q.txt").write_text("is it on its way\n")
        cost(["-m", "innerloop", "adapt", "use-multilingual", "t.csv", "--out", "t.fewshot"], folder)
        costs: dict[str, list[tuple[float, float]]] = {about: [] for about in COMMANDS}
        for _ in range(TURNS):
            for about, words in COMMANDS.items():
                costs[about].append(cost(words, folder))
    # Not before: a process begins with the memory of the one that started it, and this brings torch.
    from benchmarks import machine

    kept: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine.describe(), "turns": TURNS}
    for about, each in costs.items():
        seconds, megabytes = (statistics.median(values) for values in zip(*each, strict=True))
        kept[about] = {"seconds": seconds, "megabytes": megabytes}
        print(f"{about:40} {seconds:.2f} s {megabytes:.0f} MB", flush=True)
    PLACE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
