"""An update of one's own: proven by Gauss-Newton, held and resumed by the engine, refused where it cannot be kept."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor

from innerloop.core import tree
from innerloop.core.errors import FailedError, InputError
from innerloop.core.learner import Learner
from innerloop.core.objectives import regression
from innerloop.core.types import Batch, Episode, Metrics, Params
from innerloop.engine import TrainConfig, Update, load, meta_gradient, meta_train
from innerloop.engine.plan import Plan
from innerloop.engine.updates import Descent
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.tasks import Sinusoid
from innerloop.tasks.functions import Functions, quadratic
from tests.compared import distance
from tests.engine.test_train import same
from tests.engine.test_watchers import Diary

TASKS, CONFIG = Functions(seed=1), TrainConfig(steps=6, meta_batch_size=4, meta_lr=1.0, checkpoint_every=2)
SINUSOID = MAML(model=MLP(hidden=(8, 8)), inner_lr=0.01, objective=regression)


@dataclass(frozen=True, kw_only=True)
class Shared(Learner[Tensor]):
    """One point for all quadratics, which is the meta-parameter: nothing is adapted."""

    trains_on: ClassVar[tuple[str, ...]] = ("functions",)  # pyright: ignore[reportIncompatibleVariableOverride]

    def init(self, seed: int) -> Params:
        return {"theta": torch.zeros(10, dtype=torch.float64)}

    def adapt(self, params: Params, support: Batch) -> Tensor:
        return params["theta"]

    def predict(self, params: Params, adapted: Tensor, x: Any) -> Tensor:
        return quadratic({"theta": adapted}, double(x), torch.tensor(0))[None, None]

    def loss(self, params: Params, episode: Episode) -> tuple[Tensor, Metrics]:
        return quadratic(params, double(episode.query.x), torch.tensor(0)), {}


def double(x: Any) -> Any:
    return tree.map(Tensor.double, x)


class Normal(NamedTuple):
    """Normal equations of all tasks that were seen."""

    curvature: Tensor  # [10, 10]
    slope: Tensor  # [10]


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """To the least-squares solution of all tasks so far, in one step: the residuals are linear."""

    damping: float = 0.0

    def begin(self, learner: Learner, params: Params, episodes: Episode) -> Normal:
        return Normal(self.damping * torch.eye(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64))

    def step(
        self, learner: Learner, params: Params, state: Normal, episodes: Episode, number: int, rate: float
    ) -> tuple[Params, Normal, Metrics]:
        x = double(episodes.support.x)
        curvature = state.curvature + (x["matrix"].mT @ x["matrix"]).sum(0)
        slope = state.slope + (x["matrix"].mT @ x["target"][:, :, None]).sum(0)[:, 0]
        goal = torch.linalg.solve(curvature, slope)
        theta = params["theta"] + rate * (goal - params["theta"])
        loss = (x["matrix"] @ theta - x["target"]).square().sum(-1).mean()
        return {"theta": theta}, Normal(curvature, slope), {"loss": loss}


def train(steps: int = 6, out: Any = None, update: Any = GaussNewton(), **changes: Any) -> Params:
    return meta_train(Shared(), TASKS, replace(CONFIG, steps=steps, **changes), out, update=update)


def test_gauss_newton_is_there_in_one_step():
    params, tasks = train(1), TASKS.episodes(0, 4)
    gradient, _ = meta_gradient(Shared(), params, tasks, "loop")
    start, _ = meta_gradient(Shared(), Shared().init(0), tasks, "loop")
    assert gradient["theta"].norm() < 1e-10 * start["theta"].norm()
    x: Any = double(TASKS.episodes(0, 24).support.x)
    solution = torch.linalg.lstsq(x["matrix"].flatten(0, 1), x["target"].flatten()[:, None]).solution[:, 0]
    assert torch.allclose(train(6)["theta"], solution), "with six meta-batches it is the solution of all of them"


@pytest.mark.exact
def test_stopped_in_the_middle_it_goes_on_bit_for_bit(tmp_path):
    expected = train(6)
    train(3, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 3 and set(state["update"]) == {"curvature", "slope"} and state["plan"] is None
    assert same(train(6, tmp_path), expected)
    assert same(load(tmp_path, allow=("tests",))[1], expected)
    assert same(train(6, tmp_path), expected), "a finished run is returned as it is"
    assert set(torch.load(tmp_path / "state.pt", weights_only=True)["update"]) == {"curvature", "slope"}


def test_it_is_told_the_rate_the_number_and_the_learner_and_watchers_hear_its_metrics():
    calls = []

    class Noted(GaussNewton):
        def step(self, learner, params, state, episodes, number, rate):
            calls.append((type(learner).__name__, number, round(rate, 6), tree.length(episodes)))
            assert not params["theta"].requires_grad
            return super().step(learner, params, state, episodes, number, rate)

    diary = Diary()
    meta_train(Shared(), TASKS, replace(CONFIG, steps=2, schedule="linear"), watchers=(diary,), update=Noted())
    assert calls == [("Shared", 0, 1.0, 4), ("Shared", 1, 0.5, 4)]
    assert [set(v) for e, _, v in diary.entries if e == "step" and v] == [{"loss", "tasks_per_second"}] * 2


@dataclass(frozen=True)
class Averaged:
    """Around another update: parameters that trail behind it (Polyak and Juditsky 1992)."""

    update: Update
    keep: float = 0.5

    def begin(self, learner, params, episodes):
        return {"fast": params, "inner": self.update.begin(learner, params, episodes)}

    def step(self, learner, params, state, episodes, number, rate):
        fast, inner, metrics = self.update.step(learner, state["fast"], state["inner"], episodes, number, rate)
        slow = {k: self.keep * params[k] + (1 - self.keep) * fast[k] for k in params}
        return slow, {"fast": fast, "inner": inner}, metrics


@pytest.mark.parametrize("plan", ["loop", "replay"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_default_update_is_one_that_others_can_hold(plan, optimizer):
    """With all weight on what the inner update returns, it is the default training."""
    config = TrainConfig(steps=7, meta_lr=0.01)
    descent = Descent(optimizer=optimizer, clip=0.5, plan=Plan(plan))
    expected = meta_train(SINUSOID, Sinusoid(), replace(config, optimizer=optimizer, clip=0.5, plan=plan))
    held = meta_train(SINUSOID, Sinusoid(), config, update=Averaged(descent, keep=0.0))
    assert distance(held, expected) < 1e-6
    slow = meta_train(SINUSOID, Sinusoid(), config, update=Averaged(Descent(optimizer=optimizer, plan=Plan(plan))))
    assert distance(slow, SINUSOID.init(0)) < 0.5 and not same(slow, expected)


@pytest.mark.exact
def test_what_holds_the_default_update_goes_on_bit_for_bit(tmp_path):
    config, update = TrainConfig(steps=6, meta_lr=0.01, schedule="step"), Averaged(Descent(plan="replay"), keep=0.9)
    expected = meta_train(SINUSOID, Sinusoid(), config, update=update)
    meta_train(SINUSOID, Sinusoid(), replace(config, steps=2), tmp_path, update=update)
    assert same(meta_train(SINUSOID, Sinusoid(), config, tmp_path, update=update), expected)
    with pytest.raises(InputError, match=r"update.fields.update.fields.optimizer is 'adam', now 'sgd'"):
        meta_train(SINUSOID, Sinusoid(), config, tmp_path, update=Averaged(Descent(optimizer="sgd"), keep=0.9))


@pytest.mark.parametrize("plan", ["loop", "replay"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.exact
def test_the_default_update_is_pure(plan, optimizer):
    update, params, tasks = Descent(optimizer=optimizer, plan=Plan(plan)), SINUSOID.init(0), Sinusoid().episodes(0, 4)
    state = update.begin(SINUSOID, params, tasks)
    before = tree.map(torch.clone, (params, state))
    first = update.step(SINUSOID, params, state, tasks, 0, 0.01)
    second = update.step(SINUSOID, *first[:2], tasks, 1, 0.01)
    assert all(torch.equal(a, b) for a, b in zip(tree.flatten((params, state)), tree.flatten(before), strict=True))
    again = update.step(SINUSOID, *update.step(SINUSOID, params, state, tasks, 0, 0.01)[:2], tasks, 1, 0.01)
    assert all(torch.equal(a, b) for a, b in zip(tree.flatten(second), tree.flatten(again), strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.exact
def test_the_default_update_is_torchs(optimizer, clip):
    update, params = Descent(optimizer=optimizer, clip=clip, plan="loop"), SINUSOID.init(0)
    leaves = [v.clone().requires_grad_() for v in params.values()]
    theirs: Any = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer](leaves, lr=1.0)
    state = update.begin(SINUSOID, params, Sinusoid().episodes(0, 1))
    for number in range(4):
        tasks, rate = Sinusoid().episodes(4 * number, 4), 0.1 / (1 + number)
        gradient, _ = meta_gradient(SINUSOID, dict(zip(params, leaves, strict=True)), tasks, "loop")
        for leaf, slope in zip(leaves, gradient.values(), strict=True):
            leaf.grad = slope
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(leaves, clip)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        params, state, _ = update.step(SINUSOID, params, state, tasks, number, rate)
        assert all(torch.equal(a, b) for a, b in zip(params.values(), leaves, strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.exact
def test_a_checkpoint_of_release_0_1_0_goes_on_bit_for_bit(tmp_path, optimizer):
    """It had the state of torch.optim, and the estimator's apart."""
    config = TrainConfig(steps=6, meta_lr=0.01, optimizer=optimizer, plan="loop")
    expected = meta_train(SINUSOID, Sinusoid(), config)
    meta_train(SINUSOID, Sinusoid(), replace(config, steps=3), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    sizes = [v.numel() for v in state["params"].values()]
    leaves = state.pop("update")
    rows: dict[int, Any] = {}
    if leaves:
        parts = (leaves[f"moments.{name}"].split(sizes) for name in ("first", "second"))
        for i, (first, second, like) in enumerate(zip(*parts, state["params"].values(), strict=True)):
            moments = {"exp_avg": first.view_as(like), "exp_avg_sq": second.view_as(like)}
            rows[i] = {"step": leaves["moments.step"].clone(), **moments}
    torch.save(state | {"optimizer": {"state": rows, "param_groups": []}, "held": None}, tmp_path / "state.pt")
    assert same(meta_train(SINUSOID, Sinusoid(), config, tmp_path), expected)


@dataclass(frozen=True, kw_only=True)
class Plain(GaussNewton):
    """Returns what it is told to."""

    state: Any = field(default=None, compare=False)
    result: str = ""

    def begin(self, learner, params, episodes):
        return super().begin(learner, params, episodes) if self.state is None else self.state

    def step(self, learner, params, state, episodes, number, rate):
        params, after, metrics = super().step(learner, params, Normal(*state), episodes, number, rate)
        theta = params["theta"]
        return {
            "": (params, after, metrics),
            "nothing": None,
            "pair": (params, after),
            "renamed": ({"phi": theta}, after, metrics),
            "none": ({}, after, metrics),
            "more": (params | {"phi": theta}, after, metrics),
            "shape": ({"theta": theta[None]}, after, metrics),
            "dtype": ({"theta": theta.float()}, after, metrics),
            "number": ({"theta": 1.0}, after, metrics),
            "metric": (params, after, {"loss": torch.ones(2)}),
            "float": (params, after, {"loss": 1.0}),
            "state": (params, after._replace(slope=0.5), metrics),
            "other": (params, {"curvature": after.curvature}, metrics),
            "nan": ({"theta": theta * float("nan")}, after, metrics),
            "loss": (params, after, {"loss": torch.tensor(float("inf"))}),
        }[self.result]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (0.5, "the state that begin of Plain returned is a float"),
        (
            {"a": torch.ones(2), "rate": 0.1},
            "'rate' in the state that begin of Plain returned is a float.*torch.tensor",
        ),
        ({"a": {"b": [torch.ones(2)]}}, "'a.b' in the state .* is a list"),
        ((torch.ones(2), "x"), "'1' in the state .* is a str"),
        ({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, "two tensors in the state of Plain have the same path"),
    ],
)
def test_a_state_that_is_not_tensors_is_refused_before_anything_is_written(tmp_path, state, message):
    with pytest.raises(InputError, match=message):
        train(2, tmp_path / "run", Plain(state=state))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("nothing", "returned a NoneType: it must return"),
        ("pair", "must return .params, state, metrics."),
        ("renamed", "without theta and with phi"),
        ("none", "without theta: it"),
        ("more", "than it got, with phi: it"),
        ("shape", r"a tensor of shape \[1, 10\] and float64 for 'theta', which is a tensor of shape \[10\]"),
        ("dtype", r"\[10\] and float32 for 'theta'"),
        ("number", "a float for 'theta'"),
        ("metric", "metric 'loss' of Plain is a tensor of shape .2."),
        ("float", "metric 'loss' of Plain is a float"),
        ("state", "'slope' in the state that step of Plain returned is a float"),
        ("other", "a state of curvature, where begin returned curvature, slope"),
    ],
)
def test_results_that_cannot_be_taken_are_refused(result, message):
    with pytest.raises(InputError, match=message):
        train(2, update=Plain(result=result))


