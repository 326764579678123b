"""The notebooks of the documentation run from top to bottom, and hold no output that could grow old."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are read by the packages of the extra dev")

from tests.docs.blocks import ROOT  # noqa: E402

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def read(path: Path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_linked_and_without_output(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)\)", words)
    assert links and all((path.parent / link).exists() for link in links)
    assert f"notebooks/{path.name}" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_first_steps_show_tables_and_answer_rightly(tmp_path):
    client = pytest.importorskip("nbclient", reason="notebooks are run by the packages of the extra dev")
    pytest.importorskip("ipykernel", reason="notebooks are run by the packages of the extra dev")
    notebook = read(ROOT / "docs" / "notebooks" / "first-steps.ipynb")
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error"]
    html = [one.data["text/html"] for one in outputs if "text/html" in one.get("data", {})]
    assert len(html) == 5, "splits, sampler, episode, result, comparison"
    assert "accuracy" in html[3] and "NearestCentroid" in html[4]
    answers = re.findall(r"'([^']+)'", outputs[-1].data["text/plain"])
    assert len(answers) == 10 and sum(a == b for a, b in zip(answers[::2], answers[1::2], strict=True)) >= 4
