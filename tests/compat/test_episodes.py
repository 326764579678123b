"""Batches of other libraries become episodes, and back."""

import pytest
import torch

import innerloop
from innerloop.compat import episodes
from innerloop.compat import learn2learn as l2l
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid

X, Y = torch.arange(8.0).reshape(4, 2), torch.tensor([7, 3, 7, 3])
QUERY = (torch.ones(2, 2), torch.tensor([3, 7]))


def test_pairs_become_an_episode_that_learners_take():
    episode = episodes.from_pairs((X, Y), QUERY, seed=5, index=2)
    assert episode.support.y.tolist() == [1, 0, 1, 0] and episode.query.y.tolist() == [0, 1]
    assert episode.support.classes is not None and episode.support.classes.tolist() == [True, True]
    other = episodes.from_pairs((X, Y), QUERY, seed=5, index=3)
    assert episode.support.key != other.support.key and episode.support.key != episode.query.key
    learner = innerloop.ProtoNet(encoder=MLP(inputs=2, outputs=4))
    params = learner.init(0)
    loss, _ = learner.loss(params, episode)
    assert loss.isfinite() and learner.predict(params, learner.adapt(params, episode.support), X).shape == (4, 2)
    (x, y), (query_x, query_y) = episodes.to_pairs(episode)
    assert torch.equal(x, X) and torch.equal(query_x, QUERY[0])
    assert y.tolist() == [1, 0, 1, 0] and query_y.tolist() == [0, 1]


def test_a_task_of_learn2learn_becomes_an_episode():
    support, query = l2l.data.partition_task(X, Y, shots=1)
    episode = episodes.from_pairs(support, query)
    assert episode.support.y.tolist() == episode.query.y.tolist() == [0, 1]


def test_targets_become_columns():
    episode = episodes.from_pairs((X, X.sum(1)), (QUERY[0], torch.tensor([1, 2])))
    assert episode.support.y.shape == (4, 1) and episode.query.y.dtype == torch.float32
    assert episode.support.classes is None
    stacked = Sinusoid(shots=3, queries=2).episodes(0, 2)
    one = tree.slice(stacked, 0)
    (x, y), _ = episodes.to_pairs(one)
    assert torch.equal(episodes.from_pairs((x, y), (x, y)).support.y, one.support.y)
    with pytest.raises(InputError, match="these are several episodes"):
        episodes.to_pairs(stacked)


def test_batches_of_torchmeta_there_and_back():
    batch = {
        "train": (X.expand(3, 4, 2), Y.expand(3, 4)),
        "test": (QUERY[0].expand(3, 2, 2), QUERY[1].expand(3, 2)),
    }
    stacked = episodes.from_torchmeta(batch, seed=1, first=4)
    single = episodes.from_pairs((X, Y), QUERY, seed=1, index=5)
    assert all(tree.map(torch.equal, tree.slice(stacked, 1).support, single.support)[i] for i in (0, 1, 3, 4))
    learner = innerloop.MAML(model=MLP(inputs=2, outputs=2))
    gradient, _ = meta_gradient(learner, learner.init(0), stacked, "loop")
    assert all(g.isfinite().all() for g in gradient.values())
    back = episodes.to_torchmeta(stacked)
    assert torch.equal(back["train"][0], batch["train"][0]) and back["test"][1].tolist() == [[0, 1]] * 3
    with pytest.raises(InputError, match="these are several episodes"):
        episodes.to_pairs(stacked)
    for one in (single, tree.slice(Sinusoid(shots=3, queries=2).episodes(0, 2), 0)):
        with pytest.raises(InputError, match="this is one episode"):
            episodes.to_torchmeta(one)
        assert episodes.to_torchmeta(tree.stack([one]))["train"][1].shape[0] == 1


def test_classes_of_any_whole_type_are_numbered_alike():
    for dtype in (torch.int32, torch.uint8, torch.int64):
        episode = episodes.from_pairs((X, Y.to(dtype)), QUERY)
        assert episode.support.y.tolist() == [1, 0, 1, 0] and episode.query.y.dtype == torch.int64
    answers = torch.tensor([True, False, True, False])
    assert episodes.from_pairs((X, answers), (X, ~answers)).query.y.tolist() == [0, 1, 0, 1]


