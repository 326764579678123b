import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.core import random, tree
from innerloop.core.errors import InputError
from innerloop.tasks import BatchSampler, EpisodeSampler
from tests.problems import inputs

from .pools import pictures, tagged


@st.composite
def samplers(draw):
    counts = draw(st.lists(st.integers(4, 9), min_size=2, max_size=8))
    ways = draw(st.integers(1, len(counts)))
    shots = draw(st.integers(1, min(counts) - 1))
    low_ways = draw(st.none() | st.integers(1, ways))
    low_shots = draw(st.none() | st.integers(1, shots))
    queries = draw(st.integers(1, min(counts) - shots))
    unlabelled = draw(st.integers(0, min(counts) - shots - queries))
    return EpisodeSampler(
        pool=tagged(counts, 10),
        ways=ways if low_ways is None else (low_ways, ways),
        shots=shots if low_shots is None else (low_shots, shots),
        queries=queries,
        seed=draw(st.integers(0, 2**40)),
        unlabelled=unlabelled,
        distractors=draw(st.integers(0, len(counts) - ways)) if unlabelled else 0,
    )


def rows(batch):
    """(class, instance, label) of every real row of one task."""
    real = torch.ones(len(batch.y), dtype=torch.bool) if batch.mask is None else batch.mask
    return [(*map(int, x), int(y)) for x, y in zip(batch.x[real].tolist(), batch.y[real].tolist(), strict=True)]


@settings(max_examples=60, deadline=None)
@given(samplers(), st.integers(0, 2**33))
def test_every_episode_is_a_task(sampler, first):
    stacked, drawn = sampler.episodes(first, 3), sampler.draw(first, 3)
    for i in range(3):
        episode = tree.slice(stacked, i)
        given, query = rows(episode.support), rows(episode.query)
        support, unlabelled = ([row for row in given if (row[2] < 0) == hidden] for hidden in (False, True))
        classes = [int(c) for c in drawn.classes[i] if c >= 0]
        others = drawn.distractors[i].tolist()
        assert not set(classes) & set(others) and len(others) == sampler.distractors
        assert Counter(c for c, *_ in unlabelled) == {
            c: sampler.unlabelled for c in classes + others if sampler.unlabelled
        }
        assert len(set(classes)) == len(classes)
        assert {label: c for c, _, label in support} == dict(enumerate(classes))  # labels are the order drawn
        assert {label: c for c, _, label in query} == dict(enumerate(classes))
        every = [(c, j) for c, j, _ in given + query]
        assert len(set(every)) == len(every)  # support and query are disjoint, nothing twice
        assert all(0 <= j < int(sampler.pool.counts[c]) for c, j in every)
        assert set(Counter(label for *_, label in query).values()) == {sampler.queries}
        assert episode.support.classes.tolist() == [k < len(classes) for k in range(drawn.classes.shape[1])]
        low, high = (sampler.shots, sampler.shots) if isinstance(sampler.shots, int) else sampler.shots
        assert all(low <= n <= high for n in Counter(label for *_, label in support).values())
        for batch in episode:
            if batch.mask is not None:
                assert (batch.x[~batch.mask] == 0).all() and (batch.y[~batch.mask] == -1).all()
            else:
                assert isinstance(sampler.ways, int) or sampler.ways[0] == sampler.ways[1]


@pytest.mark.exact
@settings(max_examples=30, deadline=None)
@given(samplers(), st.integers(0, 2**33), st.integers(0, 5))
def test_an_episode_depends_on_seed_and_index_only(sampler, first, offset):
    torch.manual_seed(offset)
    together = sampler.episodes(first, 6)
    torch.manual_seed(1)
    alone = sampler.episodes(first + offset, 1)
    for a, b in zip(tree.flatten(tree.slice(together, slice(offset, offset + 1))), tree.flatten(alone), strict=True):
        assert torch.equal(a, b)


