"""A learner on a stream: what is kept, how it goes on, and what ends it."""

import json
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from innerloop.continual import run as continual_run
from innerloop.continual.progress import FILE, matrix_of, size_of_state
from innerloop.continual.run import StreamRun
from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.types import Batch, Params
from innerloop.learners.online.fine_tune_online import FineTuneOnline, Tuned
from tests.continual.killed import check, files
from tests.continual.streams import LEARNER, Broken, digits, widened


def run(stream=None, learner=LEARNER, **options) -> StreamRun:
    """A run on a small stream."""
    stream = digits() if stream is None else stream
    return StreamRun(learner=learner, params=learner.init(0), stream=stream, **options)


class Killed(Exception):
    """What stands in for the end of the process."""


@pytest.fixture
def left(monkeypatch):
    """How many batches are observed before the process ends; negative: it lives."""
    left, observer = [-1], continual_run.observer

    def mortal(learner, params):
        observe = observer(learner, params)

        def once(state, batch):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return observe(state, batch)

        return once

    monkeypatch.setattr(continual_run, "observer", mortal)
    return left


def test_a_run_goes_on_bit_for_bit_wherever_it_ended(tmp_path, left):
    options: Any = {"checkpoint_every": 3, "curve_every": 2}
    whole = run(**options).learn(tmp_path / "whole")
    deaths, draw, again = 0, random.Random(1), None
    for _ in range(40):
        left[0] = draw.randrange(12)
        try:
            again = run(**options).learn(tmp_path / "killed")
        except Killed:
            deaths += 1
            continue
        break
    assert deaths > 3
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert again is not None
    assert torch.equal(again.matrix, whole.matrix)
    assert torch.equal(again.matrix, matrix_of(tmp_path / "whole")[0])
    left[0] = 0
    assert torch.equal(run(**options).learn(tmp_path / "killed").matrix, whole.matrix)  # nothing is left to do


def test_the_matrix_is_what_the_learner_answers_after_every_end(tmp_path):
    stream, state, rows = digits(), None, []
    params = LEARNER.init(0)
    held = [stream.held_out(task) for task in range(5)]
    with torch.no_grad():
        state = LEARNER.begin(params, digits().held_out(0))
        for i in range(len(stream) + 1):
            if i == 0 or i in stream.ends:
                right = [LEARNER.predict(params, state, b.x).argmax(1) == b.y for b in held]
                rows.append([one.double().mean().item() for one in right])
            if i < len(stream):
                batch = stream.batches(i, 1)
                state = LEARNER.observe(params, state, tree.slice(batch, 0))
    learned = run().learn(tmp_path)
    assert torch.allclose(learned.matrix, torch.tensor(rows, dtype=torch.float64))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["scores"] for line in lines] == learned.matrix.tolist()
    assert [line["step"] for line in lines] == [0, *stream.ends]
    assert size_of_state(tmp_path) == 4 * (64 * 16 + 16 + 160 + 10) + 8 * 10


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"learner": replace(LEARNER, inner_lr=0.2)}, "its learner.fields.inner_lr is 0.1, now 0.2 is asked for"),
        ({"stream": digits(order="shuffled")}, "its stream.order is 'tasks', now 'shuffled' is asked for"),
        ({"stream": digits(rows=11)}, "its stream.rows is 12, now 11"),
        ({"stream": digits(seed=1)}, "its stream.seed is 0, now 1"),
    ],
)
def test_another_learner_or_stream_does_not_go_on(tmp_path, other, said):
    run().learn(tmp_path)
    before = files(tmp_path)
    with pytest.raises(InputError, match=said):
        run(**other).learn(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"x": float("nan")}, "row 2 of batch 5 of the stream holds NaN or infinite values"),
        ({"y": 10}, "has class 10, and there is room for 10, 0 to 9: give the stream, and the head, room for 11"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named_and_what_came_before_is_kept(tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        run(Broken(inner=digits(), batch=5, row=2, **wrong)).learn(tmp_path)
    assert matrix_of(tmp_path)[1] == 5
    whole = run().learn()
    assert torch.equal(run(digits()).learn(tmp_path).matrix, whole.matrix)  # mended, it goes on


def test_answers_that_are_not_finite_end_it(tmp_path):
    with pytest.raises(FailedError, match="the answers of FineTuneOnline are not finite after batch"):
        run(learner=replace(LEARNER, inner_lr=1e30)).learn(tmp_path)


def test_a_head_with_less_room_is_refused(tmp_path):
    with pytest.raises(InputError, match="FineTuneOnline has 9 outputs, and these tasks have 10 classes"):
        run(learner=widened(LEARNER, 9)).learn(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Unrecorded(FineTuneOnline):
    """Fine-tuning that looks at a value, so that it cannot be recorded."""

    trains_on = ("episodes",)

    def observe(self, params: Params, state: Tuned, batch: Batch) -> Tuned:
        assert state.counts.sum().item() >= 0
        return super().observe(params, state, batch)


def test_a_recorded_step_is_the_step():
    assert torch.equal(run().learn().matrix, run(learner=Unrecorded(model=LEARNER.model)).learn().matrix)


@dataclass(frozen=True, kw_only=True)
class Waiting(FineTuneOnline):
    """Fine-tuning that says that it learns at the ends of tasks, and counts them."""

    trains_on = ("episodes",)
    ends = [0]  # noqa: RUF012

    @property
    def needs_boundaries(self) -> bool:
        return True

    def boundary(self, params: Params, state: Tuned) -> Tuned:
        self.ends[0] += 1
        return state


def test_ends_are_told_to_those_who_wait_for_them_or_they_are_refused():
    learner = Waiting(model=LEARNER.model)
    run(learner=learner).learn()
    assert learner.ends == [5]
    for stream in (digits(boundaries=False), digits(order="shuffled")):
        with pytest.raises(InputError, match="learns at the ends of tasks, and this stream does not tell them"):
            run(stream, learner)


def test_a_damaged_folder_is_refused_in_one_message(tmp_path):
    run().learn(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:50], content.replace(b'"matrix"', b'"m"')):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{FILE} cannot be read"):
            run().learn(tmp_path)


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_bit_for_bit(tmp_path):
    check(tmp_path, tasks=6, kills=5)
