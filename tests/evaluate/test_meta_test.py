import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from innerloop.core import objectives, tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.types import Episode
from innerloop.evaluate import Protocol, Result, compare, meta_test
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.mlp import MLP
from innerloop.tasks import EpisodeSampler, Pool, Sinusoid
from tests.evaluate import tiny
from tests.unaligned import shifted


def test_scores_are_those_of_each_task():
    learner, sampler = tiny.maml(), tiny.sampler()
    params = learner.init(0)
    result = meta_test(learner, params, sampler, 7)
    stacked = sampler.episodes(0, 7)
    for i in range(7):
        support, query = tree.slice(stacked, i)
        outputs = learner.predict(params, learner.adapt(params, support), query.x)
        assert result.scores[i].item() == pytest.approx((outputs.argmax(-1) == query.y).float().mean().item())
    assert result.mean == pytest.approx(result.scores.mean().item())
    assert result.seconds_per_task > 0


@pytest.mark.parametrize("chunk,threads", [(1, 1), (3, 2), (100, 1)])
@pytest.mark.exact
def test_chunk_and_threads_change_nothing(chunk, threads):
    learner, sampler = tiny.protonet(), tiny.sampler()
    params = learner.init(0)
    reference = meta_test(learner, params, sampler, 8)
    assert torch.equal(meta_test(learner, params, sampler, 8, chunk=chunk, threads=threads).scores, reference.scores)
    assert torch.equal(meta_test(learner, params, sampler, 3, first=5, chunk=chunk).scores, reference.scores[5:])


@dataclass(frozen=True)
class Recorded(ProtoNet):
    """Keeps what it answered, by the first number of a query."""

    answered: dict[float, Tensor] = field(default_factory=dict)

    def predict(self, params, adapted, x):
        found = super().predict(params, adapted, x)
        assert isinstance(x, Tensor)
        self.answered[float(x.flatten()[0])] = found
        return found


@pytest.mark.exact
def test_neither_chunks_nor_threads_nor_addresses_change_an_output():
    """Rows of 57 numbers, so that tasks of a chunk begin anywhere."""
    torch.manual_seed(0)
    rows = Pool(
        data=torch.rand(12, 9, 57, dtype=torch.float64), counts=torch.full((12,), 9), names=tuple(map(str, range(12)))
    )
    sampler = EpisodeSampler(pool=rows, ways=5, shots=1, queries=3, seed=0)

    def answers(params, **options):
        learner = Recorded(encoder=MLP(inputs=57, hidden=(33,), outputs=17))
        meta_test(learner, params, sampler, 8, **options)
        return learner.answered

    params = {k: v.double() for k, v in Recorded(encoder=MLP(inputs=57, hidden=(33,), outputs=17)).init(0).items()}
    expected = answers(params)
    assert len(expected) == 8
    moved = {k: shifted(v) for k, v in params.items()}
    for found in (answers(params, chunk=1), answers(params, chunk=3, threads=1), answers(moved, threads=2)):
        assert found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in found)


def test_it_changes_neither_parameters_nor_grad_mode_nor_threads():
    learner = tiny.maml()
    params = learner.init(0)
    before, threads = tree.map(Tensor.clone, params), torch.get_num_threads()
    meta_test(learner, params, tiny.sampler(), 4, threads=2)
    assert all(torch.equal(before[k], v) and not v.requires_grad for k, v in params.items())
    assert torch.is_grad_enabled() and torch.get_num_threads() == threads


def test_curve_ends_at_the_score_and_starts_before_adapting():
    learner, sampler = tiny.maml(steps=14), tiny.sampler()
    params = learner.init(0)
    result = meta_test(learner, params, sampler, 6)
    assert result.curve is not None
    assert [p.step for p in result.curve] == [*range(11), 14]
    assert result.curve[-1].mean == result.mean and result.curve[-1].ci95 == result.ci95
    for point in result.curve[:4]:
        few = meta_test(replace(learner, inner_steps=point.step), params, sampler, 6, curve=False)
        assert few.mean == pytest.approx(point.mean) and few.curve is None


def test_learners_without_steps_have_no_curve():
    result = meta_test(NearestCentroid(), {}, tiny.sampler(), 4)
    assert result.curve is None and result.protocol.adaptation_steps is None


@dataclass(frozen=True, kw_only=True, eq=False)
class Masked(EpisodeSampler):
    """As its parent, with two more rows a task that are masked and wrong."""

    def episodes(self, first: int, count: int) -> Episode:
        support, query = super().episodes(first, count)
        rows = query.y.shape[1]
        assert isinstance(query.x, Tensor)
        query = query._replace(x=query.x[:, [*range(rows), 0, 0]], y=query.y[:, [*range(rows), 1, 1]])
        return Episode(support, query._replace(mask=(torch.arange(rows + 2) < rows).expand(count, -1)))


@pytest.mark.exact
def test_masked_rows_never_count():
    learner = NearestCentroid()
    plain, masked = tiny.sampler(), Masked(pool=tiny.pool(), ways=5, shots=1, queries=4)
    assert torch.equal(meta_test(learner, {}, plain, 5).scores, meta_test(learner, {}, masked, 5).scores)


def test_uneven_tasks_score():
    sampler = EpisodeSampler(pool=tiny.pool(), ways=(2, 5), shots=(1, 3), queries=3)
    result = meta_test(tiny.protonet(), tiny.protonet().init(0), sampler, 10)
    assert 0.3 < result.mean <= 1
    assert "2 to 5-way 1 to 3-shot blobs test" in str(result)


