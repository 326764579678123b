"""The code of the guide runs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


@pytest.mark.parametrize(
    ("page", "printed"),
    [("own-update.md", ("coverage_90",)), ("your-own.md", ("5-way 2-shot blobs test", "root mean squared error"))],
)
def test_the_code_of_a_page_runs(page, printed, capsys, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text(), re.MULTILINE | re.DOTALL)
    module = ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)  # where dataclasses and scores look up names
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), vars(module))
    output = capsys.readouterr().out
    assert all(words in output for words in printed), output
