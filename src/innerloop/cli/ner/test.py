"""`innerloop ner test <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, counted, parse, tell
from innerloop.runs.measure import MetaTestOptions


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop ner test`."""

    run: tyro.conf.Positional[str]
    """Run folder of `innerloop ner train`."""
    tasks: MetaTestOptions = field(default_factory=MetaTestOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Meta-test a run on tagging tasks of an unseen domain: micro-F1 of entities over all tasks, with its interval.

    By the best type of every word, as `innerloop test` does, and by Viterbi decoding, whose transitions are counted on
    the domains of training and whose temperature and tau are chosen on those of validation.
    """
    options = parse(Command, argv, "ner test", run.__doc__ or "")
    from innerloop.runs.tagging import examine_tagging

    with counted("decoded") as progress:
        tested = examine_tagging(options.run, options.tasks, options.common, progress)
    return tell(tested.to_json(), str(tested), options.common)
