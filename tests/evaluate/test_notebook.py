"""What a notebook shows: the words that are printed, and tables whose text stays text."""

import re
from html import unescape

import torch

from innerloop.core import notebook
from innerloop.core.types import Batch, Episode
from innerloop.evaluate import compare, meta_test
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, Pool, Sinusoid
from innerloop.tasks.pool import split_classes


def cells(html: str) -> list[list[str]]:
    """Rows of all its tables, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def measured(name: str, lr: float):
    torch.manual_seed(0)
    pool = Pool.from_arrays(torch.rand(60, 4), torch.arange(60) % 6, dataset="<b>own</b>")
    sampler = EpisodeSampler(pool=pool, ways=2, shots=1, queries=2, seed=0)
    learner = MAML(model=MLP(inputs=4, hidden=(4,), outputs=2), inner_lr=lr)
    return meta_test(learner, learner.init(0), sampler, episodes=4, name=name), sampler


def test_text_stays_text():
    html = notebook.shown("<script>1 & 2</script>\nnext", [("a", "<b>"), ("'\"", 1)])
    assert "<script>" not in html and "&lt;script&gt;1 &amp; 2" in html
    assert cells(html) == [["a", "<b>"], ["'\"", "1"]]


def test_a_result_and_a_comparison_show_what_they_print():
    first, _ = measured("<i>first</i>", 0.1)
    second, _ = measured("second", 0.5)
    html = first._repr_html_()
    assert "<i>" not in html and "<b>" not in html
    assert re.search(r"<p[^>]*>(.*?)</p>", html, re.DOTALL)[1].startswith(first.number)  # pyright: ignore[reportOptionalSubscript]
    assert ["<i>first</i>", first.number, "4"] == cells(html)[1][:3]
    assert [row[0] for row in cells(html)[2:]] == ["inner steps", "0", "1"], "the curve over inner steps"
    both = compare(first, second)
    shown = cells(both._repr_html_())
    printed = str(both).splitlines()
    assert [row[0] for row in shown] == ["learner", "<i>first</i>", "second"]
    assert all(cell in line for row, line in zip(shown, [printed[0], *printed[2:]], strict=False) for cell in row)
    assert "<i>" not in both._repr_html_() and printed[-1] in unescape(both._repr_html_())


def test_a_task_shows_its_parts():
    _, sampler = measured("a", 0.1)
    episodes = sampler.episodes(0, 3)
    assert cells(episodes._repr_html_())[1:] == [
        ["support", "[3, 2, 4] torch.float32", "[3, 2] torch.int64", "classes 0, 1"],
        ["query", "[3, 4, 4] torch.float32", "[3, 4] torch.int64", "classes 0, 1"],
    ]
    values = Batch({"<x>": torch.zeros(2, 1)}, torch.tensor([[0.5], [2.0]]))
    html = Episode(values, Batch(torch.zeros(0, 1), torch.zeros(0, 1)))._repr_html_()
    assert cells(html)[1] == ["support", "<x> [2, 1] torch.float32", "[2, 1] torch.float32", "0.5 to 2"]
    assert cells(html)[2][3] == "none" and "<x>" not in html


def test_pools_and_where_tasks_come_from_show_what_they_hold():
    pool = Pool.from_arrays(torch.rand(7, 4), torch.tensor([0, 0, 0, 1, 1, 2, 2]), dataset="<b>own</b>")
    html = pool._repr_html_()
    assert cells(html) == [
        ["classes", "examples", "of a class", "shape of one"],
        ["3", "7", "2 to 3", "[4] torch.float32"],
    ]
    assert "<b>" not in html and "&lt;b&gt;own" in html
    splits = split_classes(pool, {"train": 1, "validation": 1, "test": 1})
    assert [row[:2] for row in cells(splits._repr_html_())[1:]] == [["train", "1"], ["validation", "1"], ["test", "1"]]
    about = cells(EpisodeSampler(pool=pool, ways=(2, 3), shots=1, queries=1, seed=3)._repr_html_())
    assert ["ways", "[2, 3]"] in about and ["seed", "3"] in about and ["shots", "1"] in about
    lines = Sinusoid(shots=5, queries=2, seed=1)._repr_html_()
    assert "tasks of sinusoid" in lines and ["queries", "2"] in cells(lines)
