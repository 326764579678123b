"""A training whose memory is given back and taken anew says so, once."""

import pytest

from innerloop.core import allocator
from innerloop.engine import page_faults
from innerloop.engine.page_faults import PageFaults


@pytest.mark.parametrize(
    ("faults", "kernel", "gives_back", "told"),
    [(2_000, 0.2, True, True), (2_000, 0.2, False, False), (900, 0.2, True, False), (2_000, 0.04, True, False)],
)
def test_page_faults_are_told_once(faults, kernel, gives_back, told, monkeypatch, capsys):
    step = 0
    monkeypatch.setattr(page_faults, "_used", lambda: (10**6 * (step == 1) + faults * step, kernel * step, 1.0 * step))
    monkeypatch.setattr(allocator, "gives_back", lambda: gives_back)
    watcher = PageFaults()
    for step in range(1, 20):
        watcher.step(step, {})
    said = capsys.readouterr().err
    assert said.count("20% of the processor's time goes to the kernel, for 2,000 page faults a step") == told
    assert said.count("\n") == told


def test_page_faults_are_counted():
    before, _, _ = page_faults._used()
    memory = [bytearray(1 << 20) for _ in range(64)]
    faults, kernel, total = page_faults._used()
    assert len(memory) == 64 and faults > before and 0 <= kernel <= total
