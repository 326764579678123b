import importlib.util
import json
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from innerloop.cli.main import main
from innerloop.core import objectives
from innerloop.core.predictive import Predictive
from innerloop.engine import checkpoint
from innerloop.evaluate import compare, meta_test
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.report.gallery import gallery
from innerloop.report.report import write_comparison, write_report
from innerloop.runs.report import refresh
from innerloop.tasks import EpisodeSampler, Scored, Sinusoid
from tests.core.test_scores import F1_SCORE
from tests.evaluate import tiny


class Page(HTMLParser):
    """Checks nesting, and collects attributes and text."""

    void = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    learner = tiny.maml()
    checkpoint.write_config(tmp_path, learner, {"steps": 30}, {"command": "innerloop train maml --data <blobs>"})
    checkpoint.save_params(tmp_path, learner, learner.init(0))
    lines = [{"step": i, "loss": 1 / i, "score": 1 - 1 / i, "tasks_per_second": 9.0} for i in range(1, 31)]
    lines.insert(20, {"step": 20, "validation": {"mean": 0.8, "ci95": 0.01, "episodes": 50}})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3')
    return tmp_path


def test_whole_report(run: Path):
    learner, params = checkpoint.load(run)
    meta_test(learner, params, tiny.sampler(), 6).save(run)
    meta_test(NearestCentroid(), {}, tiny.sampler(), 6, name="pixels <raw>").save(run, "pixels")
    page = Page(write_report(run, sampler=tiny.sampler(), episodes=2).read_text())
    for words in (
        "Results",
        "Adaptation",
        "Episodes",
        "Meta-training",
        "Protocol",
        "Settings",
        "Do it again",
        "pixels <raw>",
    ):
        assert words in page.words
    assert "innerloop train maml --data <blobs>" in page.words
    assert page.words.index("MAML") < page.words.index("pixels")
    assert "test/0" in page.words  # names of classes
    assert {"✓ right", "✗ wrong"} & {w.strip() for w in page.words.splitlines()}


