"""The code of the guide runs."""

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


@pytest.mark.parametrize("page", ["own-update.md"])
def test_the_code_of_a_page_runs(page, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert "coverage_90" in capsys.readouterr().out
