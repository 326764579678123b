"""Every model that ships has a card, and what the card says of the files is so."""

import json
import re
from pathlib import Path

import pytest
import safetensors.torch

import innerloop
from innerloop.core import config
from innerloop.engine import checkpoint

FOLDERS = sorted(card.parent for card in Path(innerloop.__file__).parent.rglob("shipped/*/card.md"))
SECTIONS = ("## Where it fails", "## Licence")


def test_every_folder_that_ships_has_a_card():
    weights = Path(innerloop.__file__).parent.rglob("params.safetensors")
    assert sorted(file.parent for file in weights) == FOLDERS and len(FOLDERS) >= 7


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_says_data_licence_command_tests_failures_size_and_hash(folder):
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert all(section in card for section in SECTIONS), "where it fails, and its licence"
    assert re.search(r"`(innerloop|python -m benchmarks\.)[^`]+`", card), "the command that trains it"
    assert re.search(r"rained on|direction is that of", card) and re.search(r"tested on|unseen functions", card)
    assert re.search(r"\d ± \d", card), "tests with intervals"
    params = safetensors.torch.load_file(folder / "params.safetensors")
    learner = config.decode(json.loads((folder / "config.json").read_text(encoding="utf-8"))["learner"])
    assert checkpoint.fingerprint(params, learner) in card
    assert f"{sum(value.numel() for value in params.values()):,} weights" in card
    kilobytes = round((folder / "params.safetensors").stat().st_size / 1000)
    assert re.search(rf"\b{kilobytes} kB", card), f"its size: {kilobytes} kB"
