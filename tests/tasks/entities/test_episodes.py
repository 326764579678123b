"""The greedy sampler of tagging tasks: what it promises of every task, and what it says where there is none."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from innerloop.core.errors import InputError
from innerloop.core.scores import EntityF1, of_sampler
from innerloop.core.types import Batch
from innerloop.tasks.entities import Domain, Encoded, EntitySampler, Sentence, Span

_TYPES = ("art", "bird", "city", "dish")


def domain(name: str, repeats: int = 12, types: tuple[str, ...] = _TYPES) -> Encoded:
    """Sentences of one to three entities, some with a type that is left out; a row's first number is its word."""
    sentences = list[Sentence]()
    for i in range(repeats):
        for j, kind in enumerate(types):
            other = types[(j + 1 + i) % len(types)]
            sentences.append(Sentence(("a", "b", "c"), (Span(0, 2, kind),)))
            sentences.append(Sentence(("d", "e", "f", "g"), (Span(0, 1, kind), Span(2, 3, other))))
        sentences.append(Sentence(("h", "i"), (Span(0, 1, types[0]), Span(1, 2, "misc"))))
        sentences.append(Sentence(("j",)))
    words = sum(len(s.words) for s in sentences)
    return Encoded(Domain.of(name, sentences), torch.arange(2.0 * words).reshape(words, 2).half())


@pytest.fixture(scope="module")
def domains() -> tuple[Encoded, ...]:
    return domain("one"), domain("two", types=_TYPES[:3])


@settings(max_examples=30, deadline=None)
@given(
    ways=st.integers(1, 3),
    shots=st.integers(1, 3),
    queries=st.integers(1, 3),
    seed=st.integers(0, 99),
    index=st.integers(0, 9),
)
def test_every_type_has_k_to_2k_entities_and_no_sentence_is_used_twice(
    domains: tuple[Encoded, ...], ways: int, shots: int, queries: int, seed: int, index: int
):
    drawn = EntitySampler(domains=domains, ways=ways, shots=shots, queries=queries, seed=seed).draw(index)
    own = domains[drawn.domain].domain
    assert len(set(drawn.types)) == ways and set(drawn.types) <= set(own.types)
    assert len({*drawn.support, *drawn.query}) == len(drawn.support) + len(drawn.query)
    for chosen, k in ((drawn.support, shots), (drawn.query, queries)):
        counts = Counter(span.type for i in chosen for span in own.sentences[i].spans)
        assert set(counts) == set(drawn.types), "nothing else, not even a type that is left out"
        assert all(k <= count <= 2 * k for count in counts.values())


def test_words_lie_flat_with_a_masked_row_between_sentences(domains: tuple[Encoded, ...]):
    sampler = EntitySampler(domains=domains, ways=3, shots=2, queries=1, seed=4, places=True)
    episode = sampler.episodes(0, 6)
    assert episode.support.y.shape == (6, sampler.lengths[0]) and episode.query.y.shape == (6, sampler.lengths[1])
    for i in range(6):
        drawn = sampler.draw(i)
        encoded = domains[drawn.domain]
        for part, chosen in zip(episode, (drawn.support, drawn.query), strict=True):
            assert isinstance(part.x, dict) and part.mask is not None
            row = 0
            for number, j in enumerate(chosen):
                sentence = encoded.domain.sentences[j]
                here = slice(row, row + len(sentence.words))
                start = int(encoded.starts[j])
                assert torch.equal(part.x["x"][i, here], encoded.rows[start : start + len(sentence.words)].float())
                assert part.y[i, here].tolist() == [["O", *drawn.types].index(kind) for kind in sentence.types]
                assert (part.x["sentence"][i, here] == number).all() and part.mask[i, here].all()
                assert part.x["position"][i, here].tolist() == list(range(len(sentence.words)))
                row = here.stop + 1
                assert not part.mask[i, here.stop : row].any()
            assert not part.mask[i, row:].any() and not part.x["x"][i][~part.mask[i]].any()
            assert (part.x["sentence"][i] >= 0).equal(part.mask[i]) and part.classes is not None
            assert part.classes.shape == (6, 4) and bool(part.classes.all())