def test_episodes_are_frozen_for_ever():
    """Stored results and published numbers were measured on these."""
    digest = hashlib.sha256()
    for options in ({"ways": 5, "shots": 1, "queries": 15}, {"ways": (2, 5), "shots": (1, 3), "queries": 2}):
        for counts in ([20] * 30, [20, 25, 18, 30, 25, 19, 18]):
            sampler = EpisodeSampler(pool=tagged(counts, 30), seed=-5, **options)
            for path, leaf in tree.items(sampler.episodes(2**32 - 2, 4)):
                digest.update(path.encode() + leaf.numpy().tobytes())
    digest.update(BatchSampler(pool=tagged([3, 9, 5]), batch_size=33, seed=3).episodes(7, 2).query.y.numpy().tobytes())
    assert digest.hexdigest()[:16] == "b8315f9a2dcf2e77"


def test_unlabelled_examples_leave_the_rest_of_an_episode_alone():
    plain = EpisodeSampler(pool=tagged([20] * 30), ways=(3, 5), shots=(1, 2), queries=3, seed=4)
    more = replace(plain, unlabelled=4, distractors=2)
    (support, query), (given, asked) = plain.episodes(7, 6), more.episodes(7, 6)
    for a, b in zip(tree.flatten(query), tree.flatten(asked), strict=True):
        assert torch.equal(a, b)
    n = support.y.shape[1]
    assert given.mask is not None and support.mask is not None
    assert torch.equal(inputs(given)[:, :n], inputs(support)) and torch.equal(given.mask[:, :n], support.mask)
    assert given.y.shape == (6, n + 4 * 7) and (given.y[:, n:] == -1).all()
    assert (given.mask[:, n:].sum(1) == 4 * (2 + (plain.draw(7, 6).classes >= 0).sum(1))).all()
    order = inputs(given)[0, n:][given.mask[0, n:]][:, 0]
    assert not torch.equal(order, order[order.argsort(stable=True)]), "their order tells nothing of their class"


def lettered(sizes: list[int], **options: Any) -> EpisodeSampler:
    """A sampler of a pool whose group `g` has `sizes[g]` classes."""
    pool = tagged([6] * sum(sizes))
    groups = tuple(f"group{g}" for g, size in enumerate(sizes) for _ in range(size))
    return EpisodeSampler(pool=replace(pool, groups=groups), **({"shots": 1, "queries": 2} | options))


def test_episodes_within_one_group():
    sampler = lettered([4, 2, 6, 3], ways=3, same_group=1.0)
    group = torch.tensor([0] * 4 + [1] * 2 + [2] * 6 + [3] * 3)
    drawn = group[sampler.draw(0, 3000).classes]
    assert (drawn == drawn[:, :1]).all()
    assert (torch.bincount(drawn[:, 0], minlength=4) / 3000).tolist() == pytest.approx(
        [1 / 3, 0, 1 / 3, 1 / 3], abs=0.04
    )
    classes = sampler.draw(0, 3000).classes
    assert (torch.bincount(classes[drawn[:, 0] == 2].flatten())[6:12] / 500).tolist() == pytest.approx([1] * 6, rel=0.2)
    mixed, apart = (
        replace(sampler, same_group=0.5).draw(0, 3000).classes,
        replace(sampler, same_group=0.0).draw(0, 3000).classes,
    )
    same = (mixed == classes).all(1)
    assert 0.45 < same.float().mean() < 0.56 and torch.equal(mixed[~same], apart[~same])
    others = lettered([4, 2, 6, 3], ways=3, same_group=1.0, unlabelled=1, distractors=3).draw(0, 50)
    assert set(group[torch.cat([others.classes, others.distractors], 1)].flatten().tolist()) == {2}


