"""Instructions of the Dockerfile, as an engine reads them."""

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_LINE = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)


class Instruction(NamedTuple):
    """One of a stage."""

    name: str
    text: str

    @property
    def words(self) -> list[str] | None:
        """What is run without a shell; None: it is not in that form."""
        found = re.search(r"\[.*\]\s*\Z", self.text, re.DOTALL)
        return None if found is None or not self.text.startswith(("[", "-")) else json.loads(found[0])


def stages(text: str) -> list[list[Instruction]]:
    """Instructions of each stage, with its FROM; those before the first stage come first."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[list[Instruction]] = [[]]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            read = _LINE.fullmatch(line.strip())
            assert read is not None, f"no instruction: {line}"
            if read[1] == "FROM":
                found.append([])
            found[-1].append(Instruction(read[1], read[2]))
    return found
