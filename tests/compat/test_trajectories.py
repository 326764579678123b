"""Programs of learn2learn find here what they find there: recorded once by `python -m benchmarks.switching`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
import innerloop.compat.learn2learn as l2l
from benchmarks import switching

RECORDED = json.loads(switching.PLACE.read_text(encoding="utf-8"))


def flat(found: Any) -> list[Any]:
    """Numbers and words, in order."""
    if isinstance(found, dict):
        return [leaf for k, v in found.items() for leaf in (k, *flat(v))]
    if isinstance(found, list):
        return [leaf for part in found for leaf in flat(part)]
    return [found]


def compare(found: Any, recorded: Any, tolerance: float) -> None:
    ours, theirs = flat(found), flat(recorded)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a == b or abs(a - b) <= tolerance * max(1.0, abs(b)), (a, b)


@pytest.mark.parametrize("name", switching.PROGRAMS)
def test_a_program_finds_what_was_recorded(name):
    found = switching.PROGRAMS[name](l2l)
    compare(found, RECORDED[name], 1e-12 if "float64" in name else 1e-5)
    if name == "tasks":
        assert found == RECORDED[name]


@pytest.mark.parametrize("name", ["maml_sine", "maml_omniglot"])
def test_the_examples_of_learn2learn_run_with_only_their_imports_changed(name, capsys):
    text = switching.text_of(name)
    changed = text.replace("import learn2learn as l2l", "import innerloop.compat.learn2learn as l2l")
    changed = changed.replace("from torchmeta.", "from innerloop.compat.torchmeta.")
    lines = zip(text.splitlines(), changed.splitlines(), strict=True)
    assert all(" import " in old or old.startswith("import ") for old, new in lines if old != new)
    assert "learn2learn as l2l" not in changed.replace("innerloop.compat.learn2learn as l2l", "")
    compare(switching.examples(l2l, name, changed, "innerloop.compat.torchmeta"), RECORDED[name], 1e-5)


def test_a_recording_tells_orders_dtypes_and_algorithms_apart():
    losses = [tuple(RECORDED[name]["losses"]) for name in switching.PROGRAMS if name not in ("tasks", "networks")]
    assert len(set(losses)) == len(losses) == 12
    first, second = (RECORDED[f"pictures, MAML{order}, float64"]["losses"] for order in ("", ", first order"))
    assert abs(first[0] - second[0]) < 1e-12 < 1e-4 < abs(first[-1] - second[-1])


def test_what_stands_in_for_a_loss_is_gone_afterwards():
    before = torch.nn.MSELoss
    with pytest.raises(ZeroDivisionError), switching.losses():
        raise ZeroDivisionError
    assert torch.nn.MSELoss is before