def test_batches_of_easyfsl_there_and_back():
    labels = torch.tensor([1, 0, 1, 0])
    episode, classes = episodes.from_easyfsl((X, labels, QUERY[0], torch.tensor([0, 1]), [42, 17]), seed=1)
    assert classes == [42, 17]
    back = episodes.to_easyfsl(episode, classes)
    assert torch.equal(back[0], X) and torch.equal(back[1], labels) and back[4] == [42, 17]
    with pytest.raises(InputError, match="has 2 ways, and 1 classes are named"):
        episodes.to_easyfsl(episode, [1])
    with pytest.raises(InputError, match="has 2 classes, and 3 class ids are named"):
        episodes.from_easyfsl((X, 2 * labels, QUERY[0], torch.tensor([0, 2]), [42, 17, 5]))
    with pytest.raises(InputError, match="this one has 2 parts"):
        episodes.from_easyfsl((X, labels))


def test_padding_stays_behind():
    mask = torch.tensor([True, False, True, False])
    padded = Episode(Batch(X, Y, mask), Batch(*QUERY))
    (x, y), _ = episodes.to_pairs(padded)
    assert torch.equal(x, X[mask]) and y.tolist() == [7, 7]
    with pytest.raises(InputError, match="cannot say which rows are padding"):
        episodes.to_torchmeta(tree.stack([padded]))
    with pytest.raises(InputError, match="several tensors, a"):
        episodes.to_pairs(Episode(Batch({"a": X}, Y), Batch(*QUERY)))


@pytest.mark.parametrize(
    ("support", "query", "message"),
    [
        ((X, Y), (QUERY[0], torch.tensor([3, 9])), r"the query has class 9, and the support has \[3, 7\]"),
        ((X, Y), (QUERY[0], torch.tensor([3, 1])), r"the query has class 1, and the support has \[3, 7\]"),
        ((X, Y[:3]), QUERY, "as many examples as labels, at least one; got 4 and 3"),
        ((X[:0], Y[:0]), QUERY, "got 0 and 0"),
        ((X * float("nan"), Y), QUERY, "support holds NaN or infinite values"),
        ((X,), QUERY, r"support is a pair of tensors \(x, y\), got \['Tensor'\]"),
        ((X, [1, 2]), QUERY, r"got \['Tensor', 'list'\]"),
        ((X, Y[:, None]), (QUERY[0], QUERY[1][:, None]), r"one whole number an example, and these are \[4, 1\]"),
        ((X, Y), (QUERY[0], QUERY[1][:, None]), r"one whole number an example, and these are \[2, 1\]"),
        ((X, X[..., None]), (QUERY[0], QUERY[1]), r"are \[4, 2, 1\] in the support and \[2\] in the query"),
        ((X, X), (QUERY[0], torch.ones(2, 3)), r"same d .* are \[4, 2\] in the support and \[2, 3\] in the query"),
        ((X[0, 0], Y[0]), QUERY, "one number alone"),
        ((X, Y), (torch.ones(2, 3), QUERY[1]), r"support examples are \[2\], and query examples \[3\]"),
    ],
)
def test_what_is_no_episode(support, query, message):
    with pytest.raises(InputError, match=message):
        episodes.from_pairs(support, query)


def test_what_is_no_batch_of_torchmeta():
    tasks = (X[None], Y[None])
    with pytest.raises(InputError, match="has train and test, got train"):
        episodes.from_torchmeta({"train": tasks})
    with pytest.raises(InputError, match="of the same tasks, got 1 and 2 of them"):
        episodes.from_torchmeta({"train": tasks, "test": (X.expand(2, 4, 2), Y.expand(2, 4))})
    with pytest.raises(InputError, match="these have no axis of tasks"):
        episodes.from_torchmeta({"train": (X, Y), "test": (X, Y)})
    uneven = torch.stack([Y, torch.tensor([0, 1, 2, 3])])
    with pytest.raises(InputError, match="the same number of classes, got"):
        episodes.from_torchmeta({"train": (X.expand(2, 4, 2), uneven), "test": (X.expand(2, 4, 2), uneven)})
