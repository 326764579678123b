"""The meta-test of a run on tagging tasks: as of any run, and once more with Viterbi decoding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.apps.ner.decode import counted
from innerloop.apps.ner.measure import Decoded, choose, measure
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.types import Sampler
from innerloop.engine.checkpoint import read_config
from innerloop.runs.measure import MetaTestOptions, Tested, prepare, unseen
from innerloop.runs.measure import measure as meta_test
from innerloop.tasks.entities import EntitySampler


class TaggingTest(NamedTuple):
    """What was measured of a run."""

    tested: Tested
    decoded: Decoded

    def __str__(self) -> str:
        return f"{self.tested}\n{self.decoded}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.tested.to_json() | {"decoding": self.decoded.to_json()}


def examine_tagging(
    run: str | Path,
    options: MetaTestOptions,
    context: Context = Context(),
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> TaggingTest:
    """Meta-test a run on tagging tasks, by the best type of every word and by Viterbi.

    Transitions are counted on the domains of the run's training, temperature and tau are chosen on those of its
    validation, whatever is tested on.

    Args:
        run: The folder.
        options: Which tasks.
        context: Where data sets lie, and what the run may name.
        progress: Told how many tasks are decoded, of how many.

    Raises:
        InputError: The run was not trained on tagging tasks, or as `runs.measure.measure` raises it.
    """
    config = read_config(run)
    # Of another file, all splits are the whole file: choosing there would be choosing on the test.
    own = replace(options, data=None, split_scheme=None)
    training, validation = (unseen(config, replace(own, split=split), context) for split in ("train", "validation"))
    transitions = counted(
        sentence for encoded in _tagging(training, run).domains for sentence in encoded.domain.sentences
    )
    test, *_ = prepare(run, replace(options, baselines=False), context)
    tested = meta_test(run, options, context)
    decoding = choose(test.learner, test.params, _tagging(validation, run), transitions)
    decoded = measure(test.learner, test.params, test.sampler, test.protocol.episodes, decoding, progress)
    return TaggingTest(tested, decoded)


def _tagging(sampler: Sampler, run: str | Path) -> EntitySampler:
    if not isinstance(sampler, EntitySampler):
        raise InputError(f"{run} was not trained on tagging tasks: `innerloop test {run}` tests it")
    return sampler
