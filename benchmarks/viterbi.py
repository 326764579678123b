"""Decoding of taggers: `python -m benchmarks.viterbi` for speed, `--choose` its temperature and tau, `--measure` F1.

Speed: sentences of 5 to 45 words whose scores are random, decoded together, one by one with the same tensors, and by
the textbook's loop over lists of numbers; all three have the same answers.
Choose: tagging tasks of CrossNER's five domains and WNUT17, rows of `minilm:3`, with transitions counted on CrossNER's
other domains; entity micro-F1, pooled over the tasks of a domain. The defaults in `apps.ner.settings` were chosen by
hand from this table: high on CrossNER where WNUT17, whose words are less alike, loses little. Both were looked at.
Measure: these defaults on further tasks, with 95% intervals by a bootstrap over tasks.

All print; `docs/benchmarks.md` tells it.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.apps.ner.answering import answers
from innerloop.apps.ner.decode import Chain, chain, counted, viterbi
from innerloop.apps.ner.settings import CROSSNER, ENCODER, USUAL, Decoding, Head
from innerloop.apps.ner.sources import Source
from innerloop.apps.ner.task import Task, teach
from innerloop.core.scores import EntityF1
from innerloop.encoders import tokens
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import TokenRows
from innerloop.tasks.entities import EntitySampler
from innerloop.tasks.entities.datasets import crossner, wnut17
from innerloop.tasks.entities.domains import Domain, Encoded
from innerloop.tasks.entities.sentences import Sentence
from innerloop.tasks.progress import track

SENTENCES, ROUNDS, TYPES = 1000, 7, (5, 17)
TEMPERATURES, TAUS = (0.1, 0.2, 0.3), (0.15, 0.2, 0.3, 0.5)
SHOTS = (5, 1)
SCORE = EntityF1()


class Known:
    """An encoder of words that looks up what another one made of whole sentences."""

    def __init__(self, name: str, sentences: Sequence[Sentence], rows: TokenRows) -> None:
        self.name, self.features = name, rows.rows.shape[1]
        self._rows = {one.words: part for one, part in zip(sentences, rows.split(), strict=True)}

    def encode(self, sentences: Sequence[Sequence[str]]) -> TokenRows:
        rows = [self._rows[tuple(words)] for words in sentences]
        return TokenRows(torch.cat(rows), torch.tensor([len(part) for part in rows]))


def loop(scores: list[list[float]], step: Chain) -> list[int]:
    """The most probable states of one sentence, as textbooks have it."""
    start, table, classes = step.start.tolist(), step.step.tolist(), step.classes.tolist()
    states = range(len(start))
    best, back = [start[s] + scores[0][classes[s]] for s in states], list[list[int]]()
    for row in scores[1:]:
        before = [max(states, key=lambda a, b=b: best[a] + table[a][b]) for b in states]
        best = [best[before[b]] + table[before[b]][b] + row[classes[b]] for b in states]
        back.append(before)
    path = [max(states, key=lambda s: best[s])]
    for before in reversed(back):
        path.append(before[path[-1]])
    return path[::-1]


def speed() -> None:
    """Print sentences a second of each way."""
    draws = torch.Generator().manual_seed(0)
    lengths = torch.randint(5, 46, (SENTENCES,), generator=draws)
    for types, tagging in itertools.product(TYPES, ("io", "bio")):
        scores = torch.randn(SENTENCES, 45, 1 + types, generator=draws).mul(2).log_softmax(-1)
        step = chain(CROSSNER, types, 0.3, tagging)
        parts = [scores[i : i + 1, :n] for i, n in enumerate(lengths.tolist())]

        def one_by_one(parts: list[Tensor] = parts, step: Chain = step) -> list[list[int]]:
            return [viterbi(part, torch.tensor([part.shape[1]]), step)[0].tolist() for part in parts]

        def together(scores: Tensor = scores, step: Chain = step) -> list[list[int]]:
            paths = viterbi(scores, lengths, step).tolist()
            return [path[:n] for path, n in zip(paths, lengths.tolist(), strict=True)]

        def lists(parts: list[Tensor] = parts, step: Chain = step) -> list[list[int]]:
            return [loop(part[0].tolist(), step) for part in parts]

        ways = {"together": together, "one by one": one_by_one, "lists": lists}
        assert together() == one_by_one() and sum(a != b for a, b in zip(together(), lists(), strict=True)) < 3
        seconds = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - start)
        rate = SENTENCES / statistics.median(seconds["together"])
        print(f"{types} types, {tagging}: {rate:,.0f} sentences a second together")
        for name in ("one by one", "lists"):
            ratios = [b / a for a, b in zip(seconds["together"], seconds[name], strict=True)]
            print(f"  {statistics.median(ratios):.1f}x [{min(ratios):.1f}, {max(ratios):.1f}] of {name}")


class Asked(NamedTuple):
    """A tagging task that was taught, and what it is asked."""

    task: Task
    query: list[Sentence]

    def counts(self, decoding: Decoding) -> list[int]:
        """Entities that are right, that are said, and that are there."""
        total = [0, 0, 0]
        for true, said in zip(self.query, answers(replace(self.task, decoding=decoding), self.query), strict=True):
            gold, own = set(true.spans), set(said.sentence.spans)
            total = [a + len(b) for a, b in zip(total, (gold & own, own, gold), strict=True)]
        return total


class Tasks:
    """Tagging tasks of a domain, its words encoded once, with transitions of domains that it does not see."""

    def __init__(self, domain: Domain, others: Sequence[Domain]) -> None:
        self.domain, rows = domain, rows_of(tokens.named(ENCODER), [one.words for one in domain.sentences])
        self._known, self._encoded = Known(ENCODER, domain.sentences, rows), Encoded(domain, rows.rows.half())
        self.transitions = counted(one for each in others for one in each.sentences)

    def taught(self, head: Head, shots: int, first: int, count: int) -> Iterator[Asked]:
        """Tasks from number `first` on: 5 types, `shots` to twice as many entities of each, likewise asked."""
        source = Source(name=ENCODER, encoder=self._known, head=head, params={})
        sampler = EntitySampler(domains=(self._encoded,), shots=shots, queries=shots, seed=0)
        for number in range(first, first + count):
            drawn = sampler.draw(number)
            support, query = ([self.domain.sentences[k] for k in part] for part in (drawn.support, drawn.query))
            yield Asked(teach(source, Decoding(decode="argmax"), support), query)


def all_domains() -> list[Tasks]:
    """Tasks of CrossNER's domains, with transitions of the four others, and of WNUT17, with those of all five."""
    domains = [crossner.domain(None, name) for name in crossner.SCHEMES]
    known = [Tasks(one, [other for other in domains if other is not one]) for one in domains]
    return [*known, Tasks(wnut17.read().test[0], domains)]


