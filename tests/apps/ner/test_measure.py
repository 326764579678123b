"""Decoding by sentences beside the best type of every word, on tasks drawn from invented sentences."""

import pytest
import torch

from innerloop.apps.ner.decode import chain
from innerloop.apps.ner.measure import STRENGTHS, TEMPERATURES, choose, decode, measure
from innerloop.apps.ner.settings import Decoding, Transitions
from innerloop.core.model import Module
from innerloop.core.types import Batch
from innerloop.evaluate import meta_test
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.tasks.entities import Domain, Encoded, EntitySampler, Sentence, Span

LONG = Transitions(30, 10, 300, 60, 60, 120, 1, 1)


@pytest.fixture(scope="module")
def sampler() -> EntitySampler:
    """Entities of three words each, whose rows are their type's corner with noise that one word in a few drowns in."""
    draw = torch.Generator().manual_seed(0)
    kinds, sentences, rows = ("a", "b", "c"), list[Sentence](), list[torch.Tensor]()
    for i in range(90):
        words = torch.zeros(9, 4)
        words[:, 3] = 1
        words[3:6] = torch.eye(4)[i % 3]
        sentences.append(Sentence(tuple("word" for _ in words), (Span(3, 6, kinds[i % 3]),)))
        rows.append(words + 0.45 * torch.randn(9, 4, generator=draw))
    domain = Encoded(Domain.of("corners", sentences), torch.cat(rows))
    return EntitySampler(domains=(domain,), ways=3, shots=3, queries=4)


@pytest.fixture(scope="module")
def learner() -> ProtoNet:
    return ProtoNet(encoder=Module(torch.nn.Flatten))


def test_the_best_type_of_each_word_is_scored_as_a_meta_test_does(sampler, learner):
    both = measure(learner, {}, sampler, 6, Decoding(transitions=LONG))
    assert both.argmax.tolist() == meta_test(learner, {}, sampler, 6, quiet=True).scores.tolist()


def test_whole_sentences_are_tagged_better_than_words(sampler, learner):
    decoding = choose(learner, {}, sampler, LONG)
    assert decoding.temperature in TEMPERATURES
    assert any(decoding.tau * decoding.temperature == pytest.approx(strength) for strength in STRENGTHS)
    gain = measure(learner, {}, sampler, 20, decoding).intervals["difference"]
    assert gain.mean - gain.ci95 > 0.05


def test_transitions_that_do_not_count_leave_words_as_they_are(sampler, learner):
    both = measure(learner, {}, sampler, 4, Decoding(transitions=LONG, tau=1e-9))
    assert both.viterbi.tolist() == both.argmax.tolist()


def test_sentences_are_decoded_apart():
    """The second sentence begins anew: decoded alone, it is what it is in the batch."""
    outputs = torch.tensor([[0.0, 2.0], [0.0, 2.0], [9.0, 9.0], [0.4, 0.0], [3.0, 0.0]])
    mask = torch.tensor([True, True, False, True, True])
    steps = chain(LONG, 1)
    whole = decode(outputs, Batch(outputs, mask.long(), mask), steps)
    parts = [decode(part, Batch(part, torch.zeros(2)), steps) for part in (outputs[:2], outputs[3:])]
    assert whole.tolist() == [*parts[0].tolist(), 0, *parts[1].tolist()] == [1, 1, 0, 0, 0]
