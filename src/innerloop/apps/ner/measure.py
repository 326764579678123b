"""What Viterbi decoding adds on tagging tasks: entities by the largest score of every word, and by whole sentences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence

from innerloop.apps.ner.decode import Chain, chain, viterbi
from innerloop.apps.ner.settings import Decoding, Transitions
from innerloop.core import tree
from innerloop.core.interval import Interval
from innerloop.core.learner import Learner
from innerloop.core.objectives import classification
from innerloop.core.scores import EntityF1, measured
from innerloop.core.types import Batch, Params, Sampler
from innerloop.evaluate.result import finite, spell

TEMPERATURES = tuple(0.05 * 1.5**k for k in range(19))
"""Among these, the one whose probabilities of words are best is chosen: confidences depend on it."""
STRENGTHS = tuple(0.005 * 2.0**k for k in range(15))
"""tau times temperature, on which alone the best path depends: likewise, by the entities that are right."""
_CHOOSING = 40
"""Validation tasks that choose."""
_SCORE = EntityF1()


@dataclass(frozen=True)
class Decoded:
    """The same tasks decoded in both ways."""

    decoding: Decoding
    argmax: Tensor
    """[episodes, 3] entities that are right, predicted and true, by the largest score of every word."""
    viterbi: Tensor
    """The same by Viterbi decoding."""

    @property
    def intervals(self) -> dict[str, Interval]:
        """Micro-F1 of pooled counts, and what Viterbi adds, paired by task; 95% by a bootstrap over tasks."""
        return {
            "argmax": _SCORE.interval(self.argmax),
            "viterbi": _SCORE.interval(self.viterbi),
            "difference": _SCORE.difference(self.viterbi, self.argmax),
        }

    def __str__(self) -> str:
        rows = self.intervals
        argmax, viterbi = (spell(*rows[name], _SCORE) for name in ("argmax", "viterbi"))
        gain = spell(*rows["difference"], _SCORE, sign=True)
        about = (
            f"temperature {self.decoding.temperature:.3g} and tau {self.decoding.tau:.3g}, chosen on validation tasks"
        )
        return f"entity F1 by the best type of each word {argmax}, by Viterbi {viterbi} ({gain}; {about})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        numbers = {name: {k: finite(v) for k, v in row._asdict().items()} for name, row in self.intervals.items()}
        chosen = {"temperature": self.decoding.temperature, "tau": self.decoding.tau}
        return numbers | chosen | {"counts": {"argmax": self.argmax.tolist(), "viterbi": self.viterbi.tolist()}}


def measure(
    learner: Learner,
    params: Params,
    sampler: Sampler,
    episodes: int,
    decoding: Decoding,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Decoded:
    """Tag the queries of tasks in both ways.

    Args:
        learner: With class 0 for none.
        params: Its parameters.
        sampler: Whose masked rows stand between sentences.
        episodes: How many tasks.
        decoding: Chosen on other tasks; see `choose`.
        progress: Told how many are done, of how many.

    Raises:
        InputError: A task cannot be drawn.
    """
    rows = list[tuple[Tensor, Tensor]]()
    for outputs, query in _outputs(learner, params, sampler, episodes):
        rows.append((measured(_SCORE, outputs, query), _decoded(outputs, query, decoding)))
        progress(len(rows), episodes)
    argmax, by_viterbi = (torch.stack(column) for column in zip(*rows, strict=True))
    return Decoded(decoding, argmax, by_viterbi)


def choose(learner: Learner, params: Params, sampler: Sampler, transitions: Transitions) -> Decoding:
    """The temperature and tau that are best on validation tasks.

    Args:
        learner: With class 0 for none.
        params: Its parameters.
        sampler: Of validation tasks.
        transitions: Counted on the training domains.
    """
    answers = list(_outputs(learner, params, sampler, _CHOOSING))

    def surprise(temperature: float) -> float:
        return sum(classification(outputs / temperature, query.y, query.mask).item() for outputs, query in answers)

    def right(one: Decoding) -> float:
        return _SCORE.total(torch.stack([_decoded(*answer, one) for answer in answers]))

    usual = Decoding(transitions=transitions, temperature=min(TEMPERATURES, key=surprise))
    return max((usual._replace(tau=strength / usual.temperature) for strength in STRENGTHS), key=right)


def _outputs(learner: Learner, params: Params, sampler: Sampler, episodes: int) -> Iterator[tuple[Tensor, Batch]]:
    for i in range(episodes):
        support, query = tree.map(lambda leaf: leaf[0], sampler.episodes(i, 1))
        with torch.no_grad():
            yield learner.predict(params, learner.adapt(params, support), query.x), query


def _decoded(outputs: Tensor, query: Batch, decoding: Decoding) -> Tensor:
    """[3] what `EntityF1` counts of the entities that Viterbi finds."""
    types = outputs.shape[1] - 1
    classes = decode(outputs / decoding.temperature, query, chain(decoding.transitions, types, decoding.tau))
    return _SCORE.of(one_hot(classes, types + 1).to(outputs.dtype), query)


def decode(outputs: Tensor, query: Batch, steps: Chain) -> Tensor:
    """[rows] the class of every word by Viterbi, sentence by sentence; 0 where there is no word.

    Args:
        outputs: [rows, classes] logits.
        query: Whose mask is False between sentences.
        steps: What follows what.
    """
    real = torch.ones(len(outputs), dtype=torch.bool) if query.mask is None else query.mask
    lengths = _lengths(real.tolist())
    classes = torch.zeros(len(outputs), dtype=torch.long)
    if lengths:
        sentences = torch.log_softmax(outputs[real].float(), 1).split(lengths)
        states = viterbi(pad_sequence(list(sentences), batch_first=True), torch.tensor(lengths), steps)
        paths = [row[:length] for row, length in zip(states, lengths, strict=True)]
        classes[real] = steps.classes[torch.cat(paths)]
    return classes


def _lengths(real: Sequence[bool]) -> list[int]:
    """How many words each sentence has."""
    lengths, before = list[int](), False
    for here in real:
        if here and before:
            lengths[-1] += 1
        elif here:
            lengths.append(1)
        before = here
    return lengths