def choose(count: int) -> None:
    """Print F1 of every temperature and tau: its mean over CrossNER's domains, and that of WNUT17."""
    domains, settings = all_domains(), list(itertools.product(TEMPERATURES, TAUS))
    for head, shots in itertools.product(get_args(Head), SHOTS):
        scores: dict[tuple[float, float] | None, list[float]] = {setting: [] for setting in (None, *settings)}
        for tasks in track(domains, f"{head}, {shots}~{2 * shots}", len(domains)):
            counts: dict[tuple[float, float] | None, list[list[int]]] = {setting: [] for setting in scores}
            for asked in tasks.taught(head, shots, 0, count):
                for setting, own in counts.items():
                    decoding = Decoding(decode="argmax")
                    if setting is not None:
                        decoding = Decoding(transitions=tasks.transitions, temperature=setting[0], tau=setting[1])
                    own.append(asked.counts(decoding))
            for setting, own in counts.items():
                scores[setting].append(100 * SCORE.total(torch.tensor(own)))
        said = {setting: f"{statistics.mean(own[:-1]):.1f} {own[-1]:.1f}" for setting, own in scores.items()}
        print(f"{head}, {shots}~{2 * shots}: word by word {said[None]}")
        print("temperature  " + "  ".join(f"tau {tau:<6g}" for tau in TAUS))
        for temperature in TEMPERATURES:
            print(f"{temperature:<11g}  " + "  ".join(f"{said[temperature, tau]:<10}" for tau in TAUS), flush=True)


def measure(count: int) -> None:
    """Print F1 of every domain with what was chosen, on other tasks than those that chose."""
    domains = all_domains()
    for head, shots in itertools.product(get_args(Head), SHOTS):
        tau, temperature = USUAL[head]
        for tasks in domains:
            usual = Decoding(transitions=tasks.transitions, tau=tau, temperature=temperature)
            both = [
                (asked.counts(asked.task.decoding), asked.counts(usual))
                for asked in tasks.taught(head, shots, 1000, count)
            ]
            word, whole = (torch.tensor(part) for part in zip(*both, strict=True))
            said = [SCORE.interval(word), SCORE.interval(whole), SCORE.difference(whole, word)]
            cells = "  ".join(f"{100 * one.mean:.1f} ± {100 * one.ci95:.1f}" for one in said)
            print(f"{head}, {shots}~{2 * shots}, {tasks.domain.name}: {cells}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", action="store_true", help="temperature and tau of the heads, in place of speed")
    parser.add_argument("--measure", action="store_true", help="entity F1 with these, word by word and by Viterbi")
    parser.add_argument("--tasks", type=int, help="of each domain and number of shots; 20 to choose, 300 to measure")
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine.describe().items()))
    torch.set_num_threads(1)
    if options.choose:
        choose(options.tasks or 20)
    elif options.measure:
        measure(options.tasks or 300)
    else:
        speed()
