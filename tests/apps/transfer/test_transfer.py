"""From one data set to another, on tiny files in the formats of MNIST and SVHN."""

import json
from dataclasses import replace

import pytest
import torch

from innerloop.apps.transfer import shipped, transfer
from innerloop.apps.transfer.settings import Settings
from innerloop.apps.transfer.training import FROM_SCRATCH, LINEAR_PROBE, trained
from innerloop.cli.main import main
from innerloop.core import tree
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.tasks.resized import resized
from tests.tasks import published

SMALL = Settings(shots=(1, 2), queries=2, episodes=3, seeds=(0, 1), steps=2, size=16, width=4, adaptation_steps=2)


@pytest.fixture(autouse=True)
def no_photographs(monkeypatch):
    """Without the network trained on photographs, which would take most of the time."""
    monkeypatch.setattr(shipped.sources, "installed", list)


@pytest.fixture
def files(tmp_path):
    pytest.importorskip("scipy")
    published.mnist(tmp_path / "mnist", "train", count=10)
    published.svhn(tmp_path / "svhn", "test")
    return Context(data_root=tmp_path, cache=tmp_path / "cache")


def test_mnist_to_svhn_end_to_end(files):
    heard: list[str] = []
    done = transfer.transfer("mnist", ["svhn"], SMALL, files, heard.append)
    assert [(table.target, table.shots) for table in done.tables] == [("svhn", 1), ("svhn", 2)]
    one = done.tables[0]
    groups = {group.name: group for group in one.groups}
    assert next(iter(groups)) == FROM_SCRATCH and groups[FROM_SCRATCH].seeds == (0, 1)
    assert len(groups["kanji-protonet (shipped)"].results) == 1
    assert len({r.protocol.hash for group in one.groups for r in group.results}) == 1
    assert one.meta == {
        "protonet",
        "r2d2",
        "maml",
        "protonet, cluttered",
        "r2d2, cluttered",
        "protonet, coarse",
        "r2d2, coarse",
    }
    assert one.best.name in one.meta and f"{one.best.name} against {LINEAR_PROBE}: " in str(one)
    assert groups["protonet"].difference is not None and "over seeds" in str(done)
    assert heard[0] == "seed 0: from scratch" and heard[-1] == "svhn: kanji-protonet (shipped)"


def test_the_same_command_says_the_same(files, capsys):
    words = ["--shots", "1", "--queries", "2", "--episodes", "2", "--seeds", "0", "--steps", "1", "--size", "16"]
    words += ["--width", "4", "--adaptation-steps", "1", "--data-root", str(files.data_root), "--json"]
    assert main(["transfer", "mnist", "svhn", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    small = replace(SMALL, shots=(1,), episodes=2, seeds=(0,), steps=1, adaptation_steps=1)
    done = transfer.transfer("mnist", ["svhn"], small, files)
    assert printed == json.loads(json.dumps(done.to_json()))


def test_fine_tuning_all_begins_with_the_pre_trained_encoder_and_no_head(files):
    source = resized(transfer._pool("mnist", "train", files), 16, 3)
    entries = {entry.name: entry for entry in trained(source, 10, SMALL, 0, files)}
    encoder = tree.part(entries[LINEAR_PROBE].params, "encoder")
    start = entries["fine-tune all"].params
    assert all(torch.equal(start[name], value) for name, value in encoder.items())
    head = [value for name, value in start.items() if name not in encoder]
    assert len(head) == 2 and not any(value.any() for value in head)
    assert entries[FROM_SCRATCH].params.keys() == start.keys()


def test_impossible_transfers_are_refused(files):
    with pytest.raises(InputError, match="at least one target, one number of shots and one seed"):
        transfer.transfer("mnist", [], SMALL, files)
    with pytest.raises(InputError, match="a number of shots is there twice: 5, 5"):
        transfer.transfer("mnist", ["svhn"], replace(SMALL, shots=(5, 5)), files)
    with pytest.raises(InputError, match="20 shots and 2 queries need 22 examples"):
        transfer.transfer("mnist", ["svhn"], replace(SMALL, shots=(20,)), files)
    with pytest.raises(InputError, match="there is no data set and no path 'mnits'"):
        transfer.transfer("mnits", ["svhn"], SMALL, files)
