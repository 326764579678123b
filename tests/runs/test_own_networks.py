import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from innerloop.cli.main import main
from innerloop.core.config import decode, encode
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.core.model import Module, ModuleWith
from innerloop.core.objectives import classification
from innerloop.engine import TrainConfig, load, meta_train
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.problems.networks import NetworkOptions
from innerloop.problems.own_networks import own_network
from innerloop.runs import build
from innerloop.runs.measure import report
from innerloop.tasks import EpisodeSampler
from innerloop.tasks.datasets.digits import digits
from tests.runs.own import Sized, features
from tests.runs.test_build import small

HERE, MINE = "tests.runs.own", Context(allow=("tests",))
SHAPE = (1, 8, 8)


def made(name: str, outputs: int | None = 3):
    return own_network(f"{HERE}:{name}", SHAPE, outputs, 16)


def run_with(name: str, learner: str = "maml", context: Context = MINE):
    options = small(learner)
    options = replace(options, task=options.task.changed({"ways": 3}), network=NetworkOptions(network=f"{HERE}:{name}"))
    return build(options, context)


def test_what_it_has_parameters_for_is_given():
    assert made("Sized") == ModuleWith(Sized, (("outputs", 3), ("inputs", 64)))
    assert made("Sized", None).apply(made("Sized", None).init(0), torch.zeros(2, *SHAPE)).shape == (2, 16)
    maybe: Any = made("maybe", None)
    assert dict(maybe.arguments) == {"outputs": None, "size": 8}
    assert made("model") == MLP(inputs=64, outputs=3) and made("features", None) == Module(features)
    assert decode(json.loads(json.dumps(encode(made("Sized")))), ("tests",)) == made("Sized")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("features", r"returns \[4, 7\] for 4 examples.* \[4, 3\]: .*--ways 7"),
        ("regressor", r"cannot take 4 examples of shape \[1, 8, 8\]"),
        ("Mixing", "answers an example otherwise when others are beside it"),
        ("Needy", "needs depth, which nobody knows here.*outputs .or ways."),
        ("net", "is a network that is built already.*a function that returns it"),
        ("number", "is of type int"),
        ("no_network", "returns int; it must return an nn.Module"),
        ("dropped", "'0' is Dropout with rate 0.5"),
        ("Nat", "has no 'Nat'"),
        ("Mute", r"^Mute has no method forward\(self, x\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(name, said):
    with pytest.raises(InputError, match=said) as caught:
        made(name)
    assert "\n" not in str(caught.value)


def test_a_network_that_is_not_there_or_not_allowed_is_refused():
    with pytest.raises(InputError, match="--allow tests"):
        run_with("Sized", context=Context())
    with pytest.raises(InputError, match=r"no network 'conv5': choose auto, .*did you mean 'conv4'"):
        build(replace(small("maml"), network=NetworkOptions(network="conv5")))


def test_files_name_no_factory_of_this_package():
    with pytest.raises(InputError, match="makes no network"):
        ModuleWith(classification, (("logits", 1), ("y", 2)))  # pyright: ignore[reportArgumentType]


def test_heads_are_made_for_its_features():
    learner: Any = run_with("maybe", "relation").learner
    assert learner.encoder.arguments and learner.relation.inputs == 2 * 11


def test_every_verb_takes_a_run_of_it(tmp_path, capsys):
    run = tmp_path / "run"
    run_with("Sized").meta_train(run)
    few = ["--episodes", "4", "--queries", "2", "--no-baselines"]
    for verb in (["test", str(run), *few], ["compare", str(run), *few], ["audit", str(run), "--plans", "vmap"]):
        assert main(verb) == 2 and "--allow tests" in capsys.readouterr().err
        assert main([*verb, "--allow", "tests"]) == 0
    page = (run / "report.html").read_text()
    assert "--network tests.runs.own:Sized" in page and "--allow tests" in page


def test_a_run_made_in_python_has_its_report_and_test(tmp_path, capsys):
    sampler, run = EpisodeSampler(pool=digits().train, ways=3, shots=1, queries=2), tmp_path / "run"
    config = TrainConfig(steps=1, meta_batch_size=2, validate_every=1, plan="loop")
    learner = MAML(model=made("Sized"))
    meta_train(learner, sampler, config, run, replace(sampler, pool=digits().validation, ways=2))
    assert load(run, "tests")[0] == learner
    page = report(run, MINE)
    assert page is not None and page.is_file()
    few = ["--data", "digits", "--ways", "3", "--allow", "tests"]
    assert main(["test", str(run), *few, "--episodes", "4"]) == 0
    assert main(["audit", str(run), *few, "--plans", "vmap"]) == 0
