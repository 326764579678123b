import dataclasses
import signal
from collections import OrderedDict

import pytest
import torch

from innerloop.core import kept, tree
from innerloop.core.errors import InputError
from innerloop.core.objectives import regression
from innerloop.core.recompute import recomputing
from innerloop.core.types import Batch, Episode, Params
from innerloop.engine import Interrupted, TrainConfig, choose, load, meta_gradient, meta_train, trace, trial
from innerloop.engine.checkpoint import read_state, steps_done
from innerloop.engine.footprint import saved_bytes
from innerloop.engine.plan import Name, Plan
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.gradient.reptile import Reptile
from innerloop.learners.metric.protonet import ProtoNet
from innerloop.nn.conv4 import Conv4
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid
from tests.compared import distance

REGRESSION = MAML(model=MLP(hidden=(8, 8)), inner_lr=0.01, inner_steps=2, objective=regression)
SMALL = Conv4(width=4, size=16, outputs=3, pool="stride")


def pictures(tasks: int, dtype: torch.dtype = torch.float64) -> Episode:
    generator = torch.Generator().manual_seed(0)

    def batch(rows: int) -> Batch:
        y = torch.arange(rows).expand(tasks, -1) % 3
        x = torch.randn(tasks, rows, 1, 16, 16, generator=generator, dtype=dtype)
        return Batch(x, y, classes=torch.ones(tasks, 3, dtype=torch.bool))

    return Episode(batch(6), batch(9))


@pytest.fixture(autouse=True)
def nothing_chosen_yet(monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "_CHOSEN", {})
    monkeypatch.setattr(kept, "cache_folder", lambda root: tmp_path / "cache")


@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize(
    "learner",
    [
        MAML(model=SMALL, inner_steps=2),
        Reptile(model=SMALL, inner_optimizer="sgd"),
        ProtoNet(encoder=Conv4(width=4, size=16, outputs=None)),
    ],
    ids=lambda learner: type(learner).__name__,
)
@pytest.mark.parametrize(
    "plan",
    [
        Plan("loop", layout="channels_last"),
        Plan("loop", layout="mixed"),
        Plan("threads", 2, threads=2, layout="mixed"),
        Plan("vmap", layout="mixed"),
        Plan("replay", 1, threads=2, layout="mixed"),
        Plan("replay"),
    ],
    ids=str,
)
def test_memory_layouts_change_no_gradient(learner, transductive, plan):
    learner = dataclasses.replace(learner, transductive=transductive)
    params = {k: v.double() for k, v in learner.init(0).items()}
    expected, metrics = meta_gradient(learner, params, pictures(5), "loop")
    found, found_metrics = meta_gradient(learner, params, pictures(5), plan)
    assert distance(found, expected) < 1e-10
    assert all(torch.allclose(found_metrics[k], metrics[k]) for k in metrics)
    assert all(g.is_contiguous() for g in found.values())


def test_channels_last_reaches_the_convolution_even_with_one_channel(monkeypatch):
    seen = []
    convolve = torch.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, *rest: seen.append(x.stride()) or convolve(x, *rest))
    learner = MAML(model=SMALL)
    meta_gradient(
        learner, learner.init(0), pictures(1, torch.float32), Plan("loop", layout="channels_last"), unchecked=True
    )
    assert (256, 1, 16, 1) in seen


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_recorded_meta_step_is_the_ordinary_one(optimizer, clip):
    def trained(plan):
        config = TrainConfig(steps=7, meta_lr=0.01, optimizer=optimizer, clip=clip, schedule="cosine", plan=plan)
        return meta_train(REGRESSION, Sinusoid(seed=1), config)

    assert distance(trained("replay"), trained("loop")) < 1e-5


