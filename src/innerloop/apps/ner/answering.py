"""What a tagger says of sentences, in one place for Python, command line, service and page."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from innerloop.apps.ner.decode import posteriors, tags_of, viterbi
from innerloop.apps.ner.task import Task
from innerloop.tasks.entities.sentences import OTHER, Sentence, Span, spans, tags
from innerloop.tasks.entities.words import placed
from innerloop.tasks.progress import track

_AT_ONCE = 256
"""Sentences that are answered together."""
_WORDS = 4096
"""Words whose distances to those of the support are in memory together."""
_PADDED = 1 << 16
"""Words that are decoded together, with what short sentences are filled up by."""


class Tagged(NamedTuple):
    """A sentence with what was found in it."""

    sentence: Sentence
    """With its text and offsets; its entities are those found."""
    confidences: tuple[float, ...]
    """How probable the least probable word of each entity is to be of its type."""

    @property
    def tags(self) -> list[str]:
        """[words] in BIO."""
        return tags(self.sentence.spans, len(self.sentence.words))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: words and entities by their place in the text, in characters; `end` is one behind the last."""
        words, own, text, offsets = self.sentence
        assert text is not None and offsets is not None
        entities = []
        for (first, end, kind), confidence in zip(own, self.confidences, strict=True):
            start, stop = offsets[first][0], offsets[end - 1][1]
            entities.append(
                {"start": start, "end": stop, "text": text[start:stop], "type": kind, "confidence": confidence}
            )
        return {
            "text": text,
            "tokens": list(words),
            "words": [list(place) for place in offsets],
            "tags": self.tags,
            "entities": entities,
        }


def answers(task: Task, sentences: Sequence[Sentence]) -> list[Tagged]:
    """What is found in every sentence; entities that it came with are not looked at.

    The confidence of an entity is the least of its words' probabilities to be of its type: with Viterbi decoding given
    the whole sentence (forwards and backwards sums over all ways to tag it), else given the word alone. It comes from
    few examples, and is calibrated as far as the temperature is, which was chosen on other domains.

    Raises:
        InputError: A word cannot be read.
    """
    starts = range(0, len(sentences), _AT_ONCE)
    parts = [sentences[start : start + _AT_ONCE] for start in starts]
    title = f"{len(sentences):,} sentences through {task.source.name}"
    shown = track(parts, title, len(parts)) if len(parts) > 1 else parts
    return [one for part in shown for one in _answers(task, part)]


@torch.no_grad()
def log_probabilities(task: Task, rows: Tensor) -> Tensor:
    """[words, classes] float32 of [words, features] rows: none, then the types in their order."""
    learner, params, adapted, _ = task.learned
    parts = [learner.predict(params, adapted, part.float()) for part in rows.split(_WORDS)]
    return torch.log_softmax(torch.cat(parts)[:, : 1 + len(task.types)] / task.decoding.temperature, -1)


def _answers(task: Task, sentences: Sequence[Sentence]) -> list[Tagged]:
    full = [sentence for sentence in sentences if sentence.words]
    decoded = iter(_decoded(task, full) if full else ())
    return [
        _placed(sentence, *next(decoded)) if sentence.words else Tagged(_bare(sentence), ()) for sentence in sentences
    ]


def _decoded(task: Task, sentences: list[Sentence]) -> list[tuple[list[str], Tensor]]:
    """For each sentence a tag for each word, and [words] the probability of the class that it says."""
    rows, lengths = task.source.rows([sentence.words for sentence in sentences])
    scores = log_probabilities(task, rows).split(lengths.tolist())
    decoded: dict[int, tuple[list[str], Tensor]] = {}
    for group in _alike(lengths.tolist()):
        padded = pad_sequence([scores[i] for i in group], batch_first=True)
        decoded |= zip(group, _of_group(task, padded, lengths[group]), strict=True)
    return [decoded[i] for i in range(len(sentences))]


def _alike(lengths: list[int]) -> Iterator[list[int]]:
    """Numbers of sentences, those of like length together, so that one long one does not lengthen all of them."""
    group = list[int]()
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[i] > _PADDED:
            yield group
            group = []
        group.append(i)
    yield group


def _of_group(task: Task, scores: Tensor, lengths: Tensor) -> Iterator[tuple[list[str], Tensor]]:
    """What `_decoded` says, of [sentences, words, classes] padded logarithms of probabilities."""
    step, by_viterbi = task.learned.chain, task.decoding.decode == "viterbi"
    if by_viterbi:
        states, shares = viterbi(scores, lengths, step), posteriors(scores, lengths, step)
        classes = step.classes[states]
    else:
        states = classes = scores.argmax(-1)  # states of IO: none, then the types
        shares = scores.exp()
    chosen = shares.gather(2, classes[:, :, None])[:, :, 0]
    names = [OTHER, *(f"I-{name}" for name in task.types)]
    for path, own, length in zip(states.tolist(), chosen, lengths.tolist(), strict=True):
        path = path[:length]
        yield tags_of(path, step, task.types) if by_viterbi else [names[i] for i in path], own[:length]


def _placed(sentence: Sentence, tagged: list[str], shares: Tensor) -> Tagged:
    entities: tuple[Span, ...] = spans(tagged)
    confidences = tuple(shares[start:end].min().item() for start, end, _ in entities)
    return Tagged(placed(sentence)._replace(spans=entities), confidences)


def _bare(sentence: Sentence) -> Sentence:
    return placed(sentence)._replace(spans=())
