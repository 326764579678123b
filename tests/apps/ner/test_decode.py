from itertools import pairwise, product

import numpy as np
import pytest
import torch

from innerloop.apps.ner.decode import Chain, chain, counted, posteriors, tags_of, viterbi
from innerloop.apps.ner.settings import CROSSNER, Transitions
from innerloop.core.errors import InputError
from innerloop.tasks.entities.sentences import Sentence, Span

COUNTS = Transitions(5, 3, 20, 8, 6, 9, 1, 2)


def scores(sentences=6, words=5, types=2, seed=0):
    draws = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, words + 1, (sentences,), generator=draws)
    return torch.randn(sentences, words, 1 + types, generator=draws).mul(2).log_softmax(-1), lengths


def every_path(emissions, step: Chain):
    """[paths, words] all ways through a chain, and the logarithm of the joint probability of each."""
    paths = list(product(range(len(step.start)), repeat=len(emissions)))
    joint = [
        step.start[path[0]]
        + sum(step.step[a, b] for a, b in pairwise(path))
        + sum(emissions[i, step.classes[state]] for i, state in enumerate(path))
        for path in paths
    ]
    return torch.tensor(paths), torch.stack(joint)


@pytest.mark.parametrize("tagging", ["io", "bio"])
def test_it_is_the_best_of_all_paths_and_the_share_of_all_paths(tagging):
    step = chain(COUNTS, types=2, tau=0.7, tagging=tagging)
    logs, lengths = scores(words=4)
    states, shares = viterbi(logs, lengths, step), posteriors(logs, lengths, step)
    for i, length in enumerate(lengths.tolist()):
        paths, joint = every_path(logs[i, :length], step)
        assert torch.equal(states[i, :length], paths[joint.argmax()])
        weight = joint.double().softmax(0)
        expected = torch.stack([((step.classes[paths] == k) * weight[:, None]).sum(0) for k in range(3)], 1)
        assert torch.allclose(shares[i, :length].double(), expected, atol=1e-6)
        assert not shares[i, length:].any() and (states[i, length:] == states[i, length - 1]).all()


@pytest.mark.parametrize("tagging", ["io", "bio"])
@pytest.mark.parametrize("types", [1, 2, 3, 17])
def test_the_best_way_without_a_table_of_all_steps_is_that_of_the_table(types, tagging):
    step = chain(COUNTS, types, tau=0.7, tagging=tagging)
    logs, lengths = scores(sentences=40, words=9, types=types)
    logs = logs.round()  # so that many ways are equally good
    emissions, states = logs[:, :, step.classes], viterbi(logs, lengths, step)
    for i, length in enumerate(lengths.tolist()):
        best, back = step.start + emissions[i, 0], []
        for word in emissions[i, 1:length]:
            ways = best[:, None] + step.step
            back.append(ways.argmax(0))
            best = ways.amax(0) + word
        path = [int(best.argmax())]
        for before in reversed(back):
            path.append(int(before[path[-1]]))
        assert states[i, :length].tolist() == path[::-1]


@pytest.mark.parametrize("tau", [1.0, 1e3])
def test_sure_words_and_impossible_ones_have_shares(tau):
    step = chain(CROSSNER, types=3, tau=tau, tagging="bio")
    logs = torch.tensor([[[0.0, -2000, -3000, -900], [-5000, 0, -400, -1e4], [-1e4, -1e4, -1e4, -1e4]]])
    shares = posteriors(logs, torch.tensor([3]), step)
    assert torch.allclose(shares.sum(2), torch.ones(1, 3)) and shares[0, 0, 0] == shares[0, 1, 1] == 1


def test_sentences_together_are_each_alone():
    step = chain(CROSSNER, types=5, tagging="bio")
    logs, lengths = scores(sentences=300, words=12, types=5)
    states, shares = viterbi(logs, lengths, step), posteriors(logs, lengths, step)
    for i in range(0, 300, 13):
        alone = logs[i : i + 1, : lengths[i]]
        assert torch.equal(viterbi(alone, lengths[i : i + 1], step)[0], states[i, : lengths[i]])
        assert torch.allclose(posteriors(alone, lengths[i : i + 1], step)[0], shares[i, : lengths[i]], atol=1e-6)
    assert viterbi(logs[:0], lengths[:0], step).shape == (0, 12)


def test_transitions_are_counted_by_what_words_belong_to():
    a = Sentence(("u", "v", "w", "x", "y", "z"), (Span(0, 2, "p"), Span(2, 3, "p"), Span(3, 4, "q")))
    b = Sentence(("u", "v", "w"), (Span(1, 2, "q"),))
    expected = {"start_none": 1, "start_entity": 1, "none_none": 1, "none_entity": 1, "entity_none": 2}
    assert counted([a, b, Sentence(())])._asdict() == expected | {"goes_on": 1, "same": 1, "other": 1}


def test_the_chain_of_io_is_the_authors():
    """`project_target_transitions` of asappresearch/structshot, with the other types shared among K - 1, not K."""
    tau, types = 0.32, 3
    step = chain(COUNTS, types, tau)
    start_none, start_entity, none_none, none_entity, entity_none, goes_on, same, other = (c + 1 for c in COUNTS)
    table = np.eye(types) * (goes_on + same) + (1 - np.eye(types)) * other / (types - 1)
    full = np.block(
        [[np.array([[none_none]]), np.full((1, types), none_entity / types)], [np.full((types, 1), entity_none), table]]
    )
    share = (full / full.sum(1, keepdims=True)) ** tau
    assert np.allclose(step.step.exp(), share / share.sum(1, keepdims=True), atol=1e-6)
    first = np.array([start_none, *[start_entity / types] * types]) ** tau
    assert np.allclose(step.start.exp(), first / first.sum(), atol=1e-6)


def test_bio_never_goes_on_with_what_did_not_begin():
    step = chain(COUNTS, types=2, tagging="bio")
    logs, lengths = scores(sentences=200, words=8)
    for path, length in zip(viterbi(logs, lengths, step).tolist(), lengths.tolist(), strict=True):
        before = "O"
        for tag in tags_of(path[:length], step, ["p", "q"]):
            assert not tag.startswith("I") or before[2:] == tag[2:]
            before = tag
    # Sure words, of which nothing says where an entity ends: transitions decide, and one goes on more often.
    sure = torch.tensor([[[0.0, -9, -9], [-9, 0, -9], [-9, 0, -9], [-9, -9, 0]]]).log_softmax(-1)
    assert tags_of(viterbi(sure, torch.tensor([4]), step)[0].tolist(), step, ["p", "q"]) == ["O", "B-p", "I-p", "B-q"]


def test_transitions_correct_a_word_that_stands_alone():
    unsure = torch.tensor([[[0.0, -9], [-0.5, 0], [0, -9.0]]]).log_softmax(-1)
    lengths = torch.tensor([3])
    assert viterbi(unsure, lengths, chain(CROSSNER, 1))[0].tolist() == [0, 0, 0]
    assert unsure.argmax(-1)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("changes", [{"types": 0}, {"tau": 0.0}, {"tau": float("nan")}, {"tagging": "bioes"}])
def test_a_chain_that_makes_no_sense_is_refused(changes):
    with pytest.raises(InputError):
        chain(COUNTS, **{"types": 2, **changes})
