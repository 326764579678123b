"""`innerloop train <learner> --stream ...`."""

import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from innerloop.cli.fields import OutputOptions, learner_options, together
from innerloop.cli.options import Common, emit, parse, print
from innerloop.continual.build import FollowOptions, Options, usual_fields
from innerloop.continual.seeds import follow, follow_seeds
from innerloop.continual.streams import kind_of
from innerloop.core.complaints import complain
from innerloop.core.errors import InputError
from innerloop.problems.networks import NetworkOptions
from innerloop.runs.defaults import learner_class


def command(learner: str, stream: str) -> Any:
    """An instance of a dataclass with all options of `innerloop train <learner> --stream <stream>`."""
    usual, cls = usual_fields(learner), learner_class(learner)
    parts = {
        "stream": kind_of(stream)(stream=stream),
        "learner": learner_options(cls, usual),
        "network": NetworkOptions(),
        "follow": FollowOptions(),
        "output": OutputOptions(),
        "common": Common(),
    }
    return together(cls, usual, parts)


def run(learner: str, stream: str, argv: list[str]) -> int:
    """Have a learner follow a stream, or go on with a run."""
    usual = command(learner, stream)
    about = (sys.modules[learner_class(learner).__module__].__doc__ or "").strip()
    parsed, begun = parse(type(usual), argv, f"train {learner}", about, usual), time.perf_counter()
    seeds, say = parsed.output.seeds, partial(print, stderr=parsed.common.json)
    if seeds and parsed.follow.seed != usual.follow.seed:
        raise InputError("--seed is of one training and --seeds of several: give one of them")
    own, out = dict(vars(parsed.learner)), Path(parsed.output.out or f"runs/{learner}-stream")
    options = Options(learner=learner, stream=parsed.stream, network=parsed.network, fields=own, follow=parsed.follow)
    done = follow_seeds(options, seeds, out, parsed.common, say) if seeds else [follow(options, out, parsed.common)]
    for one in done:
        if one.error is not None:
            complain(f"{one.run}: {one.error}")
        elif not parsed.common.json:
            print(f"{learner}, seed {one.seed}: {one.steps} batches, kept in {one.run}")
    if parsed.common.json:
        emit({"learner": learner, "seconds": time.perf_counter() - begun, "runs": [one.to_json() for one in done]})
    else:
        print(f"next: {shlex.join(['innerloop', 'compare' if seeds else 'test', str(out)])}")
    return 1 if any(one.error is not None for one in done) else 0
