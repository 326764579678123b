import pickle
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.core.objectives import normalize
from innerloop.encoders.base import content_of
from innerloop.encoders.whitening import Whitened, Whitening
from tests.encoders.test_token_cache import Letters


def clouds(seed: int, types: int = 6, each: int = 60, size: int = 8) -> tuple[torch.Tensor, list[str]]:
    """Types that differ in two directions, and words of a type mostly in the others."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.zeros(types, size)
    means[:, :2] = torch.randn(types, 2, generator=generator)
    noise = torch.randn(types, each, size, generator=generator) * torch.tensor([0.2] * 2 + [2.0] * (size - 2))
    return (means[:, None] + noise).flatten(0, 1), [f"type {i}" for i in range(types) for _ in range(each)]


def accuracy(rows: torch.Tensor, labels: list[str]) -> float:
    """Of the nearest of means of five examples."""
    names = sorted(set(labels))
    y = torch.tensor([names.index(label) for label in labels])
    means = torch.stack([rows[y == i][:5].mean(0) for i in range(len(names))])
    return (torch.cdist(rows, means).argmin(1) == y).float().mean().item()


def test_what_differs_within_types_counts_little():
    rows, labels = clouds(0)
    whitening = Whitening.fit(*clouds(1))  # other types of the same kind
    assert accuracy(whitening.apply(rows), labels) > accuracy(normalize(rows), labels) + 0.15


def test_covariance_within_types_is_one_afterwards():
    rows, labels = clouds(0)
    whitening = Whitening.fit(rows, labels, shrinkage=1e-9)
    y = torch.tensor([int(label[-1]) for label in labels])
    mapped = (normalize(rows) - whitening.mean) @ whitening.map
    inner = mapped - torch.stack([mapped[y == i].mean(0) for i in range(6)])[y]
    assert torch.allclose(inner.T @ inner / (len(rows) - 6), torch.eye(8), atol=1e-3)


def test_types_of_other_domains_are_others_and_words_of_none_give_the_mean_alone():
    rows, labels = clouds(0)
    twice, domains = torch.cat([rows, rows + 3]), [0] * len(rows) + [1] * len(rows)
    apart = Whitening.fit(twice, labels * 2, domains)
    renamed = Whitening.fit(twice, [*labels, *(f"{label}, elsewhere" for label in labels)])
    assert torch.equal(apart.map, renamed.map)
    assert not torch.allclose(apart.map, Whitening.fit(twice, labels * 2).map, rtol=0.1)
    more = Whitening.fit(torch.cat([rows, rows.roll(1, 1)]), [*labels, *["O"] * len(rows)])
    plain = Whitening.fit(rows, labels)
    assert torch.allclose(more.map, plain.map, rtol=1e-4) and not torch.allclose(more.mean, plain.mean)


def test_fewer_words_than_features_do_not_make_it_singular():
    rows = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    whitened = Whitening.fit(rows, ["x", "x", "y", "y", "y"]).apply(rows)
    assert bool(whitened.isfinite().all()) and torch.allclose(whitened.norm(dim=1), torch.ones(5))
    same = Whitening.fit(rows, ["x", "x", "y", "y", "y"], shrinkage=1)
    assert torch.allclose(same.apply(rows), normalize(normalize(rows) - same.mean), atol=1e-5)
    alike = Whitening.fit(torch.ones(4, 3), ["x"] * 4).apply(torch.randn(4, 3))  # no differences at all
    assert bool(alike.isfinite().all())


def test_what_cannot_be_whitened_is_refused():
    rows = torch.eye(3)
    refused: tuple[tuple[list[str], dict[str, Any], str], ...] = (
        (["x", "x"], {}, "3 rows have 2 types"),
        (["x", "x", "x"], {"domains": [1]}, "3 rows have 3 types and 1 domains"),
        (["x", "y", "z"], {}, "two or more of a type"),
        (["O", "O", "O"], {}, "two or more of a type"),
        (["x", "x", "x"], {"shrinkage": 0}, "shrinkage is 0"),
    )
    for types, options, message in refused:
        with pytest.raises(InputError, match=message):
            Whitening.fit(rows, types, **options)
    with pytest.raises(InputError, match=r"got {'mean': \[3\]}"):
        Whitening.of({"mean": torch.zeros(3)})
    with pytest.raises(InputError, match="of 8 features, and letters:1 has 3"):
        Whitened(encoder=Letters(), whitening=Whitening.fit(*clouds(0)))


def test_is_kept_as_tensors_and_told_from_another():
    whitening, other = (Whitening.fit(*clouds(seed, size=3)) for seed in (0, 1))
    again = Whitening.of(whitening.tensors())
    rows = torch.randn(4, 3)
    assert torch.equal(again.apply(rows), whitening.apply(rows))
    encoders = [Whitened(encoder=Letters(), whitening=one) for one in (whitening, again, other)]
    contents = [content_of(encoder) for encoder in encoders]
    assert contents[0] == contents[1] != contents[2]
    copy = pickle.loads(pickle.dumps(encoders[0]))
    words = [["a", "cat"], ["dogs"]]
    assert torch.equal(copy.encode(words).rows, encoders[0].encode(words).rows) and copy.features == 3
