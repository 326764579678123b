"""Tagged sentences as people give them."""

from collections.abc import Iterable, Sequence
from typing import Any

from innerloop.core.errors import InputError
from innerloop.encoders.tokens import readable
from innerloop.tasks.entities import conll, words
from innerloop.tasks.entities.sentences import OTHER, Sentence, spans

_LONGEST = 100
"""Characters of the name of a type."""
_WANTED = "give a list of texts, or of lists of words"


def untagged(given: Any) -> list[Sentence]:
    """Sentences as they are: texts are cut into words by `tasks.entities.words`, lists of words stay as they are.

    Raises:
        InputError: One is neither of these, or has a word that cannot be read.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"sentences are a list, got {type(given).__name__} {str(given)[:40]!r}: {_WANTED}")
    sentences = [_sentence(one, i) for i, one in enumerate(given)]
    readable([one.words for one in sentences])  # here, where a sentence has the number that it was given with
    return sentences


def tagged(given: Any, tags: Any = None) -> list[Sentence]:
    """Sentences to learn from.

    Args:
        given: As of `untagged`; or `Sentence` with their entities, without `tags`.
        tags: A list for each, with a tag for each word: of BIO, BIOES, BILOU, BMES or IO, or the bare types, and `O`
            for none.

    Raises:
        InputError: Sentences and tags that do not fit, tags of no scheme or of two, an empty sentence, none at all, or
            a type that has no name.
    """
    given = given if isinstance(given, str | bytes) or not isinstance(given, Iterable) else list(given)
    sentences = untagged(given)
    if tags is not None:
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise InputError(f"tags are a list for each sentence, got {type(tags).__name__} {str(tags)[:40]!r}")
        sentences = _with_tags(sentences, list(tags))
    elif not all(isinstance(one, Sentence) for one in given):
        raise InputError("sentences to learn from need tags: give a list of tags for each, one tag a word")
    if not sentences:
        raise InputError("there is no sentence to learn from: give one with an entity, at least")
    for i, sentence in enumerate(sentences):
        _check(sentence, i)
    return sentences


def _sentence(one: Any, number: int) -> Sentence:
    if isinstance(one, Sentence):
        if not words.fits(one):
            raise InputError(f"sentence {number} has its words not in its text: give both text and offsets, or neither")
        return one
    if isinstance(one, str):
        return words.sentence(one)
    if not isinstance(one, Sequence) or not all(isinstance(word, str) for word in one):
        raise InputError(f"sentence {number} is of type {type(one).__name__}: {_WANTED}")
    return Sentence(tuple(one))


def _with_tags(sentences: list[Sentence], tags: list[Any]) -> list[Sentence]:
    if len(tags) != len(sentences):
        raise InputError(f"{len(sentences)} sentences have {len(tags)} lists of tags: give one list for each")
    for i, (sentence, own) in enumerate(zip(sentences, tags, strict=True)):
        if isinstance(own, str) or not isinstance(own, Sequence) or not all(isinstance(tag, str) for tag in own):
            raise InputError(f"the tags of sentence {i} are no list of tags such as ['O', 'B-person']")
        if len(own) != len(sentence.words):
            raise InputError(
                f"sentence {i} has {len(sentence.words)} words and {len(own)} tags ('{' '.join(sentence.words)[:60]}'):"
                " give one tag a word, and give lists of words where a text may be cut in another way"
            )
    plain = _plain(tags)
    return [sentence._replace(spans=spans(own)) for sentence, own in zip(sentences, plain, strict=True)]


def _plain(tags: list[Sequence[str]]) -> list[list[str]]:
    """Tags that have a prefix, of one scheme."""
    letters, bare = dict[str, int](), dict[str, int]()
    for i, own in enumerate(tags):
        for tag in own:
            letter = conll.prefix(tag, f"sentence {i}")
            if letter:
                letters.setdefault(letter, i)
            elif tag != OTHER:
                bare.setdefault(tag, i)
    if bare and letters:
        (tag, place), letter = next(iter(bare.items())), next(iter(letters))
        raise InputError(
            f"the tag {tag[:50]!r} of sentence {place} has no prefix, and tags of sentence {letters[letter]} have "
            f"{letter}-: write all of them in one scheme"
        )
    if bare:
        return [[tag if tag == OTHER else f"I-{tag}" for tag in own] for own in tags]
    conll.refuse_mixed({letter: f"sentence {i}" for letter, i in letters.items()}, "what is given")
    plain = [list(map(conll.as_bioes, own)) for own in tags]
    ends = next((letter for letter in "ESLU" if letter in letters), None)
    for i, own in enumerate(plain) if ends else ():
        for tag, after in zip(own, [*own[1:], OTHER], strict=True):
            if tag[0] in "BI" and not (after[0] in "IE" and after[1:] == tag[1:]):
                raise InputError(
                    f"two schemes are mixed: sentence {letters[ends or '']} has {ends}-, which says where an entity "
                    f"ends, and sentence {i} ends one with {tag[:50]} (BIO): write all of them in one"
                )
    return plain


def _check(sentence: Sentence, number: int) -> None:
    if not sentence.words:
        raise InputError(f"sentence {number} has no words: leave it out")
    end = 0
    for span in sentence.spans:
        if not end <= span.start < span.end <= len(sentence.words):
            raise InputError(
                f"the {span.type} of sentence {number} from word {span.start} to {span.end} overlaps another entity, "
                f"is out of order, or out of its {len(sentence.words)} words: mend it"
            )
        check_type(span.type, f"sentence {number}")
        end = span.end


def check_type(name: Any, place: str) -> None:
    """Refuse what cannot be the name of a type.

    Raises:
        InputError: It is empty, too long, or the tag of none.
    """
    if not isinstance(name, str) or not name.strip() or name == OTHER or len(name) > _LONGEST or not name.isprintable():
        raise InputError(
            f"{place}: {str(name)[:50]!r} cannot be a type of entities: it needs a name of up to {_LONGEST} characters "
            f"that is not '{OTHER}'"
        )