@pytest.fixture
def two():
    """As on a machine of two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_core_is_one_while_what_is_recorded_runs(two, monkeypatch):
    params, episodes, counts = REGRESSION.init(0), Sinusoid().episodes(0, 4), []
    direct = trace.direct

    def counting(graph):
        run = direct(graph)
        return lambda *leaves: counts.append(torch.get_num_threads()) or run(*leaves)

    monkeypatch.setattr(trace, "direct", counting)
    monkeypatch.setattr(trace, "_RECORDED", OrderedDict())
    expected = meta_gradient(REGRESSION, params, episodes, "loop")[0]
    for plan, cores in ((Plan("replay", one_core=True), 1), (Plan("replay"), 2)):
        found = meta_gradient(REGRESSION, params, episodes, plan, unchecked=True)[0]
        assert distance(found, expected) < 1e-5 and counts.pop() == cores and torch.get_num_threads() == 2
    meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=1, plan="replay"))
    assert counts[-1] == 2
    for name, threads in (("loop", 1), ("vmap", 1), ("threads", 2), ("replay", 2)):
        with pytest.raises(InputError, match="one_core is for replay and compile without threads"):
            Plan(name, threads=threads, one_core=True)


@pytest.mark.parametrize(("slower", "chosen"), [(1.2, True), (1.3, False)])
def test_auto_takes_one_core_where_several_are_hardly_faster(two, monkeypatch, slower, chosen):
    once = trial.Trial._once

    def planted(self, plan):
        once(self, plan)
        return {"replay": 1e-3}.get(plan.name, 1e-1) * (slower if plan.one_core else 1.0)

    monkeypatch.setattr(trial.Trial, "_once", planted)
    monkeypatch.setattr(choose, "_SMALL", 1.0)
    choice = choose.choose(REGRESSION, REGRESSION.init(0), Sinusoid().episodes(0, 4))
    assert (choice.plan.name, choice.plan.one_core) == ("replay", chosen)
    assert ("one core" in choice.message) == chosen


@pytest.mark.parametrize(
    ("slower", "pins", "compiled"),
    [(1.4, {}, 2), (1.6, {}, 1), (1.4, {"threads": 2}, 1)],
    ids=["both", "the faster", "pinned threads"],
)
def test_what_is_recorded_is_compiled_on_as_many_cores_as_may_be_best(two, monkeypatch, slower, pins, compiled):
    once, raced = trial.Trial._once, set()

    def planted(self, plan):
        if plan.compiled:  # not compiled here, which takes long: it only loses
            raced.add(plan)
            return 1.0
        once(self, plan)
        return {"replay": 1e-3}.get(plan.name, 1e-1) * (slower if plan.one_core else 1.0)

    monkeypatch.setattr(trial.Trial, "_once", planted)
    monkeypatch.setattr(choose, "_SMALL", 1.0)
    monkeypatch.setattr(choose, "_COMPILING", 0.0)
    length = choose.Length(steps=10**6)
    choice = choose.choose(REGRESSION, REGRESSION.init(0), Sinusoid().episodes(0, 4), length, **pins)
    assert choice.plan.name == "replay" and len(raced) == compiled


@pytest.mark.exact
def test_a_resumed_recorded_run_equals_an_unbroken_one(tmp_path):
    short, long = (TrainConfig(steps=n, checkpoint_every=3, plan="replay") for n in (5, 9))
    whole = meta_train(REGRESSION, Sinusoid(), long, out=tmp_path / "whole")
    meta_train(REGRESSION, Sinusoid(), short, out=tmp_path / "parts")
    parts = meta_train(REGRESSION, Sinusoid(), long, out=tmp_path / "parts")
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_a_run_may_go_on_with_another_plan(tmp_path):
    whole = meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=8, plan="loop"))
    stages: list[tuple[int, Name]] = [(3, "replay"), (6, "vmap"), (8, "replay")]
    parts: Params = {}
    for steps, plan in stages:
        parts = meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=steps, plan=plan), out=tmp_path)
    assert distance(parts, whole) < 1e-5


def test_recomputed_inner_steps_keep_the_carried_state_and_the_graphs_of_the_last_ones():
    params = MAML(model=SMALL).init(0)

    def kept(steps: int, beside: int | None) -> int:
        with recomputing(beside is not None, beside or 0):
            return saved_bytes(MAML(model=SMALL, inner_steps=steps), params, pictures(1, torch.float32))

    carried = sum(v.nbytes for v in params.values())
    # However many steps there are: the last one's graph, or as many as have no more examples than the query.
    each = {beside: (kept(21, beside) - kept(1, beside)) / 20 for beside in (0, 6, 1000, None)}
    assert each[0] < 1.1 * carried
    assert each[6] == each[0], "the last one, of 6 examples, is kept anyway"
    # Three fifths of them, where the query is large: 11 more of 20.
    assert each[1000] - carried < 0.6 * (each[None] - carried)
    assert each[1000] - carried > 0.5 * (each[None] - carried)


@pytest.mark.parametrize("layout", ["contiguous", "mixed"])
def test_recomputed_inner_steps_change_no_gradient(layout):
    learner = MAML(model=SMALL, inner_steps=6)
    params = {k: v.double() for k, v in learner.init(0).items()}
    found = meta_gradient(learner, params, pictures(2), Plan("loop", layout=layout, recompute=True), unchecked=True)
    assert distance(found[0], meta_gradient(learner, params, pictures(2), "loop")[0]) < 1e-10


def test_auto_says_what_it_chose(capsys, monkeypatch):
    monkeypatch.setattr(choose, "_BRIEF", 0.0)
    meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=2))
    said = capsys.readouterr().err
    assert "plan: " in said and "plans timed on" in said


def test_a_training_of_milliseconds_times_no_plans(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(choose, "_BRIEF", 60.0)
    meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=2), out=tmp_path)
    assert "plan: loop (no other was timed, for 2 steps of" in capsys.readouterr().err
    state = read_state(tmp_path)
    assert state is not None and state["plan"]["name"] == "loop"
    monkeypatch.setattr(choose, "_BRIEF", 0.0)
    meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=8), out=tmp_path)
    assert "plans timed on" in capsys.readouterr().err, "for more steps it is chosen anew"
    assert choose.choose(REGRESSION, REGRESSION.init(0), Sinusoid().episodes(0, 4)).only_now is False


def test_ctrl_c_while_plans_are_timed_leaves_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "_BRIEF", 0.0)
    run, config = tmp_path / "run", TrainConfig(steps=3, meta_batch_size=3)
    asked, timed = trial.Trial._run, []

    def interrupted(self, plan):
        timed.append(plan)
        if len(timed) == 3:
            signal.raise_signal(signal.SIGINT)
        return asked(self, plan)

    monkeypatch.setattr(trial.Trial, "_run", interrupted)
    with pytest.raises(Interrupted, match="saved at step 0"):
        meta_train(REGRESSION, Sinusoid(), config, out=run)
    assert len(timed) < 6, "no further plan is timed"
    assert distance(load(run)[1], REGRESSION.init(config.seed)) == 0
    monkeypatch.undo()
    meta_train(REGRESSION, Sinusoid(), config, out=run)
    assert steps_done(run) == 3


def test_auto_refuses_a_plan_with_another_gradient(monkeypatch):
    right = trial.execute

    def wrong(learner, params, episodes, plan):
        gradient, metrics = right(learner, params, episodes, plan)
        return (tree.map(lambda g: 2 * g, gradient) if plan.name == "vmap" else gradient), metrics

    monkeypatch.setattr(trial, "execute", wrong)
    params, episodes = REGRESSION.init(0), Sinusoid().episodes(0, 8)
    found = choose.choose(REGRESSION, params, episodes)
    assert found.plan.name != "vmap"
    assert "from the loop's" in found.message


def test_auto_recomputes_where_one_task_does_not_fit(monkeypatch):
    monkeypatch.setattr(choose, "free_memory", lambda device: 1000)
    found = choose.choose(REGRESSION, REGRESSION.init(0), Sinusoid().episodes(0, 8))
    assert found.plan == Plan("loop", recompute=True)


def test_auto_batches_no_more_tasks_than_fit(monkeypatch):
    params, episodes = REGRESSION.init(0), Sinusoid().episodes(0, 8)
    each = saved_bytes(REGRESSION, params, episodes)
    monkeypatch.setattr(choose, "free_memory", lambda device: 2 * 3 * each)
    tried = []
    monkeypatch.setattr(trial.Trial, "_once", lambda self, plan: tried.append(plan) or 0.01)
    choose.choose(REGRESSION, params, episodes)
    assert max(plan.chunk for plan in tried) == 3
    assert max(plan.threads for plan in tried) <= 3


def test_what_is_pinned_stays():
    found = choose.choose(REGRESSION, REGRESSION.init(0), Sinusoid().episodes(0, 8), chunk=2)
    assert found.plan.chunk == 2


def test_low_precision_is_declared_and_pinned():
    learner = ProtoNet(encoder=Conv4(width=8, size=16, outputs=None))
    params, episodes = learner.init(0), pictures(2, torch.float32)
    expected = meta_gradient(learner, params, episodes, "loop")[0]
    found = meta_gradient(learner, params, episodes, Plan("loop", precision="bfloat16"))[0]
    assert 1e-4 < distance(found, expected) < 0.5
    assert all(g.dtype == torch.float32 for g in found.values())


@pytest.mark.slow
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="torch's compiler needs a processor with vectors"
)
def test_a_compiled_step_is_the_ordinary_one():
    params, episodes = {k: v.double() for k, v in REGRESSION.init(0).items()}, Sinusoid().episodes(0, 4)
    episodes = tree.map(lambda v: v.double() if v.is_floating_point() else v, episodes)
    expected = meta_gradient(REGRESSION, params, episodes, "loop")[0]
    assert distance(meta_gradient(REGRESSION, params, episodes, "compile")[0], expected) < 1e-10
    compiled, plain = (meta_train(REGRESSION, Sinusoid(), TrainConfig(steps=5, plan=p)) for p in ("compile", "loop"))
    assert distance(compiled, plain) < 1e-5
    learner, batch = MAML(model=SMALL), pictures(3)
    params = {k: v.double() for k, v in learner.init(0).items()}
    expected = meta_gradient(learner, params, batch, "loop")[0]
    plan = Plan("compile", 1, threads=2, layout="mixed")
    assert distance(meta_gradient(learner, params, batch, plan)[0], expected) < 1e-10
    plan = Plan("compile-query", 2, threads=2)
    assert distance(meta_gradient(learner, params, batch, plan)[0], expected) < 1e-10


class Transformed(ProtoNet):
    """Takes a gradient by `torch.func` on its way."""

    def loss(self, params, episode):
        loss, metrics = super().loss(params, episode)
        slope = torch.func.grad(lambda x: self.encoder.apply(params, x).square().sum())(episode.support.x)
        return loss + 1e-3 * slope.square().mean(), metrics


def test_auto_runs_a_learner_that_differentiates_by_itself():
    learner, episodes = Transformed(encoder=MLP(inputs=256, hidden=(8,), outputs=4)), pictures(3, torch.float32)
    episodes = tree.map(lambda v: v.flatten(2) if v.ndim == 5 else v, episodes)
    params = learner.init(0)
    found, expected = (meta_gradient(learner, params, episodes, plan)[0] for plan in ("auto", "loop"))
    assert distance(found, expected) < 1e-5


def test_memory_is_counted_as_the_graph_of_one_task_holds_it():
    """Two layers' inputs and outputs are kept, what is only passed through is not."""
    learner, episodes = ProtoNet(encoder=MLP(inputs=256, hidden=(1000,), outputs=4)), pictures(3, torch.float32)
    episodes = tree.map(lambda v: v.flatten(2) if v.ndim == 5 else v, episodes)
    params = learner.init(0)
    hidden, given = 15 * 1000 * 4, sum(v.nbytes for v in params.values()) + 15 * 256 * 4
    assert given + hidden <= saved_bytes(learner, params, episodes) < given + 2.5 * hidden
