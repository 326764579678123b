"""Decoding of taggers: `python -m benchmarks.viterbi` for its speed, `--choose` for temperature and tau of the heads.

Speed: sentences of 5 to 45 words whose scores are random, decoded together, one by one with the same tensors, and by
the textbook's loop over lists of numbers; all three have the same answers.
Choose: tagging tasks of each of CrossNER's five domains, rows of `minilm:3`, with transitions counted on the other
four; entity micro-F1, pooled over the tasks of a domain, its mean over domains. The defaults in `apps.ner.settings` are
those with the best mean over 5~10 and 1~2 shots: all of CrossNER has been looked at for them.

Both print; `docs/guide/entities.md` and `docs/benchmarks.md` tell it.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from benchmarks import machine
from innerloop.apps.ner.answering import answers
from innerloop.apps.ner.decode import Chain, chain, counted, viterbi
from innerloop.apps.ner.settings import CROSSNER, SOURCE, Decoding, Head
from innerloop.apps.ner.sources import Source
from innerloop.apps.ner.task import teach
from innerloop.encoders import tokens
from innerloop.encoders.token_cache import rows_of
from innerloop.encoders.tokens import TokenRows
from innerloop.tasks.entities import EntitySampler
from innerloop.tasks.entities.datasets import crossner
from innerloop.tasks.entities.domains import Encoded
from innerloop.tasks.entities.sentences import Sentence
from innerloop.tasks.progress import track

SENTENCES, ROUNDS, TYPES = 1000, 7, (5, 17)
TEMPERATURES, TAUS = (0.05, 0.1, 0.2, 0.3, 0.5), (0.15, 0.3, 0.5, 0.7, 1.0)
SHOTS = (5, 1)


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


def choose(tasks: int) -> None:
    """Print the mean F1 of every temperature and tau."""
    domains = [crossner.domain(None, name) for name in crossner.SCHEMES]
    encoder = tokens.named(SOURCE)
    rows = [rows_of(encoder, [one.words for one in domain.sentences]) for domain in domains]
    settings = list(itertools.product(TEMPERATURES, TAUS))
    for head in get_args(Head):
        table = dict.fromkeys(itertools.product(SHOTS, settings), 0.0)
        plain = dict.fromkeys(SHOTS, 0.0)
        for i, shots in track(list(itertools.product(range(len(domains)), SHOTS)), head, len(domains) * len(SHOTS)):
            domain = domains[i]
            others = (one for k, each in enumerate(domains) for one in each.sentences if k != i)
            transitions = counted(others)
            source = Source(name=SOURCE, encoder=Known(SOURCE, domain.sentences, rows[i]), head=head, params={})
            encoded = Encoded(domain, rows[i].rows.half())
            sampler = EntitySampler(domains=(encoded,), shots=shots, queries=max(shots, 2), seed=0)
            counts = {setting: [0, 0, 0] for setting in (None, *settings)}
            for number in range(tasks):
                drawn = sampler.draw(number)
                support, query = ([domain.sentences[k] for k in part] for part in (drawn.support, drawn.query))
                task = teach(source, Decoding(decode="argmax"), support)
                for setting in counts:
                    decoding = task.decoding
                    if setting is not None:
                        decoding = Decoding(transitions=transitions, temperature=setting[0], tau=setting[1])
                    found = answers(replace(task, decoding=decoding), query)
                    for true, said in zip(query, found, strict=True):
                        gold, own = set(true.spans), set(said.sentence.spans)
                        for k, some in enumerate((gold & own, gold, own)):
                            counts[setting][k] += len(some)
            for setting, (right, true, said) in counts.items():
                score = 200 * right / (true + said) / len(domains)
                if setting is None:
                    plain[shots] += score
                else:
                    table[shots, setting] += score
        print(f"{head}: word by word " + ", ".join(f"{plain[shots]:.1f} ({shots}~{2 * shots})" for shots in SHOTS))
        print("temperature  " + "  ".join(f"tau {tau:<8g}" for tau in TAUS))
        for temperature in TEMPERATURES:
            cells = ["/".join(f"{table[shots, (temperature, tau)]:.1f}" for shots in SHOTS) for tau in TAUS]
            print(f"{temperature:<11g}  " + "  ".join(f"{cell:<12}" for cell in cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", action="store_true", help="temperature and tau of the heads, in place of speed")
    parser.add_argument("--tasks", type=int, default=20, help="of each domain and number of shots")
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine.describe().items()))
    torch.set_num_threads(1)
    choose(options.tasks) if options.choose else speed()
