"""Environments as a kind of problem, and what the command line says of agents."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.engine.clipped import Clipped
from innerloop.engine.trust_region import TrustRegion
from innerloop.learners.agents.maml_rl import MAMLRL
from innerloop.nn.mlp import MLP
from innerloop.nn.policy import Gaussian
from innerloop.problems import kind_of
from innerloop.problems import kinds as kinds_of_problem
from innerloop.problems.agents import Acting, PolicyOptions, kinds
from innerloop.runs.measure import MetaTestOptions, prepare
from innerloop.tasks.environments.bandits import Bandits
from innerloop.tasks.environments.navigation import Navigation

SHORT = ["--settings", "horizon=4", "--trajectories", "3", "--meta-batch-size", "2", "--steps", "2"]


def train(out, *words):
    return main(["train", "maml-rl", "--env", "navigation", *SHORT, "--out", str(out), *words])


def test_a_run_is_trained_tested_and_compared_with_random_actions_and_the_oracle(tmp_path, capsys):
    assert train(tmp_path / "run", "--inner-steps", "2") == 0
    assert main(["test", str(tmp_path / "run"), "--episodes", "5", "--steps", "3"]) == 0
    said = capsys.readouterr().out
    for row in ("random actions", "knows the task", "MAMLRL, untrained", "after inner steps: 0: ", "3: "):
        assert row in said
    (kept,) = [json.loads(f.read_text()) for f in (tmp_path / "run").glob("test-????????????????.json")]
    assert [point[0] for point in kept["curve"]] == [0, 1, 2, 3]
    # Asked again with more steps, it goes on; with another update it is another run.
    assert train(tmp_path / "run", "--inner-steps", "2", "--steps", "3") == 0
    assert train(tmp_path / "run", "--inner-steps", "2", "--steps", "3", "--max-kl", "0.5") == 2


def test_a_recurrent_agent_is_tested_beside_the_rules_of_bandits_and_after_every_episode(tmp_path, capsys):
    short = ["--trajectories", "3", "--meta-batch-size", "2", "--steps", "2", "--units", "4"]
    for env, steps in (("bandits", "0"), ("mazes", "3")):
        words = ["--env", env, "--settings", "horizon=3", *short, "--out", str(tmp_path / env)]
        assert main(["train", "rl2", *words]) == 0
        assert main(["test", str(tmp_path / env), "--episodes", "4", "--steps", steps]) == 0
        printed = capsys.readouterr().out
        report = (tmp_path / env / "report.html").read_text()
        assert ">episodes</th>" in report and "inner steps" not in report
        assert ("after 3 episodes" in report) is (env == "mazes")
        # A trial of one episode has nothing to be shown beside.
        assert ("after episodes: 0: " in printed and ", 3: " in printed) is (env == "mazes") and "steps:" not in printed
        assert ("Thompson sampling" in printed) is ("Gittins indices" in printed) is (env == "bandits")


def test_env_is_another_name_of_data(tmp_path):
    for number, words in enumerate((["--env=navigation"], ["--data", "navigation"])):
        assert main(["train", "maml_rl", *words, *SHORT, "--out", str(tmp_path / str(number))]) == 0
    one, other = (json.loads((tmp_path / str(i) / "config.json").read_text()) for i in range(2))
    assert one["record"] == other["record"] and one["learner"] == other["learner"]


def test_a_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    for name in ("navigation", "cart_pole", "sinusoid", "banking77"):
        (tmp_path / name / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert kind_of("navigation") is kind_of("cart_pole") is Acting
    assert (
        kind_of("sinusoid") is kinds_of_problem()["regression"] and kind_of("banking77") is kinds_of_problem()["texts"]
    )
    assert kind_of("./navigation") is kinds_of_problem()["classes"]
    assert main(["train", "maml_rl", "--env", "navigation", *SHORT, "--steps", "0", "--out", "run"]) == 0


def test_env_is_data_of_the_other_verbs_too(capsys):
    # Of trust-region alone, since its limit decides how long a meta-step is, there is nothing to search in meta_lr.
    for update, searched in (("trust-region", ["inner_lr", "inner_steps"]), ("clipped", ["inner_lr", "meta_lr"])):
        words = ["--env", "navigation", "--update", update, "--show-space", "--json"]
        assert main(["tune", "maml_rl", *words]) == 0
        space = json.loads(capsys.readouterr().out)["space"]
        assert set(searched) <= set(space) and ("meta_lr" in space) is ("schedule" in space) is (update == "clipped")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["maml_rl", "--env", "moon"], "there is no data set and no path 'moon'"),
        (["maml", "--env", "navigation"], "maml is trained on episodes, which 'navigation' does not have"),
        (["maml_rl", "--env", "kanji"], "maml_rl is trained on environments, which 'kanji' does not have"),
        (["maml_rl", "--data", "sinusoid"], "maml_rl is trained on environments, which 'sinusoid' does not have"),
        (["maml_rl", "--env", "navigation", "--settings", "horizon=0"], "horizon must be a whole number of at least 1"),
        (["maml_rl", "--env", "navigation", "--settings", "horizn=5"], "navigation; did you mean 'horizon'?"),
        (["maml_rl", "--env", "navigation", "--settings", "horizon"], "write name=value, with a name of horizon"),
        (["maml_rl", "--env", "bandits", "--settings", "arms=0"], "arms must be a whole number of at least 1"),
        (["maml_rl", "--env", "bandits", "--squash"], "needs actions between bounds"),
        (["maml_rl", "--env", "navigation", "--clip", "1"], "clip is read by the default update alone"),
        (["maml_rl", "--meta-lr", "0.5"], "--meta-lr is not read where the update itself decides"),
        (["maml_rl", "--schedule", "cosine"], "--schedule is not read where the update itself decides"),
        (["maml_rl", "--epochs", "9"], "--epochs is read by --update clipped alone, and this is --update trust-region"),
        (["maml_rl", "--update", "clipped", "--max-kl", "0.5"], "--max-kl is read by --update trust-region alone"),
        (["rl2", "--env", "bandits", "--curvature-every", "4"], "--curvature-every is read by --update trust-region"),
        (["model_predictive", "--update", "clipped"], "ModelPredictive has no such policy"),
        (["maml_rl", "--env", "navigation", "--max-kl", "0"], "max_kl must be more than 0"),
        (["bandit_rule", "--env", "navigation"], "Navigation is no bandit"),
        (["scripted", "--env", "tabular", "--rule", "oracle"], "says nothing of what is best"),
    ],
)
def test_what_makes_no_sense_is_one_message(words, said, tmp_path, capsys):
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_every_environment_is_a_data_set_and_has_a_policy():
    for name, kind in kinds().items():
        problem = kind_of(name)(data=name)
        assert isinstance(problem, Acting)
        environment = problem.load(Context())
        assert isinstance(environment, kind)
        learner = problem.learner(MAMLRL, {"trajectories": 2}, PolicyOptions(hidden_units=(3,)), environment)
        assert isinstance(learner, MAMLRL) and learner.env == environment
    assert kind_of("cartpole") is kind_of("cart-pole") is Acting


def test_policies_fit_the_space_and_options_choose_the_update():
    box, arms = Acting(settings=("horizon=7",)), Acting(data="bandits", settings=("arms=3",))
    assert box.environment() == Navigation(horizon=7) and arms.environment() == Bandits(arms=3)
    learner = box.learner(MAMLRL, {}, PolicyOptions(start_std=0.5), box.environment())
    assert isinstance(learner, MAMLRL) and learner.model == Gaussian(inputs=2, hidden=(64, 64), size=2, start_std=0.5)
    other = arms.learner(MAMLRL, {}, PolicyOptions(hidden_units=(8,)), arms.environment())
    assert isinstance(other, MAMLRL) and other.model == MLP(1, (8,), 3, "tanh")
    assert box.updating(learner) == TrustRegion() and Acting(update="descent").updating(learner) is None
    assert Acting(update="clipped", epochs=2).updating(learner) == Clipped(epochs=2)
    with pytest.raises(InputError, match="horizon must be"):
        Acting(settings=("horizon=many",)).check()


def test_splits_do_not_meet():
    problem = Acting()
    drawn = [problem.episodes(Navigation(), split, 0).episodes(0, 50).support.x for split in ("train", "test")]
    goals = [x["goal"] for x in drawn if isinstance(x, dict)]
    assert not (goals[0] == goals[1]).all(-1).any()


def test_a_planner_is_trained_tested_and_shown_on_carts_and_refused_where_nothing_is_to_be_planned(tmp_path, capsys):
    short = ["--window", "2", "--following", "2", "--taken", "4", "--trajectories", "2", "--ahead", "2"]
    words = [*short, "--settings", "horizon=4", "--meta-batch-size", "2", "--steps", "2"]
    assert main(["train", "model_predictive", *words, "--out", str(tmp_path / "run")]) == 0
    assert main(["test", str(tmp_path / "run"), "--episodes", "3", "--steps", "2"]) == 0
    assert "after inner steps: 0: 4 ± 0, 1: 4 ± 0, 2: 4 ± 0" in capsys.readouterr().out
    assert main(["play", str(tmp_path / "run"), "--steps", "1", "--out", str(tmp_path / "play.html")]) == 0
    capsys.readouterr()
    assert main(["train", "model_predictive", "--env", "navigation", "--out", str(tmp_path / "no")]) == 2
    assert "Navigation does not say what a plan earns there" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_test_of_agents_has_fewer_tasks_unless_told(tmp_path):
    words = ["--env", "bandits", "--settings", "horizon=2", "--trajectories", "2", "--steps", "0"]
    assert main(["train", "rl2", *words, "--out", str(tmp_path / "run")]) == 0
    tests = prepare(tmp_path / "run", MetaTestOptions())
    assert {test.protocol.episodes for test in tests} == {100} and kinds_of_problem()["classes"].test_episodes == 600
    (test,) = prepare(tmp_path / "run", MetaTestOptions(episodes=7, baselines=False))
    assert test.protocol.episodes == 7