def test_broken_predictions_are_refused_not_scored_as_chance():
    learner = tiny.maml()
    params = tree.map(lambda p: torch.full_like(p, torch.nan), learner.init(0))
    with pytest.raises(FailedError, match="4 of 4 episodes"):
        meta_test(learner, params, tiny.sampler(), 4)


def test_zero_episodes_are_refused():
    with pytest.raises(InputError):
        meta_test(NearestCentroid(), {}, tiny.sampler(), 0)


def test_regression_reports_mean_squared_error():
    learner = MAML(model=MLP(), inner_lr=0.01, objective=objectives.regression)
    result = meta_test(learner, learner.init(0), Sinusoid(shots=5, queries=10), 6)
    assert result.protocol.metric == "mse"
    assert "mean squared error (6 episodes, inductive, 5-shot sinusoid)" in str(result)


def test_text():
    result = meta_test(NearestCentroid(transductive=True), {}, tiny.sampler(), 4, name="pixels")
    assert str(result).endswith("(4 episodes, transductive, 5-way 1-shot blobs test)")
    assert " ± " in result.number and "%" in result.number
    assert "no interval" in str(meta_test(NearestCentroid(), {}, tiny.sampler(), 1))


def test_result_round_trip(tmp_path: Path):
    result = meta_test(tiny.maml(), tiny.maml().init(0), tiny.sampler(), 5)
    path = result.save(tmp_path)
    assert path.name == f"test-{result.protocol.hash}.json"
    assert result.save(tmp_path, "pixels").name == f"test-{result.protocol.hash}-pixels.json"
    again = Result.load(path)
    assert torch.equal(again.scores, result.scores) and again.protocol == result.protocol
    assert again.curve == result.curve and str(again) == str(result)
    assert Result.load(meta_test(NearestCentroid(), {}, tiny.sampler(), 1).save(tmp_path)).scores.shape == (1, 1)


@pytest.mark.parametrize("damage", ["{", "{}", "edited"])
def test_a_damaged_result_is_refused(tmp_path: Path, damage: str):
    path = meta_test(NearestCentroid(), {}, tiny.sampler(), 3).save(tmp_path)
    content = json.loads(path.read_text())
    content["protocol"]["sampler"]["ways"] = 2
    path.write_text(json.dumps(content) if damage == "edited" else damage)
    with pytest.raises(InputError, match="run the test again"):
        Result.load(path)


def protocol(**fields) -> Protocol:
    return Protocol(**{"sampler": tiny.sampler().describe(), "episodes": 600} | fields)


def test_hash_covers_episodes_and_scoring_but_not_the_learner():
    base = protocol()
    others = [
        protocol(episodes=500),
        protocol(first=1),
        protocol(normalisation="transductive"),
        protocol(selection="the best checkpoint on meta-test"),
        protocol(metric="mse"),
        *(protocol(sampler={**base.sampler, k: "other"}) for k in base.sampler),
    ]
    assert len({p.hash for p in [base, *others]}) == 1 + len(others)
    assert protocol(adaptation_steps=5).hash == base.hash
    assert protocol(sampler={k: base.sampler[k] for k in reversed(list(base.sampler))}).hash == base.hash
    assert len(base.hash) == 16 and int(base.hash, 16) >= 0


def test_protocol_round_trip():
    base = protocol(adaptation_steps=3)
    again = Protocol.from_json(json.loads(json.dumps(base.to_json())))
    assert again == base and again.hash == base.hash and again.adaptation_steps == 3
    with pytest.raises(InputError):
        Protocol.from_json({"ways": 5})


def test_the_hash_is_frozen():
    fixed = Protocol(sampler={"dataset": "omniglot", "ways": 5, "seed": 0}, episodes=600)
    assert fixed.hash == "8035e0d15dbd7526"


def test_compare_pairs_on_the_same_episodes():
    learner, sampler = tiny.protonet(), tiny.sampler()
    ours, pixels = (
        meta_test(learner, learner.init(0), sampler, 12),
        meta_test(NearestCentroid(), {}, sampler, 12, name="pixels"),
    )
    table = compare(pixels, ours)
    assert table.rows[0].difference is None
    found = table.rows[1].difference
    assert found is not None and found.mean == pytest.approx(ours.mean - pixels.mean)
    assert found.ci95 == pytest.approx(1.96 * (ours.scores - pixels.scores).std().item() / 12**0.5)
    assert "pixels" in str(table) and "points" in str(table)
    assert compare(pixels, pixels).rows[1].difference == (0, 0)


@pytest.mark.parametrize(
    "other,said",
    [
        (lambda: meta_test(NearestCentroid(), {}, tiny.sampler(ways=3), 4), "ways: 5 against 3"),
        (lambda: meta_test(NearestCentroid(), {}, tiny.sampler(seed=1), 4), "seed: 0 against 1"),
        (lambda: meta_test(NearestCentroid(), {}, tiny.sampler(), 5), "episodes: 4 against 5"),
        (
            lambda: meta_test(NearestCentroid(transductive=True), {}, tiny.sampler(), 4),
            "inductive against transductive",
        ),
    ],
)
def test_compare_refuses_unlike_protocols(other, said):
    with pytest.raises(InputError, match=said):
        compare(meta_test(NearestCentroid(), {}, tiny.sampler(), 4), other())