def test_it_is_self_contained_and_described(run: Path):
    learner, params = checkpoint.load(run)
    results = [meta_test(learner, params, tiny.sampler(), 4)]
    page = Page(write_report(run, results, sampler=tiny.sampler()).read_text())
    ids = [a["id"] for _, a in page.seen if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.seen:
        assert tag not in ("script", "link", "iframe")
        source = attributes.get("src") or attributes.get("href") or attributes.get("xlink:href") or "#"
        assert source.startswith(("data:", "#"))
        assert tag != "img" or attributes.get("alt")
        assert attributes.get("role") != "img" or attributes.get("aria-label")


def test_the_mode_of_validation_stands_beside_its_score(run: Path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert "95% intervals" in Page(write_report(run).read_text()).words, "an earlier release did not say the mode"
    entry = {"mean": 0.9, "ci95": 0.01, "episodes": 50, "score": "accuracy", "normalisation": "inductive"}
    (run / "metrics.jsonl").write_text("\n".join([*lines[:-1], json.dumps({"step": 30, "validation": entry})]))
    page = write_report(run).read_text()
    assert "inductive validation 90.0 ± 1.0%" in page and "inductive validation with 95% intervals" in page


def test_what_is_missing_is_left_out(run: Path):
    (run / "metrics.jsonl").unlink()
    page = Page(write_report(run).read_text())
    assert "has not been meta-tested" in page.words
    for words in ("Meta-training", "Episodes", "Protocol", "Results"):
        assert words not in page.words


def test_regression(tmp_path: Path):
    learner = MAML(model=MLP(), inner_lr=0.01, inner_steps=2, objective=objectives.regression)
    checkpoint.write_config(tmp_path, learner, {}, {})
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.5}\n')
    sampler, params = Sinusoid(shots=5, queries=10), learner.init(0)
    result = meta_test(learner, params, sampler, 4)
    page = Page(write_report(tmp_path, [result], sampler=sampler, learner=learner, params=params).read_text())
    assert "mean squared error" in page.words and "Lower is better" in page.words and "examples seen" in page.words


def test_experts_are_drawn_by_family(tmp_path: Path):
    run = str(tmp_path / "run")
    assert main(["train", "experts", "--data", "mixture", "--steps", "2", "--plan", "loop", "--out", run]) == 0
    assert main(["test", run, "--episodes", "3", "--no-baselines", "--no-curve"]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert "Experts by family" in page.words and "within a family" in page.words
    assert all(f">{family}<" in (tmp_path / "run" / "report.html").read_text() for family in ("line", "cubic"))


@pytest.mark.parametrize("known", ["members", "noise", "both"])
def test_bands_are_drawn_of_who_says_how_sure_it_is(tmp_path: Path, known: str):
    """Whatever a predictive has: several members, deviations around one, or both."""

    @dataclass(frozen=True, kw_only=True)
    class Sure(MAML):
        probabilistic = True

        def predictive(self, params, adapted, x) -> Predictive:
            apart = torch.zeros(1) if known == "noise" else torch.linspace(-1, 1, 5)
            outputs = self.predict(params, adapted, x) + apart[:, None, None]
            return Predictive(outputs, None if known == "members" else torch.full_like(outputs, 0.5))

    learner = Sure(model=MLP(), inner_lr=0.01, inner_steps=1, objective=objectives.regression)
    sampler = Sinusoid(shots=5, queries=10, noise=0.1)
    shown = gallery(learner, learner.init(0), sampler, 2)
    assert len(shown) == 2 and shown[0].title == "Episode 0: 5 examples seen"
    for one in shown:
        assert all(f">{word}<" in one.drawing for word in ("50% band", "90% band", "mean", "truth", "support"))
        assert (">members<" in one.drawing) is (known != "noise")


def test_pictures_are_completed_from_ever_more_pixels(tmp_path: Path):
    run = str(tmp_path / "run")
    options = ["--data", "digits-pixels", "--steps", "2", "--meta-batch-size", "2", "--plan", "loop", "--out", run]
    assert main(["train", "neural_process", "--path", "both", *options]) == 0
    assert main(["test", run, "--shots", "10", "--episodes", "3"]) == 0
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert "10-shot digits-pixels" in page.words and "Picture 2: mean squared error 0." in page.words
    for words in ("10 pixels", "50 pixels", "63 pixels", "seen", "completed", "deviation", "truth"):
        assert words in page.words
    assert main(["test", run, "--shots", "60"]) == 2
    assert main(["train", "protonet", "--data", "digits-pixels", "--out", str(tmp_path / "no")]) == 2


def test_a_baseline_is_not_the_headline(run: Path):
    learner = tiny.maml()
    meta_test(learner, learner.init(1), tiny.sampler(), 4).save(run, "untrained")
    page = Page(write_report(run).read_text())
    assert "has not been meta-tested" in page.words and "MAML (baseline)" in page.words


def test_results_of_other_parameters_and_edited_ones_are_said(run: Path):
    learner = tiny.maml()
    meta_test(learner, learner.init(0), tiny.sampler(), 4).save(run)
    assert "Attention" not in Page(write_report(run).read_text()).words
    edited = meta_test(learner, learner.init(0), tiny.sampler(seed=4), 4).save(run)
    edited.write_text(json.dumps(json.loads(edited.read_text()) | {"scores": [1.0] * 4}))
    checkpoint.save_params(run, learner, learner.init(2))
    page = Page(write_report(run).read_text())
    assert "MAML (of other parameters than the run has now)" in page.words and "100.0" not in page.words
    assert f"{edited.name} was edited" in page.words and "run the test again by `innerloop test" in page.words


def test_protocols_are_apart(run: Path):
    results = [meta_test(NearestCentroid(), {}, tiny.sampler(ways=w), 3) for w in (5, 3)]
    uneven = EpisodeSampler(pool=tiny.pool(), ways=(2, 5), shots=(1, 3), queries=3)
    results.append(meta_test(NearestCentroid(), {}, uneven, 3))
    words = Page(write_report(run, results, sampler=uneven).read_text()).words
    assert "5-way 1-shot" in words and "3-way 1-shot" in words


def test_without_its_packages_a_report_is_left_out_and_a_page_that_was_asked_for_is_refused(
    run, tmp_path, monkeypatch, capsys
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    for module in [m for m in sys.modules if m.partition("innerloop.report")[1]]:
        monkeypatch.delitem(sys.modules, module)
    assert refresh(run) is None
    told = capsys.readouterr().err
    assert "report.html was not written" in told and "pip install 'innerloop[report]'" in told
    assert main(["compare", str(run), "--html", str(tmp_path / "page.html")]) == 2
    assert "pip install 'innerloop[report]'" in capsys.readouterr().err


def test_a_score_of_ones_own_is_said_in_its_direction(run: Path, tmp_path: Path):
    learner, params = checkpoint.load(run)
    ours, theirs = (
        meta_test(learner, params, Scored(tiny.sampler(), F1_SCORE.name), 6, name=name) for name in ("one", "two")
    )
    words = Page(write_report(run, [ours, theirs]).read_text()).words
    assert "Higher is better" in words and "F1 of class 0" in words and "difference (points)" in words
    page = Page(write_comparison(tmp_path / "c.html", compare(ours, theirs), "innerloop compare").read_text())
    assert "Higher is better" in page.words and "Lower" not in page.words