@pytest.mark.parametrize(("result", "what"), [("nan", "the parameter 'theta' that"), ("loss", "the loss that")])
def test_what_is_not_finite_stops_and_the_last_checkpoint_stays(tmp_path, result, what):
    class Late(Plain):
        def step(self, learner, params, state, episodes, number, rate):
            update = Plain(result=result if number == 3 else "")
            return update.step(learner, params, state, episodes, number, rate)

    Late.__qualname__ = "Plain"  # so that the run can name it
    with pytest.raises(FailedError, match=f"Shared: {what} .* at step 3 is not finite"):
        train(6, tmp_path, Late())
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2
    assert load(tmp_path, allow=("tests",))[1]["theta"].isfinite().all()


def test_a_run_goes_on_with_its_own_update_only(tmp_path):
    train(2, tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["update"] == {"class": f"{__name__}:GaussNewton", "fields": {"damping": 0.0}}
    for other, message in ((GaussNewton(damping=1.0), ".fields.damping is 0.0, now 1.0"), (Plain(), "Plain")):
        with pytest.raises(InputError, match=f"holds another run: its update.*{message}"):
            train(6, tmp_path, other)
    with pytest.raises(InputError, match=r"holds another run: its update is .*GaussNewton.*, now 'the default one'"):
        train(6, tmp_path, None)
    train(2, tmp_path / "default", None)
    assert "update" not in json.loads((tmp_path / "default" / "config.json").read_text())
    with pytest.raises(InputError, match=r"its update is 'the default one', now .*GaussNewton"):
        train(6, tmp_path / "default")


class Settings:
    """Not a dataclass: nobody knows what it is set to."""

    begin, step = GaussNewton.begin, GaussNewton.step
    damping = 0.0


def test_what_is_no_update_is_refused(tmp_path):
    for wrong, name in ((GaussNewton, "GaussNewton"), (torch.optim.Adam, "Adam"), (7, "int")):
        with pytest.raises(InputError, match=f"update={name} is no update"):
            train(2, update=wrong)
    assert train(1, update=Settings()), "without a folder nothing needs to be told from others"
    with pytest.raises(InputError, match="Settings must be a dataclass"):
        train(2, tmp_path / "run", Settings())
    for changes, message in (
        ({"clip": 1.0}, "clip is read by"),
        ({"plan": "vmap", "clip": 1.0}, "clip, plan are read by"),
    ):
        with pytest.raises(InputError, match=f"{message} the default update alone, and not by GaussNewton"):
            train(2, tmp_path / "run", **changes)
    assert not Path(tmp_path / "run").exists()


def test_several_processes_are_refused(tmp_path, monkeypatch):
    from innerloop.engine import train as module
    from innerloop.engine.distributed import World

    world = World()
    world.size = 2
    monkeypatch.setattr(module.distributed, "join", lambda: world)
    with pytest.raises(InputError, match=r"GaussNewton gets whole meta-batches.*start without torchrun"):
        train(2, tmp_path / "run")
    assert not (tmp_path / "run").exists()
