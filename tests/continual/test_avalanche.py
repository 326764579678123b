"""Streams to and from Avalanche's benchmarks, against a stub of the part of its interface that is used.

Names and arguments of the stub are those of avalanche-lib 0.6.0, which needs torchvision.
"""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from innerloop.continual.avalanche import from_avalanche, to_avalanche
from innerloop.continual.run import StreamRun
from innerloop.core import tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import weights
from innerloop.tasks.rounds import SinusoidRounds
from tests.continual.streams import LEARNER, digits


class Experience(SimpleNamespace):
    """A dataset of a stream."""

    dataset: Any
    current_experience: int
    classes_in_this_experience: set[int]


def benchmark_from_datasets(**streams: list[Any]) -> SimpleNamespace:
    """A benchmark with a stream of each name, and an experience for each dataset."""
    made = {
        f"{name}_stream": [Experience(dataset=d, current_experience=i) for i, d in enumerate(sets)]
        for name, sets in streams.items()
    }
    return SimpleNamespace(**made)


def as_classification_dataset(dataset: Any, transform_groups: Any = None) -> Any:
    """A dataset whose targets are known, and whose items may have more than two entries."""
    assert len(dataset.targets) == len(dataset)
    return [(*dataset[i], 0) for i in range(len(dataset))]


def with_classes_timeline(benchmark: Any) -> Any:
    """The benchmark with the classes of every experience."""
    for one in (*benchmark.train_stream, *benchmark.test_stream):
        one.classes_in_this_experience = {int(item[1]) for item in one.dataset}
    return benchmark


@pytest.fixture
def avalanche(monkeypatch):
    """The package."""
    package, benchmarks, utils = (ModuleType(f"avalanche{end}") for end in ("", ".benchmarks", ".benchmarks.utils"))
    package.__spec__ = SimpleNamespace(name="avalanche")  # pyright: ignore[reportAttributeAccessIssue]
    vars(benchmarks).update(
        benchmark_from_datasets=benchmark_from_datasets, with_classes_timeline=with_classes_timeline
    )
    vars(utils).update(as_classification_dataset=as_classification_dataset)
    for module in (package, benchmarks, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_stream_is_the_same_there_and_back(avalanche):
    stream = digits(visits=2, seed=1)
    benchmark = to_avalanche(stream)
    assert len(benchmark.train_stream) == 10
    assert len(benchmark.test_stream) == 5
    first = benchmark.train_stream[0]
    assert first.classes_in_this_experience == {int(y) for y in stream.held_out(0).y}
    batches = stream.batches(0, stream.ends[0])
    real = weights(batches.y, batches.mask).flatten()
    rows = tree.flatten(batches.x)[0].flatten(0, 1)[real]
    assert torch.equal(torch.stack([item[0] for item in first.dataset]), rows)
    once = digits(seed=1)
    back = from_avalanche(to_avalanche(once), shuffle=False, batch_size=7, seed=1)
    there, here = once.batches(0, len(once)), back.batches(0, len(back))
    assert torch.equal(there.y, here.y)
    assert torch.equal(tree.flatten(there.x)[0], tree.flatten(here.x)[0])
    assert torch.equal(once.held_out(4).y, back.held_out(4).y)
    assert (list(once.ends), once.room) == (list(back.ends), back.room)


def test_a_benchmark_is_followed_like_any_stream(avalanche, tmp_path):
    back: Any = from_avalanche(to_avalanche(digits()), batch_size=7)
    StreamRun(learner=LEARNER, params=LEARNER.init(0), stream=back).learn(tmp_path)
    other = replace(back, targets=back.targets.flip(0))
    with pytest.raises(InputError, match=r"its stream\.parts_digest is"):
        StreamRun(learner=LEARNER, params=LEARNER.init(0), stream=other).learn(tmp_path)
    mixed, plain = (from_avalanche(to_avalanche(digits()), shuffle=s).batches(0, 3).y for s in (True, False))
    assert not torch.equal(mixed, plain)
    assert sorted(mixed.flatten().tolist()) == sorted(plain.flatten().tolist())


def benchmark(train: list[list[Any]], test: list[list[Any]]) -> SimpleNamespace:
    """Of items."""
    return benchmark_from_datasets(train=train, test=test)


X = torch.zeros(3)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ([[(X, 0)], [(X, 1)]], [[(X, 0)]], "2 training experiences and 1 to test on"),
        ([], [], "0 training experiences and 0"),
        ([[("a picture", 0)]], [[(X, 0)]], "an example of the benchmark is a str: give it a transform"),
        ([[(X, 0), (torch.zeros(4), 0)]], [[(X, 0)]], "examples of a benchmark have one shape"),
        ([[(X, 0)]], [[(torch.zeros(4), 0)]], "examples of a benchmark have one shape"),
        ([[(X, -1)]], [[(X, 0)]], "classes of a benchmark count from 0, got -1"),
        ([[]], [[(X, 0)]], "has no examples"),
    ],
)
def test_what_cannot_be_a_stream_is_refused(train, test, said):
    with pytest.raises(InputError, match=said):
        from_avalanche(benchmark(train, test))


def test_what_cannot_be_a_benchmark_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "avalanche", None)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[avalanche\]'"):
        to_avalanche(digits())
    with pytest.raises(InputError, match="the targets of this stream are values"):
        to_avalanche(SinusoidRounds())
