"""From what is said of every word to entities: StructShot's Viterbi decoding, and the probability of every word's type.

Yang and Katiyar, EMNLP 2020, https://arxiv.org/abs/2010.02405, section 3.2. How types follow each other is counted on
sentences whose types are others, told apart only as "none", "the same type" and "another type" (abstract transitions),
and spread over the types of a task. The authors know no beginnings (IO); with them (BIO) an entity goes on, or another
of its type begins right behind it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from innerloop.apps.ner.settings import Tagging, Transitions
from innerloop.core.errors import InputError
from innerloop.tasks.entities.sentences import OTHER, Sentence

_NUMBERS = 1 << 24
"""Numbers of a table, of transitions or of words, that are in memory together."""
_LEAST = -300.0
"""Logarithm of the least probability that sums know from 0: a product of two is still above 0."""


def counted(sentences: Iterable[Sentence]) -> Transitions:
    """Transitions of tagged sentences."""
    counts = dict.fromkeys(Transitions._fields, 0)
    for words, spans, *_ in sentences:
        place: list[tuple[str, bool]] = [(OTHER, False)] * len(words)
        for start, end, kind in spans:
            place[start:end] = [(kind, i == start) for i in range(start, end)]
        for i, (kind, begins) in enumerate(place):
            counts[_step(None if i == 0 else place[i - 1][0], kind, begins)] += 1
    return Transitions(**counts)


def _step(before: str | None, kind: str, begins: bool) -> str:
    """The field of `Transitions` that counts a word of this type behind one of type `before`, None: the first word."""
    if before is None or before == OTHER:
        return ("start" if before is None else "none") + ("_none" if kind == OTHER else "_entity")
    if kind == OTHER:
        return "entity_none"
    if not begins:
        return "goes_on"
    return "same" if kind == before else "other"


class Chain(NamedTuple):
    """Transitions spread over the types of a task, as logarithms of probabilities."""

    start: Tensor  # [states]
    step: Tensor  # [states, states], from the first to the second; rows sum to 1 in probability
    classes: Tensor  # [states] int64, whose emission a state has: 0 is none, 1 to types
    begins: Tensor  # [states] bool, whether an entity begins there whatever was before; all False in IO


def chain(transitions: Transitions, types: int, tau: float = 1.0, tagging: Tagging = "io") -> Chain:
    """The states of a task: none, and for every type one (IO), or one for its beginning and one for what follows (BIO).

    Args:
        transitions: Each is counted once more than it was seen, so that nothing is impossible.
        types: How many there are, 1 or more.
        tau: Probabilities are raised to it, and made to sum to 1 again: the smaller, the less they count.
        tagging: io or bio.

    Raises:
        InputError: A number that makes no sense.
    """
    if types < 1 or not 0 < tau < float("inf") or min(transitions) < 0:
        raise InputError(f"a chain has 1 or more types, tau above 0 and counts from 0 on; got {types}, {tau}")
    if tagging not in ("io", "bio"):
        raise InputError(f"there is no tagging '{tagging}': take io or bio")
    seen = Transitions(*(count + 1.0 for count in transitions))
    states = 1 + types * (2 if tagging == "bio" else 1)
    own = torch.eye(types, dtype=torch.float64)
    to_other = (1 - own) * (seen.other / max(types - 1, 1))
    start, step = torch.zeros(states, dtype=torch.float64), torch.zeros(states, states, dtype=torch.float64)
    first = slice(1, 1 + types)
    start[0], start[first] = seen.start_none, seen.start_entity / types
    step[0, 0], step[0, first] = seen.none_none, seen.none_entity / types
    step[1:, 0] = seen.entity_none
    if tagging == "io":
        step[first, first] = own * (seen.goes_on + seen.same) + to_other
    else:
        rows = torch.cat([own * seen.same + to_other, own * seen.goes_on], 1)
        step[1:, 1:] = rows.repeat(2, 1)
    number = torch.arange(1, 1 + types)
    classes = torch.cat([torch.zeros(1, dtype=torch.long), number.repeat((states - 1) // types)])
    begins = torch.zeros(states, dtype=torch.bool)
    begins[first] = tagging == "bio"
    return Chain(_powered(start, tau).float(), _powered(step, tau).float(), classes, begins)


def _powered(weights: Tensor, tau: float) -> Tensor:
    """Logarithms of the probabilities that rows of weights are in proportion to, raised to tau; -inf stays."""
    return torch.log_softmax(tau * weights.log(), -1)


@torch.no_grad()
def viterbi(scores: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """The most probable states of every sentence; of equals the one with the lowest number.

    Args:
        scores: [sentences, words, classes] logarithms of probabilities, padded with anything finite.
        lengths: [sentences] words of each, 1 or more.
        chain: What follows what.

    Returns:
        [sentences, words] int64; behind the last word its state again.
    """
    if not len(lengths):
        return torch.zeros(scores.shape[:2], dtype=torch.long)
    return torch.cat([_viterbi(s, n, chain) for s, n in _parts(scores, lengths, chain)])


def _viterbi(scores: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    emissions = scores[:, :, chain.classes]  # [sentences, words, states]
    going = (torch.arange(emissions.shape[1])[:, None] < lengths)[:, :, None]  # [words, sentences, 1]
    best, highest = [chain.start + emissions[:, 0]], _highest(chain)
    for i in range(1, emissions.shape[1]):
        best.append(torch.where(going[i], highest(best[-1]) + emissions[:, i], best[-1]))
    path, into = [best[-1].argmax(1)], chain.step.T.contiguous()
    for i in range(emissions.shape[1] - 1, 0, -1):
        here = path[-1]
        before = (best[i - 1] + into[here]).argmax(1)
        path.append(torch.where(going[i, :, 0], before, here))
    return torch.stack(path[::-1], 1)


def _highest(chain: Chain) -> Callable[[Tensor], Tensor]:
    """What `(best[:, :, None] + chain.step).amax(1)` is of [sentences, states] best, without that table.

    Types are alike: of all others before a type, the best is the best of all, or the second where that is its own.
    """
    states, types = len(chain.start), int(chain.classes[-1])
    step, bio = chain.step, states > 1 + types
    if types < 2:
        return lambda best: (best[:, :, None] + step).amax(1)
    to_none, to_first, to_other = step[:2, 0], step[0, 1], step[1, 2]
    to_own = step[1, [1, 1 + types] if bio else [1]]

    def highest(best: Tensor) -> Tensor:
        entity = torch.maximum(best[:, 1 : 1 + types], best[:, 1 + types :]) if bio else best[:, 1:]
        first, second = entity.topk(2).values.split(1, 1)
        none = torch.cat([best[:, :1], first], 1)
        other = torch.where(entity == first, second, first) + to_other
        begins = torch.maximum(torch.maximum(other, entity + to_own[0]), best[:, :1] + to_first)
        parts = [(none + to_none).amax(1, keepdim=True), begins]
        return torch.cat([*parts, entity + to_own[1]] if bio else parts, 1)

    return highest


@torch.no_grad()
def posteriors(scores: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    """[sentences, words, classes] probability of every word's class given its whole sentence, 0 behind the last word.

    By forwards and backwards sums over all ways through the chain; arguments as of `viterbi`.
    """
    if not len(lengths):
        return torch.zeros_like(scores)
    return torch.cat([_posteriors(s, n, chain) for s, n in _parts(scores, lengths, chain)])


def _posteriors(scores: Tensor, lengths: Tensor, chain: Chain) -> Tensor:
    count, words = scores.shape[1], torch.arange(scores.shape[1])
    backwards = (lengths[:, None] - 1 - words).clamp_min(0)  # [sentences, words] the last word first
    # Every word's best class is certain before its neighbours speak: sums stay above the least step.
    emissions = (scores - scores.amax(2, keepdim=True)).double().exp()[:, :, chain.classes]
    both = torch.stack([emissions, _words(emissions, backwards)], 2)  # [sentences, words, 2, states]
    start, step = _probabilities(chain.start), _probabilities(chain.step)
    steps = torch.stack([step, step.T])
    before = torch.stack([start, torch.ones_like(start)])
    summed = [before.expand(len(scores), -1, -1)]
    for i in range(1, count):
        known = summed[-1] * both[:, i - 1]
        known = known / known.sum(2, keepdim=True)
        summed.append(torch.einsum("nds,dst->ndt", known, steps))
    sums = torch.stack(summed, 1)  # of all ways to a state, less what its own word says
    of_states = sums[:, :, 0] * emissions * _words(sums[:, :, 1], backwards)
    of_classes = torch.zeros(scores.shape, dtype=step.dtype).index_add_(2, chain.classes, of_states)
    shares = of_classes / of_classes.sum(2, keepdim=True)
    return (shares * (words < lengths[:, None])[:, :, None]).to(scores.dtype)


def _probabilities(logs: Tensor) -> Tensor:
    return torch.where(logs.isinf(), logs, logs.clamp_min(_LEAST)).double().exp()


def _words(values: Tensor, places: Tensor) -> Tensor:
    """[sentences, words, states] of these words of each sentence."""
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[2]))


def _parts(scores: Tensor, lengths: Tensor, chain: Chain) -> Iterable[tuple[Tensor, Tensor]]:
    states = len(chain.start)
    count = max(1, _NUMBERS // (states * max(states, scores.shape[1])))  # sentences
    return zip(scores.split(count), lengths.split(count), strict=True)


def tags_of(states: Iterable[int], chain: Chain, types: Sequence[str]) -> list[str]:
    """[words] tags of states: `B-x` where an entity begins whatever was before, `I-x` within, `O` for none."""
    names, classes, begins = [OTHER, *types], chain.classes.tolist(), chain.begins.tolist()
    tagged = [(names[classes[state]], begins[state]) for state in states]
    return [kind if kind == OTHER else f"{'B' if first else 'I'}-{kind}" for kind, first in tagged]
