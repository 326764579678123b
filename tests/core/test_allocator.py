"""Page faults are counted, not timed: they depend on the allocator alone."""

import json
import os
import platform
import subprocess
import sys

import pytest

from innerloop.core import allocator

WORK = """
import json, os, resource, statistics, sys, threading
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from innerloop.core.allocator import keep_memory
changed = keep_memory() if "keep" in sys.argv else None
import torch
from innerloop.core.types import Batch, Episode
from innerloop.engine import meta_gradient
from innerloop.engine.plan import Plan
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.conv4 import Conv4
torch.set_num_threads(1)
learner = MAML(model=Conv4(channels=3, size=28, width=16, outputs=2))
batch = Batch(torch.rand(4, 16, 3, 28, 28), torch.arange(2).repeat(4, 8))
params, faults = learner.init(0), {}
for name, plan in {"loop": Plan("loop"), "vmap": Plan("vmap"), "threads": Plan("threads", chunk=2, threads=2)}.items():
    counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
    for step in range(8):
        meta_gradient(learner, params, Episode(batch, batch), plan)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    faults[name] = statistics.median(after - before for before, after in zip(counts[3:], counts[4:]))
print(json.dumps([changed, faults]))
"""
CHOICES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
FIRST_THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Where glibc begins; unless they are set, it moves them by the order in which threads free their blocks."""
GLIBC = sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"


def faults(*words: str, **settings: str) -> tuple[bool | None, dict[str, int]]:
    """Whether the allocator was changed, and the page faults of a usual meta-step by every plan.

    The median of five: a heap may still grow once, which is no fault of every step.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(CHOICES)} | settings
    done = subprocess.run([sys.executable, "-c", WORK, *words], env=clean, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


@pytest.mark.skipif(not GLIBC, reason="glibc's allocator")
def test_page_faults_vanish():
    (_, plain), (changed, kept) = faults(**FIRST_THRESHOLDS), faults("keep")
    assert changed
    assert sum(plain.values()) > 3_000, "otherwise this measures nothing"
    assert sum(kept.values()) < sum(plain.values()) / 100, (plain, kept)


@pytest.mark.skipif(not GLIBC, reason="glibc's allocator")
@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_TRIM_THRESHOLD_": "100000000"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=100000000"}],
)
def test_ones_own_settings_stay(environment, monkeypatch):
    for name in [name for name in os.environ if name.startswith(CHOICES)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not allocator.keep_memory()


class Libc:
    """A C library that records what it was told, with the names given."""

    def __init__(self, *names: str, refuses: tuple[int, ...] = ()):
        self.names, self.refuses, self.told = names, refuses, []

    def __getattr__(self, name):
        if name not in self.names:
            raise AttributeError(name)
        return lambda option, value: self.told.append((option, value)) or int(value not in self.refuses)


@pytest.mark.parametrize(
    ("libc", "changed", "calls"),
    [
        (Libc("gnu_get_libc_version", "mallopt"), True, 3),
        (Libc("mallopt"), False, 0),  # musl
        (Libc("gnu_get_libc_version", "mallopt", "mallctl"), False, 0),  # jemalloc
        (Libc("gnu_get_libc_version", "mallopt", refuses=(2**31 - 1,)), False, 4),
    ],
)
def test_other_allocators_are_left_alone(libc, changed, calls, monkeypatch):
    for name in [name for name in os.environ if name.startswith(CHOICES)]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(allocator, "_kept", False)
    assert allocator.gives_back() is (calls > 0)
    assert allocator.keep_memory() is changed
    assert len(libc.told) == calls
    assert allocator.gives_back() is (calls > 0 and not changed)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_memory()
