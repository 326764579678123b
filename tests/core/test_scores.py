"""What is reported: named, directed, with a total of its own, and an interval that fits it."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from innerloop.core import scores
from innerloop.core.errors import InputError
from innerloop.core.interval import bootstrap, interval
from innerloop.core.scores import SCORES, Accuracy, Score, measured, named, of_sampler, tasks_of
from innerloop.core.types import Batch, Episode
from innerloop.engine import TrainConfig, meta_train
from innerloop.evaluate import Result, compare, meta_test
from innerloop.evaluate.select import select
from innerloop.tasks import Scored, Sinusoid
from tests.evaluate import tiny


class F1(Score):
    """Of class 0 against the others: a ratio of summed counts, as of entities; no mean over episodes."""

    name, title, higher_is_better, percent = "tests.core.test_scores:F1_SCORE", "F1 of class 0", True, True
    parts, of_classes = 3, True

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        named, true = outputs.argmax(-1) == 0, batch.y == 0
        return torch.stack([(named & true).sum(), named.sum(), true.sum()]).to(outputs.dtype)

    def total(self, scores: Tensor) -> float:
        right, named, true = scores.sum(0)
        return (2 * right / (named + true)).item()


F1_SCORE = F1()


@dataclass(frozen=True)
class Plain:
    """A sampler that names a score, or none."""

    name: object = None

    def episodes(self, first: int, count: int) -> Episode:
        return Sinusoid().episodes(first, count)

    def describe(self) -> dict[str, object]:
        return {"kind": "plain"} | ({} if self.name is None else {"score": self.name})


def tasks(score: str = F1_SCORE.name) -> Scored:
    return Scored(tiny.sampler(), score)


def test_every_score_is_right_on_the_rows_that_count():
    logits, y = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 3, -1, 2, 1, 1])
    mask, rows = torch.tensor([True, True, True, True, False, True]), [0, 1, 3, 5]
    batch = Batch(logits, y, mask)
    values = {name: measured(score, logits, batch) for name, score in SCORES.items() if score.of_classes}
    assert torch.allclose(values["accuracy"], (logits.argmax(-1) == y)[rows].double().mean())
    assert torch.allclose(values["nll"], F.cross_entropy(logits[rows], y[rows]))

    outputs, targets = torch.randn(2, 6, 3, dtype=torch.float64)
    batch = Batch(outputs, targets, mask)
    errors = (outputs - targets)[mask]
    assert torch.allclose(measured(SCORES["mse"], outputs, batch), errors.square().mean())
    assert torch.allclose(measured(SCORES["mae"], outputs, batch), errors.abs().mean())
    parts = measured(SCORES["rmse"], outputs, batch)
    assert SCORES["rmse"].total(parts[None]) == pytest.approx(errors.square().mean().sqrt().item())
    assert measured(SCORES["value"], torch.tensor([[-2.0]]), batch) == -2, "values may be below 0"


def test_the_root_of_a_mean_weighs_rows_not_episodes():
    """One episode of 1 row with error 3, one of 9 rows without: sqrt(9 / 10)."""
    score, y = SCORES["rmse"], torch.zeros(9, 1)
    one = measured(score, torch.tensor([[3.0]]), Batch(y[:1], y[:1]))
    assert score.total(torch.stack([one, measured(score, y, Batch(y, y))])) == pytest.approx(math.sqrt(0.9))


def test_broken_outputs_are_not_chance():
    outputs = torch.zeros(3, 2)
    outputs[1] = torch.nan
    batch = Batch(outputs, torch.zeros(3, dtype=torch.int64))
    assert measured(Accuracy(), outputs, batch).isnan()
    masked = batch._replace(mask=torch.tensor([True, False, True]))
    assert measured(Accuracy(), outputs, masked) == 1, "other rows may hold anything"


def test_scores_run_under_vmap():
    outputs, y = torch.randn(5, 7, 3), torch.randint(3, (5, 7))
    values = torch.vmap(lambda o, y: Accuracy().of(o, Batch(o, y)))(outputs, y)
    assert torch.allclose(values[:, 0], (outputs.argmax(-1) == y).float().mean(1))


def test_names_are_found_and_the_nearest_is_offered():
    assert named("rmse") is SCORES["rmse"] and named(F1_SCORE.name) is F1_SCORE
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        named("accuracyy")
    with pytest.raises(InputError, match="Plain names no score: add"):
        of_sampler(Plain())
    with pytest.raises(InputError, match="no score 'f1'"):
        meta_test(tiny.protonet(), tiny.protonet().init(0), Plain("f1"), 2)
    with pytest.raises(InputError, match="Plain names no score"):
        meta_train(tiny.maml(), Plain("mse"), TrainConfig(steps=1, validate_every=1), validation=Plain())


@pytest.mark.parametrize("name", ["json:dumps", "tests.core.test_scores:F1", "tests.core.test_scores:nothing"])
def test_a_name_of_something_else_is_refused(name):
    with pytest.raises(InputError, match="is no score"):
        named(name)


def test_a_file_that_names_a_score_imports_nothing():
    with pytest.raises(InputError, match="not imported: import antigravity first"):
        named("antigravity:SCORE")
    with pytest.raises(InputError, match="cannot be imported"):
        named("tests.nothing_there:SCORE", allow=("tests",))
    assert named(F1_SCORE.name, allow=("tests.core",)) is F1_SCORE


def test_another_length_than_declared_is_refused():
    class Short(F1):
        parts: ClassVar[int] = 2

    outputs = torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"Short\.of returned shape \(3,\), and parts = 2"):
        measured(Short(), outputs, Batch(outputs, torch.zeros(2, dtype=torch.int64)))


def test_a_ratio_of_sums_through_test_compare_and_file(tmp_path):
    """What no mean over episodes can give: precision and recall from counts of all episodes."""
    learner = tiny.protonet()
    ours, start = (meta_test(learner, learner.init(seed), tasks(), 30, name=str(seed)) for seed in (1, 2))
    assert ours.scores.shape == (30, 3) and ours.mean == pytest.approx(F1_SCORE.total(ours.scores))
    each = 2 * ours.scores[:, 0] / (ours.scores[:, 1] + ours.scores[:, 2]).clamp_min(1)
    assert ours.mean != pytest.approx(each.mean().item(), abs=1e-3), "the mean of ratios is another number"
    assert ours.number.endswith("%") and 0 < ours.ci95 < 0.2
    again = Result.load(ours.save(tmp_path))
    assert torch.equal(again.scores, ours.scores) and str(again) == str(ours)

    table = compare(ours, start)
    gap = table.rows[1].difference
    assert gap is not None and gap.mean == pytest.approx(start.mean - ours.mean) and "F1 of class 0" in str(table)
    assert compare(ours, ours).rows[1].difference == (0, 0), "the same episodes are drawn for both"
    with pytest.raises(InputError, match=r"metric: tests\.core\.test_scores:F1_SCORE against accuracy"):
        compare(ours, meta_test(learner, learner.init(0), tiny.sampler(), 30))


def test_a_score_is_chosen_and_validated_in_its_direction(tmp_path):
    learner = tiny.maml(2)
    params = learner.init(0)
    pool = Scored(replace(tiny.sampler(), pool=tiny.pool(split="validation")), "nll")
    chosen = select(learner, params, pool, "inner_steps", (0, 1, 2), 20)
    means = {value: score.mean for value, score in chosen.scores}
    assert means[chosen.value] == min(means.values()) and "negative log-likelihood" in str(chosen)
    config = TrainConfig(steps=3, meta_batch_size=2, validate_every=1, validation_episodes=4)
    meta_train(learner, tiny.sampler(), config, tmp_path / "run", validation=pool)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"score": "nll"' in lines


def test_the_name_is_part_of_the_protocol_and_not_of_the_tasks():
    assert "score" not in tasks_of(tiny.sampler()) and of_sampler(tiny.sampler()) == Accuracy()
    assert of_sampler(Sinusoid()) == SCORES["mse"] and of_sampler(Scored(Sinusoid(), "rmse")) == SCORES["rmse"]
    with pytest.raises(InputError, match="did you mean 'rmse'"):
        Scored(Sinusoid(), "rmsee")


def test_a_bootstrap_of_the_mean_is_the_usual_interval():
    values = torch.randn(400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    usual = interval(values[:, 0])
    resampled = bootstrap(lambda rows: rows.mean().item(), values)
    assert resampled.mean == pytest.approx(usual.mean) and resampled.ci95 == pytest.approx(usual.ci95, rel=0.1)
    assert resampled == bootstrap(lambda rows: rows.mean().item(), values), "seeded"
    assert math.isnan(bootstrap(lambda rows: rows.mean().item(), values[:1]).ci95)
    with pytest.raises(InputError, match="at least one"):
        bootstrap(lambda rows: 0.0, values[:0])


def test_all_that_the_library_names_is_named_once():
    assert all(name == score.name and score.title for name, score in SCORES.items())
    assert all(score in SCORES.values() for score in scores.TRAINED)
