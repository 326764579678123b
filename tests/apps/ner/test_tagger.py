"""A tagger from a few sentences, its versions, what it says, and what it refuses."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from innerloop.apps.ner import answering
from innerloop.apps.ner.settings import CROSSNER
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.core.errors import InputError
from innerloop.encoders.whitening import Whitening
from innerloop.tasks.entities.sentences import Sentence, Span, spans, tags
from tests.apps.ner.tiny import ANSWER, ASKED, FEATURES, SENTENCES, TAGS, TYPES, endings

__all__ = ["endings"]
pytestmark = pytest.mark.usefixtures("endings")


@pytest.fixture
def taught():
    return FewShotTagger().fit(SENTENCES, TAGS)


@pytest.mark.parametrize("head", ["nearest", "prototypes"])
@pytest.mark.parametrize("decode", ["viterbi", "argmax"])
def test_it_finds_what_it_was_shown(head, decode):
    tagger = FewShotTagger(head=head, decode=decode).fit(SENTENCES, TAGS)
    assert tagger.types_ == list(TYPES) and tagger.predict([ASKED, []]) == [ANSWER, []]
    assert tagger.predict([*SENTENCES[:2], ASKED]) == [*TAGS[:2], ANSWER]


def test_every_way_to_give_sentences_is_the_same(taught):
    given = [Sentence(tuple(words), spans(own)) for words, own in zip(SENTENCES, TAGS, strict=True)]
    ways = [FewShotTagger().fit(given), FewShotTagger().fit(iter(SENTENCES), iter(TAGS))]
    ways.append(FewShotTagger().fit([" ".join(words) for words in SENTENCES], TAGS))
    ways += [
        FewShotTagger().fit(SENTENCES, [tags(one.spans, len(one.words), scheme) for one in given])
        for scheme in ("bioes", "io")
    ]
    ways.append(FewShotTagger().fit(SENTENCES, [one.types for one in given]))
    for other in ways:
        assert other.predict([ASKED]) == [ANSWER]
        assert other.task.rows.equal(taught.task.rows) and other.show()["types"] == taught.show()["types"]


def test_what_it_says_of_a_text_is_plain_and_by_characters(taught):
    text = "in Magdeburg,  Jackson Ericson met Miniorg"
    said = taught.tag(text)
    assert said["text"] == text and said["tokens"][2] == "," and len(said["tags"]) == 7
    found = [(text[one["start"] : one["end"]], one["type"]) for one in said["entities"]]
    assert found == [("Magdeburg", "place"), ("Jackson Ericson", "person"), ("Miniorg", "org")]
    assert all(one["text"] == text[one["start"] : one["end"]] for one in said["entities"])
    assert all(0.3 < one["confidence"] <= 1 for one in said["entities"])
    assert [text[a:b] for a, b in said["words"]] == said["tokens"]
    assert taught.tag("") == {"text": "", "tokens": [], "words": [], "tags": [], "entities": []}
    assert taught.answers([ASKED])[0].to_json()["text"] == " ".join(ASKED)


def test_a_confidence_is_that_of_the_least_probable_word(taught):
    sure, unsure = (taught.answers([words])[0].confidences[0] for words in (["Jackson", "met"], ["jackson", "met"]))
    pair = taught.answers([["Jackson", "Ericson"]])[0]
    assert len(pair.confidences) == 1 and sure > unsure
    colder = FewShotTagger(temperature=taught.task.decoding.temperature / 4).fit(SENTENCES, TAGS)
    assert colder.answers([["Jackson", "met"]])[0].confidences[0] > sure


def test_it_learns_more_and_forgets_and_goes_back(taught):
    taught.add([["Zebra", "and", "Cobra"]], [["B-animal", "O", "B-animal"]])
    assert taught.types_ == ["animal", *TYPES] and taught.predict([ASKED]) == [ANSWER]
    taught.drop("person")
    assert taught.predict([ASKED])[0][2:4] == ["O", "O"] and len(taught.sentences_) == 4
    assert taught.sentences_[1].spans == (Span(1, 2, "org"), Span(6, 7, "place"))
    taught.undo()
    assert taught.predict([ASKED]) == [ANSWER]
    taught.redo().undo(1)
    assert taught.types_ == list(TYPES)
    assert [one.action for one in taught.history] == ["fit", "add animal", "drop person", "undo", "redo", "back to 1"]
    taught.drop(2)
    assert list(taught.sentences_) == [0, 1]
    shown = taught.show()
    assert shown["version"] == 7 and shown["types"] == {"org": 1, "person": 2, "place": 3}
    assert shown["versions"][-1]["sentences"] == 2 and shown["words"] == 14


def test_a_correction_takes_the_place_of_what_it_corrects(taught):
    wrong = ["the", "Megaorg", "of", "Wilson", "is", "in", "Freiburg"]
    taught.add([wrong], [["O", "B-person", "O", "O", "O", "O", "O"]])
    assert taught.show()["sentences"] == 3 and taught.show()["types"] == {"person": 2, "place": 2}
    assert taught.predict([ASKED])[0][-1] == "B-person"
    assert taught.undo().predict([ASKED]) == [ANSWER]
    fresh = FewShotTagger().fit([SENTENCES[0], SENTENCES[2]], [TAGS[0], TAGS[2]])
    fresh.add([SENTENCES[1]], [TAGS[1]])
    assert fresh.predict([ASKED]) == [ANSWER]


def test_bio_tells_neighbours_apart_where_transitions_say_so():
    never = CROSSNER._replace(goes_on=0, same=10_000)
    pair = [["Jackson", "Ericson"]]
    assert FewShotTagger().fit(SENTENCES, TAGS).predict(pair) == [["B-person", "I-person"]]
    apart = FewShotTagger(tagging="bio", transitions=never).fit(SENTENCES, TAGS)
    assert apart.predict(pair) == [["B-person", "B-person"]]


def test_names_and_whitening_are_learned_with():
    whitening = Whitening(mean=torch.zeros(FEATURES), map=torch.eye(FEATURES))
    plain, whitened = FewShotTagger(), FewShotTagger(whiten=whitening)
    for tagger in (plain, whitened):
        tagger.fit(SENTENCES, TAGS)
    assert torch.allclose(plain.task.rows.float(), whitened.task.rows.float(), atol=1e-3)
    named = FewShotTagger(names=True).fit(SENTENCES, TAGS)
    assert named.task.learned.adapted.centroids.counts.sum() == sum(map(len, SENTENCES)) + 3
    assert named.add([["Zebra"]], [["B-animal"]]).types_ == ["animal", *TYPES]
    with pytest.raises(InputError, match="rows of 3 numbers, and minilm:3 makes 8"):
        FewShotTagger(whiten=Whitening(mean=torch.zeros(3), map=torch.eye(3))).fit(SENTENCES, TAGS)


def test_many_threads_may_ask(taught):
    with ThreadPoolExecutor(4) as pool:
        assert all(found == [ANSWER] for found in pool.map(lambda _: taught.predict([ASKED]), range(20)))


def test_it_is_copied_and_shows_its_settings(taught):
    assert copy.deepcopy(taught).predict([ASKED]) == [ANSWER]
    assert repr(FewShotTagger(head="prototypes")) == "FewShotTagger(head='prototypes')"
    assert FewShotTagger().set_params(tagging="bio").get_params()["tagging"] == "bio"


X = [["a", "Wilson"]]


@pytest.mark.parametrize(
    ("sentences", "given", "says"),
    [
        ([["a", "b"]], [["O", "O"]], "none of 1 sentences has an entity"),
        ([], [], "there is no sentence to learn from"),
        ([["a"], []], [["B-x"], []], "sentence 1 has no words"),
        ([["a"], ["b", "c"]], [["B-x"], ["O"]], r"sentence 1 has 2 words and 1 tags \('b c'\)"),
        (X, [["O", "B-p"], ["O"]], "1 sentences have 2 lists of tags"),
        (X, None, "need tags"),
        ("a text", [["O"]], "sentences are a list, got str"),
        ([7], [["O"]], "sentence 0 is of type int"),
        (X, ["OO"], "tags of sentence 0 are no list"),
        ([*X, ["b"]], [["O", "B-p"], ["p"]], "'p' of sentence 1 has no prefix, and tags of sentence 0 have B-"),
        ([*X, ["b", "c"]], [["O", "S-p"], ["B-p", "O"]], "two schemes are mixed: sentence 0 has S-"),
        (X, [["O", "B-O"]], "'O' cannot be a type"),
        (X, [["O", "B- "]], "cannot be a type"),
        ([["a", " "]], [["O", "B-p"]], "word 1 of sentence 0 is empty"),
        ([Sentence(("a",), (Span(0, 2, "p"),))], None, "out of its 1 words"),
        ([Sentence(("a", "b"), (Span(0, 2, "p"), Span(1, 2, "q")))], None, "overlaps"),
    ],
)
def test_what_cannot_be_learned_is_said_and_changes_nothing(taught, sentences, given, says):
    for change in (taught.fit, taught.add) if "none of" not in says else (taught.fit,):
        before = taught.task
        with pytest.raises(InputError, match=says):
            change(sentences, given)
        assert taught.task is before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop("persn"), "no type 'persn' to drop; did you mean 'person'"),
        (lambda t: t.drop(9), "no sentence 9 to drop: there are 0, 1, 2"),
        (lambda t: t.drop("person").drop("org").drop("place"), "no entity is left"),
        (lambda t: t.undo(), "nothing to undo"),
        (lambda t: t.redo(), "nothing to redo"),
        (lambda t: t.undo(7), "no version 7"),
        (lambda t: t.predict("a text"), "sentences are a list, got str"),
        (lambda t: t.predict([["a", ""]]), "word 1 of sentence 0 is empty"),
    ],
)
def test_what_cannot_be_done_is_said(taught, change, says):
    with pytest.raises(InputError, match=says):
        change(taught)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source": "minilm:33"}, "no encoder of words"),
        ({"source": "runs/none"}, "no run folder runs/none"),
        ({"source": 3}, "got int"),
        ({"head": "nearst"}, "no head 'nearst'"),
        ({"decode": "viterby"}, "no decode 'viterby'; did you mean 'viterbi'"),
        ({"tagging": "bioes"}, "no tagging 'bioes'"),
        ({"tau": 0}, "tau is a number above 0"),
        ({"temperature": float("nan")}, "temperature is a number above 0"),
        ({"transitions": CROSSNER._replace(same=-1)}, "same is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(monkeypatch, settings, says):
    if settings.get("source") == "minilm:33":
        monkeypatch.undo()  # the real names of encoders
    with pytest.raises(InputError, match=says):
        FewShotTagger(**settings).fit(SENTENCES, TAGS)


def test_nothing_was_learned_yet():
    for ask in (lambda t: t.predict([ASKED]), lambda t: t.save("x.fewshot"), lambda t: t.drop("x"), lambda t: t.show()):
        with pytest.raises(InputError, match="nothing was learned yet"):
            ask(FewShotTagger())


def test_more_types_than_can_be_decoded_are_refused():
    words, tags = [[f"w{i}" for i in range(501)]], [[f"B-t{i}" for i in range(501)]]
    with pytest.raises(InputError, match="501 types of entities, and 500 are most"):
        FewShotTagger().fit(words, tags)
    tagger = FewShotTagger(tagging="bio").fit(SENTENCES, TAGS)
    with pytest.raises(InputError, match="are most"):
        tagger.add(words, tags)
    assert len(tagger.history) == 1


def test_a_long_sentence_among_short_ones_is_tagged_as_alone(monkeypatch):
    monkeypatch.setattr(answering, "_PADDED", 40)
    tagger = FewShotTagger().fit(SENTENCES, TAGS)
    asked = [ASKED, ASKED * 9, ["."], [], ASKED * 2]
    assert tagger.answers(asked) == [tagger.answers([one])[0] for one in asked]
    assert tagger.predict(asked)[4] == ANSWER * 2


def test_words_are_named_by_the_sentence_that_was_given(taught):
    given = [*[[]] * 2, *[["a"]] * 300, ["b", " "]]  # as many as are read together, and a few more
    for ask in (taught.predict, lambda sentences: taught.add(sentences, [["O"] * len(one) for one in sentences])):
        with pytest.raises(InputError, match="word 1 of sentence 302 is empty"):
            ask(given)


def test_tags_of_bilou_are_read_as_in_files(taught):
    bilou = [["B-person", "L-person", "O", "U-place", "O", "U-place", "O"]]
    assert FewShotTagger().fit(SENTENCES[:1], bilou).predict(SENTENCES[:1]) == [TAGS[0]]


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (["X-person", "O"], "sentence 0: the tag 'X-person' begins with X-, which no scheme has"),
        (["B-", "O"], "sentence 0: the tag 'B-' names no type"),
        (["U-person", "S-person"], "mixes two schemes of tags: sentence 0 has U- .BILOU., sentence 0 has S- .BIOES or"),
        (["U-person", "B-person"], "sentence 0 has U-, which says where an entity ends"),
    ],
)
def test_tags_of_no_scheme_are_refused_as_in_files(tags, says):
    with pytest.raises(InputError, match=says):
        FewShotTagger().fit([["Ada", "Anderson"]], [tags])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"whiten": 1}, "whiten is True, False or"), ({"transitions": (1, 2)}, "transitions are `Transitions`")],
)
def test_options_of_other_types_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        FewShotTagger("minilm:3", **options).fit(SENTENCES, TAGS)
    with pytest.raises(InputError, match="tags are a list for each sentence, got int"):
        FewShotTagger().fit(SENTENCES, 5)


def test_places_that_are_not_in_the_text_are_refused_before_a_file_has_them(taught):
    one = Sentence(("Ada",), (Span(0, 1, "person"),))
    for wrong in (
        one._replace(text="Ada"),
        one._replace(offsets=((0, 3),)),
        one._replace(text="Ad", offsets=((0, 3),)),
    ):
        for ask in (taught.add, taught.predict):
            with pytest.raises(InputError, match="sentence 0 has its words not in its text"):
                ask([wrong])
