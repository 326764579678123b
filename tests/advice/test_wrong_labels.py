"""The share of wrong labels is told from right ones, whatever the classes, and where it cannot be told nothing is."""

import pytest
import torch

from innerloop.advice.material import Material
from innerloop.advice.wrong_labels import wrong_labels

WAYS, EACH = 12, 20


def clusters(spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    means = torch.randn(WAYS, 32, generator=draw)
    labels = torch.arange(WAYS).repeat_interleave(EACH)
    return means[labels] + spread * torch.randn(WAYS * EACH, 32, generator=draw), labels


def flipped(labels: torch.Tensor, share: float, seed: int = 0) -> tuple[torch.Tensor, set[int]]:
    draw = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(labels), generator=draw)[: round(share * len(labels))]
    moved = labels.clone()
    moved[wrong] = (moved[wrong] + torch.randint(1, WAYS, (len(wrong),), generator=draw)) % WAYS
    return moved, set(wrong.tolist())


@pytest.mark.parametrize("spread", [0.3, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_right_labels_are_not_accused(spread, seed):
    rows, labels = clusters(spread, seed)
    found = wrong_labels(rows, labels, WAYS)
    assert found.low == 0
    assert found.share == 0
    assert found.suspects == ()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_a_share_of_wrong_labels_is_within_the_interval_and_the_suspects_are_those(share, spread):
    rows, labels = clusters(spread)
    moved, wrong = flipped(labels, share)
    found = wrong_labels(rows, moved, WAYS)
    assert found.low <= share <= found.high
    assert found.low > 0.02
    assert len(wrong & set(found.suspects)) >= 0.9 * len(found.suspects) > 0
    right = sum(int(labels[i]) == answer for i, answer in zip(found.suspects, found.answers, strict=True))
    assert right >= 0.9 * len(found.suspects)


def test_where_neighbours_tell_nothing_nothing_is_said():
    _, labels = clusters(0.3)
    found = wrong_labels(torch.randn(len(labels), 32, generator=torch.Generator().manual_seed(1)), labels, WAYS)
    assert found.share is None
    assert (found.low, found.high) == (0, 1)
    assert found.tells < 0.6


def test_two_classes_are_enough():
    rows, labels = clusters(0.3)
    two = labels < 2
    moved = labels[two].clone()
    moved[:2] = 1
    found = wrong_labels(rows[two], moved, 2)
    assert set(found.suspects) <= {0, 1}
    assert found.suspects


def test_every_example_that_looks_wrong_is_listed():
    rows, labels = clusters(0.3)
    moved, _ = flipped(labels, 0.3)
    names, numbers = tuple(map(str, range(WAYS))), torch.arange(len(moved)) + 1
    material = Material(data="a", kind="features", raw=rows, labels=moved, names=names, numbers=numbers)
    found = wrong_labels(rows, moved, WAYS)
    listed = found.to_json(material)["first"]
    assert [one["example"] for one in listed] == [f"{names[int(moved[i])]} #{i + 1}" for i in found.suspects]
    assert len(listed) > 20
