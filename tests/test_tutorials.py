"""The first tutorials run, and what they say of closed forms holds."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "guide" / "tutorials"


def ran(page: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """The names that a page's code leaves behind."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    module = ModuleType("tutorial")
    monkeypatch.setitem(sys.modules, "tutorial", module)
    for block in re.findall(r"^```python\n(.*?)^```", (TUTORIALS / page).read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, page, "exec"), vars(module))
    assert (folder / page.replace(".md", ".png")).exists()
    return vars(module)


def test_what_is_learned_on_lines_is_the_closed_form(tmp_path, monkeypatch):
    page = ran("lines.md", monkeypatch, tmp_path)
    assert (page["start"] - page["optimum"]).abs().max() < 1e-3
    assert (page["start"] - page["theta"].mean(0)).abs().max() > 1e-2  # which the optimum is not
    assert (page["learned_w"] - page["best_w"]).abs().max() < 1e-3
    assert (page["learned_r"] - page["best_r"]).abs().max() < 1e-3
    zero, maml, *_, ridge_zero, ridge = page["shared"].values()
    assert maml < zero / 4 and ridge < ridge_zero / 2
    zero, maml, *_, ridge_zero, ridge = page["none"].values()
    assert maml > zero - 0.02 and ridge > ridge_zero - 0.02
    (zero, learned), begin, (before, after) = page["accuracies"]((3.0, -1.0))
    assert learned > zero + 0.02 and after < before / 100 and begin["1.weight"].diff(dim=0) > 1
    assert page["right"][1] < page["right"][0] + 0.01, "tasks around zero, the last of the page"


def test_the_sum_of_two_losses_ends_in_one_line_for_both(tmp_path, monkeypatch):
    page = ran("two-tasks.md", monkeypatch, tmp_path)
    assert (page["descended"] - page["joint"]).abs().max() < 1e-6
    assert (page["errors"](page["adapted"]) < page["errors"](page["joint"]) / 3).all()
    gradient = page["gradient"](page["w"])
    assert gradient.sum(0).abs().max() < 1e-6 < 1e-2 < gradient.abs().max()
    assert (page["right"](page["own"]) > page["right"](page["w"]) + 0.1).all()
