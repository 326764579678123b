"""`innerloop verify <run>`."""

from dataclasses import dataclass, field

import tyro

from innerloop.cli.options import Common, emit, parse, print
from innerloop.evaluate.result import ONE_TRAINING
from innerloop.runs.verify import VerifyOptions, to_json, verify_run


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of `innerloop verify`."""

    run: tyro.conf.Positional[str]
    """Run folder, of a learner that compares pairs (siamese)."""
    pairs: VerifyOptions = field(default_factory=VerifyOptions)
    common: Common = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Tell pairs of one class from pairs of two, of unseen classes: accuracy, AUC and equal error rate."""
    options = parse(Command, argv, "verify", run.__doc__ or "")
    verification = verify_run(options.run, options.pairs, options.common)
    if options.common.json:
        emit(to_json(verification))
    else:
        print(str(verification))
        pairs = f"{verification.pairs} pairs from {options.pairs.episodes} episodes"
        print(f"{pairs} of {verification.sampler['split']} classes; 95%, {ONE_TRAINING}")
    return 0