def test_a_rotated_group_is_a_group_of_its_own():
    pool = pictures(3, 4).rotated()
    drawn = EpisodeSampler(pool=pool, ways=3, shots=1, queries=1, same_group=1.0).draw(0, 200).classes
    assert (drawn // 3 == drawn[:, :1] // 3).all() and len(set(drawn[:, 0].tolist())) == 12
    with pytest.raises(InputError, match="none of more than 3"):
        EpisodeSampler(pool=pool, ways=4, shots=1, queries=1, same_group=0.5)


def test_episodes_come_out_where_the_pool_is():
    pool = pictures(9, 12).to("meta")
    for sampler in (
        EpisodeSampler(pool=pool, ways=3, shots=2, queries=2),
        EpisodeSampler(pool=pool, ways=(2, 3), shots=2, queries=2),
        BatchSampler(pool=pool, batch_size=4),
    ):
        for path, leaf in tree.items(sampler.episodes(0, 2)):
            assert leaf.device.type == "meta", path


def test_global_generator_is_left_alone():
    before = torch.get_rng_state()
    EpisodeSampler(pool=tagged([5, 5]), ways=2, shots=1, queries=1).episodes(0, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_keys():
    sampler = EpisodeSampler(pool=tagged([5, 5]), ways=2, shots=1, queries=1, seed=9)
    episodes = sampler.episodes(4, 3)
    assert episodes.support.key is not None and episodes.query.key is not None
    assert episodes.support.key.tolist() == [int(random.mix(9, i)) for i in (4, 5, 6)]
    assert not (episodes.support.key == episodes.query.key).any()


def test_another_seed_draws_others():
    def draw(seed):
        return EpisodeSampler(pool=tagged([8] * 20), ways=5, shots=1, queries=1, seed=seed).draw(0, 50).classes

    assert (draw(0) == draw(1)).float().mean() < 0.2


def test_classes_and_orders_are_uniform():
    ways, count = 3, 6000
    drawn = EpisodeSampler(pool=tagged([6] * 7), ways=ways, shots=2, queries=2, seed=1).draw(0, count)
    for label in range(ways):  # each label sees each class equally often
        got = torch.bincount(drawn.classes[:, label], minlength=7).double()
        expected = count / 7
        assert ((got - expected).square() / expected).sum() < 27.9  # chi-square with 6 degrees of freedom, p = 1e-4
    got = torch.bincount(drawn.support.flatten(), minlength=6).double()
    expected = drawn.support.numel() / 6
    assert ((got - expected).square() / expected).sum() < 25.7  # 5 degrees of freedom, p = 1e-4


def test_queries_are_shuffled():
    sampler = EpisodeSampler(pool=tagged([30] * 5), ways=5, shots=1, queries=20)
    y = sampler.episodes(0, 200).query.y
    assert not (y == y.sort(1).values).all(1).any()
    place = torch.stack(
        [(y == k).double() @ torch.arange(100).double() / 20 for k in range(5)]
    )  # mean place of a label
    assert (place.mean(1) - 49.5).abs().max() < 2


def test_ranges_are_used_in_full():
    sampler = EpisodeSampler(pool=tagged([9] * 6), ways=(2, 5), shots=(1, 4), queries=2, seed=3)
    drawn = sampler.draw(0, 400)
    assert set((drawn.classes >= 0).sum(1).tolist()) == {2, 3, 4, 5}
    each = (drawn.support >= 0).sum(-1)[drawn.classes >= 0]
    assert set(each.tolist()) == {1, 2, 3, 4}
    assert sampler.describe()["ways"] == [2, 5] and sampler.describe()["shots"] == [1, 4]


def test_pictures_become_floats():
    pool = pictures(4, 6)
    sampler = EpisodeSampler(pool=pool, ways=3, shots=2, queries=2)
    episode, drawn = sampler.episodes(0, 2), sampler.draw(0, 2)
    assert isinstance(episode.support.x, torch.Tensor)
    assert episode.support.x.shape == (2, 6, 1, 6, 6) and episode.support.x.dtype == torch.float32
    assert episode.support.x.is_contiguous() and episode.support.mask is None
    wanted = pool.data[drawn.classes[1, 2], drawn.support[1, 2, 1]]
    assert torch.equal(episode.support.x[1, 5], wanted.float() / 255)


def test_impossible_episodes_are_refused():
    pool = tagged([10, 30])
    with pytest.raises(InputError, match="2 shots and 20 queries need 22 examples of every class; 'a' has 10"):
        EpisodeSampler(pool=pool, ways=2, shots=2, queries=20)
    with pytest.raises(InputError, match="need 22 examples"):
        EpisodeSampler(pool=pool, ways=2, shots=(1, 2), queries=20)
    with pytest.raises(InputError, match="3 ways need 3 classes"):
        EpisodeSampler(pool=pool, ways=3, shots=1, queries=1)
    with pytest.raises(InputError, match="2 shots and 6 queries and 3 unlabelled need 11 examples"):
        EpisodeSampler(pool=pool, ways=2, shots=2, queries=6, unlabelled=3)
    with pytest.raises(InputError, match="2 ways and 1 distractors need 3 classes"):
        EpisodeSampler(pool=pool, ways=2, shots=1, queries=1, unlabelled=1, distractors=1)
    with pytest.raises(InputError, match="has no groups"):
        EpisodeSampler(pool=pool, ways=2, shots=1, queries=1, same_group=0.5)
    wrong: dict[str, Any]
    for wrong in ({"unlabelled": -1}, {"distractors": -1}, {"same_group": 1.5}, {"same_group": float("nan")}):
        with pytest.raises(InputError, match=r"from 0 up|from 0 to 1"):
            EpisodeSampler(**({"pool": pool, "ways": 2, "shots": 1, "queries": 1} | wrong))
    with pytest.raises(InputError, match="distractors without unlabelled"):
        EpisodeSampler(pool=tagged([5] * 9), ways=2, shots=1, queries=1, distractors=3)
    for wrong in ({"ways": 0}, {"shots": 0}, {"queries": 0}, {"shots": (3, 2)}):
        with pytest.raises(InputError, match=r"at least 1|a range \(low, high\)"):
            EpisodeSampler(**({"pool": pool, "ways": 2, "shots": 1, "queries": 1} | wrong))


def test_describe_is_plain():
    about = EpisodeSampler(pool=tagged([5, 5], split="test"), ways=2, shots=1, queries=3, seed=4).describe()
    assert about["dataset"] == "tagged" and about["split"] == "test" and len(str(about["class_hash"])) == 16
    assert (about["ways"], about["shots"], about["queries"], about["seed"]) == (2, 1, 3, 4)
    assert not {"unlabelled", "distractors", "within"} & set(about), "hashes of stored results stay"
    about = lettered([3, 3], ways=2, same_group=0.5, unlabelled=1, distractors=1).describe()
    assert (about["unlabelled"], about["distractors"], about["within"]) == (1, 1, 0.5)


def test_batches_have_global_labels_and_no_support():
    pool = tagged([1, 5, 10])
    sampler = BatchSampler(pool=pool, batch_size=400, seed=2)
    stacked = sampler.episodes(3, 4)
    x, y = stacked.query.x, stacked.query.y
    assert isinstance(x, torch.Tensor) and isinstance(stacked.support.x, torch.Tensor)
    assert stacked.support.x.shape == (4, 0, 2) and stacked.support.y.shape == (4, 0)
    assert torch.equal(x[..., 0].long(), y) and (x >= 0).all()
    share = torch.bincount(y.flatten(), minlength=3) / y.numel()  # uniform over examples, not over classes
    assert share.tolist() == pytest.approx([1 / 16, 5 / 16, 10 / 16], abs=0.04)
    alone = sampler.episodes(5, 1)
    assert torch.equal(alone.query.y[0], y[2]) and alone.query.classes is not None and alone.query.classes.all()
    assert sampler.describe()["kind"] == "batches"
    with pytest.raises(InputError, match="batch_size"):
        BatchSampler(pool=pool, batch_size=0)
