"""What an earlier release wrote is read as it read it: runs, results, `.fewshot` files, a store."""

from pathlib import Path

import pytest

from innerloop.core.config import encode
from innerloop.engine import load
from innerloop.engine.checkpoint import read_config, read_state

RELEASES = Path(__file__).parent / "releases"
RUNS = sorted(p for p in RELEASES.glob("*/runs/*") if p.is_dir())


def names(value, keys=("class", "callable", "learner")):
    """Everything that a config names."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from [entry] if key in keys and isinstance(entry, str) else names(entry, keys)
    elif isinstance(value, list):
        for entry in value:
            yield from names(entry, keys)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_of_an_earlier_release_is_a_run_of_this_one(run):
    learner, params = load(run)
    config = read_config(run)
    assert encode(learner) == config["learner"]
    assert set(params) == set(learner.init(0))
    state = read_state(run)
    assert state is not None and state["step"] == 4