def test_an_episode_depends_on_seed_and_index_alone_and_rows_may_change(domains: tuple[Encoded, ...]):
    sampler = EntitySampler(domains=domains, ways=2, shots=1, queries=1, seed=3)
    assert sampler.draw(5) == replace(sampler).draw(5) != replace(sampler, seed=2).draw(5)
    one, four = sampler.episodes(2, 1), sampler.episodes(0, 4)
    assert torch.equal(one.query.y[0], four.query.y[2]) and isinstance(four.support.key, torch.Tensor)
    assert replace(sampler, seed=2).lengths == sampler.lengths
    others = replace(sampler, domains=tuple(Encoded(e.domain, e.rows.float()[:, :1]) for e in domains))
    assert others.describe() == sampler.describe() and others.draw(5) == sampler.draw(5)
    assert of_sampler(sampler) == EntityF1() and sampler.role is None and replace(sampler, split="test").role == "test"


def test_words_of_other_count_as_much_as_is_asked(domains: tuple[Encoded, ...]):
    sampler = EntitySampler(domains=domains, ways=2, shots=2, queries=1, other_weight=0.5)
    support, query = sampler.episodes(0, 3)
    assert support.weight is not None and support.mask is not None and query.weight is None
    for y, mask, weight in zip(support.y, support.mask, support.weight, strict=True):
        counts = [weight[mask & (y == label)].sum().item() for label in range(3)]
        assert counts[0] == pytest.approx(0.5 * (counts[1] + counts[2]) / 2)


def test_longer_tasks_are_drawn_again_and_counted(domains: tuple[Encoded, ...]):
    sampler = EntitySampler(domains=domains, ways=3, shots=2, queries=2)
    short = replace(sampler, tokens=22)
    assert short.lengths == (22, 22) and sum(short.draw(i).too_long for i in range(40)) > 0
    mask = short.episodes(0, 40).support.mask
    assert isinstance(mask, torch.Tensor) and mask.shape == (40, 22)
    with pytest.raises(InputError, match=r"1000 attempts; \d+ needed more than 4 words: raise tokens"):
        replace(sampler, tokens=4).draw(0)


def test_a_perfect_answer_scores_one(domains: tuple[Encoded, ...]):
    query = EntitySampler(domains=domains, ways=3, shots=1, queries=2).episodes(0, 5).query
    score = EntityF1()
    counts = torch.stack(
        [score.of(torch.eye(4)[y], Batch(y, y, mask)) for y, mask in zip(query.y, query.mask, strict=True)]
    )  # type: ignore[arg-type]
    assert score.total(counts) == 1 and (counts[:, 2] >= 6).all()


def test_what_cannot_be_drawn_is_said_with_its_type():
    encoded = domain("one")
    with pytest.raises(InputError, match=r"5 ways need as many types; one has 4 \(art, bird, city, dish\)"):
        EntitySampler(domains=(encoded,), ways=5)
    rare = Sentence(("x", "y"), (Span(0, 1, "rare"), Span(1, 2, "misc")))
    more = Domain.of("more", [*encoded.domain.sentences, rare, rare])
    rows = torch.cat([encoded.rows, torch.zeros(4, 2).half()])
    with pytest.raises(InputError, match="need 3 entities of every type; 'rare' of more has 2"):
        EntitySampler(domains=(Encoded(more, rows),), ways=4, shots=2, queries=1)
    sampler = EntitySampler(domains=(Encoded(more, rows),), ways=5, shots=1, queries=1, attempts=20, tokens=99)
    with pytest.raises(InputError, match=r"in 20 attempts: 'rare' was too rare in 20 of them. It has 2 entities"):
        sampler.draw(0)
    with pytest.raises(InputError, match="at least one domain"):
        EntitySampler(domains=())
    with pytest.raises(InputError, match="one has 31 words and needs as many rows"):
        Encoded(domain("one", 1).domain, torch.zeros(2, 2))
