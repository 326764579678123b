import sys

import pytest
from torch import nn

from innerloop.core.errors import InputError
from innerloop.core.importing import find, is_import_path, require
from innerloop.core.model import Module
from tests.runs import own

HERE = "tests.runs.own"


def test_what_reads_as_an_import_path():
    assert is_import_path("nets:Net") and is_import_path("a.b:c.d")
    assert not any(map(is_import_path, ("protonet", "a:", ":b", "runs/p:x", "C:\\runs", "a b:c", "a:b:c")))


@pytest.mark.parametrize("name", ["Net", "net", "features"])
def test_a_class_a_function_and_an_object_are_networks(name):
    model = find(f"{HERE}:{name}")
    assert isinstance(model, Module) and set(model.init(0)) == {"1.weight", "1.bias", "3.weight", "3.bias"}


def test_an_object_is_left_as_it_is():
    model = find(f"{HERE}:net")
    assert isinstance(model, Module)
    model.init(0)
    assert all(p.requires_grad for p in own.net.parameters())


def test_a_learner_and_a_model_stay_what_they_are():
    assert find(f"{HERE}:learner") is own.learner
    assert find("innerloop.nn.mlp:MLP") == find("innerloop.nn.mlp:MLP")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:Net", "cannot import 'no_such_module' .ModuleNotFoundError"),
        (f"{HERE}:Nett", "has no 'Nett'; did you mean 'net'"),
        (f"{HERE}:Needy", "needs width, depth: .* `def small"),
        (f"{HERE}:no_network", "returns int"),
        (f"{HERE}:number", "is of type int"),
    ],
)
def test_what_is_no_network_is_refused(path, said):
    with pytest.raises(InputError, match=said):
        find(path)


def test_the_current_directory_is_searched_and_broken_code_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "innerloop_own_fine.py").write_text(
        "from torch import nn\nclass Net(nn.Linear):\n    pass\nn = Net(2, 3)"
    )
    (tmp_path / "innerloop_own_broken.py").write_text("1 / 0")
    model = find("innerloop_own_fine:n")
    assert isinstance(model, Module) and isinstance(model.build(), nn.Linear)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        find("innerloop_own_broken:n")


def test_a_missing_package_is_named():
    with pytest.raises(InputError, match=r"'x' needs an optional package that is not installed: pip install"):
        require("no_such_package", "x", "text")
