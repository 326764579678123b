"""Programs written for learn2learn, run with it or with `innerloop.compat.learn2learn`: the same losses?

`python -m benchmarks.switching`, inside the benchmarks' environment, runs them with learn2learn 0.2.0 itself and
writes what they find to tests/compat/learn2learn.json, which the tests compare with. Programs take learn2learn as an
argument; its own examples are read from tests/compat/examples.
"""

import contextlib
import importlib
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.peers.past import past

TESTS = Path(__file__).parents[1] / "tests" / "compat"
PLACE = TESTS / "learn2learn.json"
EXAMPLES = TESTS / "examples"
Results = dict[str, list[Any]]
"""What a program results, by what it is."""


def learn2learn() -> Any:
    """learn2learn 0.2.0 itself, without its parts that need gym and torchvision.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    packages = [f"learn2learn{name}" for name in ("", ".algorithms", ".vision", ".vision.models", ".nn")]
    past(*packages)
    l2l, algorithms, vision, models, own_nn = (sys.modules[name] for name in packages)
    parts = {name: importlib.import_module(f"learn2learn.{name}") for name in ("utils", "nn.misc")}
    vars(own_nn).update({k: v for k, v in vars(parts["nn.misc"]).items() if not k.startswith("_")})
    vars(l2l).update(nn=own_nn, algorithms=algorithms, vision=vision)
    vars(l2l).update({k: v for k, v in vars(parts["utils"]).items() if not k.startswith("_")})
    importlib.import_module("learn2learn.data")
    vars(vision)["models"] = models
    for package, module in ((algorithms, "maml"), (algorithms, "meta_sgd"), (models, "cnn4")):
        results = importlib.import_module(f"{package.__name__}.{module}")
        vars(package).update({k: v for k, v in vars(results).items() if not k.startswith("_")})
    return l2l


def sinusoids(l2l: Any, dtype: torch.dtype, algorithm: str = "MAML", first_order: bool = False) -> Results:
    """Ten meta-steps with Adam on sinusoids, three inner steps."""
    draws = np.random.RandomState(0)
    model = filled(nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)), draws)
    learner = getattr(l2l.algorithms, algorithm)(model.to(dtype), lr=0.02, first_order=first_order)
    optimizer, loss = torch.optim.Adam(learner.parameters(), 0.003), nn.MSELoss()
    losses: list[float] = []
    for _ in range(10):
        total = torch.zeros((), dtype=dtype)
        for _ in range(4):
            x = draws.uniform(-5, 5, (20, 1))
            y = draws.uniform(0.1, 5) * np.sin(x - draws.uniform(0, np.pi))
            x, y = torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)
            task = learner.clone()
            for _ in range(3):
                task.adapt(loss(task(x[::2]), y[::2]))
            total = total + loss(task(x[1::2]), y[1::2])
        losses.append(total.item() / 4)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return {"losses": losses}


def pictures(l2l: Any, dtype: torch.dtype, first_order: bool = False) -> Results:
    """Thirty meta-steps of convolutions and batch norms whose statistics run, two inner steps; SGD outside.

    By Adam, biases before a norm, whose gradient is rounding, would take full steps, and statistics would follow.
    """
    draws = np.random.RandomState(1)
    model = filled(l2l.vision.models.OmniglotCNN(5, hidden_size=8, layers=3), draws).to(dtype)
    learner = l2l.algorithms.MAML(model, lr=0.1, first_order=first_order)
    optimizer, loss = torch.optim.SGD(learner.parameters(), 0.01, momentum=0.9), nn.CrossEntropyLoss()
    losses: list[float] = []
    for _ in range(30):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(2):
            centres = draws.uniform(size=(5, 1, 28, 28))
            noise = [torch.tensor(centres + 0.3 * draws.standard_normal(centres.shape), dtype=dtype) for _ in range(2)]
            y, task = torch.arange(5), learner.clone()
            for _ in range(2):
                task.adapt(loss(task(noise[0]), y))
            error = loss(task(noise[1]), y)
            error.backward()
            total += error.item()
        losses.append(total / 2)
        for p in learner.parameters():
            p.grad.mul_(0.5)
        optimizer.step()
    buffers = {k: v for k, v in model.state_dict().items() if "running" in k or "tracked" in k}
    return {"losses": losses} | {k: v.flatten().tolist() for k, v in buffers.items()}


def tasks(l2l: Any) -> Results:
    """Which examples tasks have, and under which labels, from one seed."""
    make, dataset = l2l.data.transforms, l2l.data.MetaDataset(Numbers(7, 6))
    some = l2l.data.FilteredMetaDataset(dataset, [6, 1, 4, 2])
    both = l2l.data.UnionMetaDataset([dataset, some])
    end = [make.LoadData, make.RemapLabels, make.ConsecutiveLabels]
    results: Results = {}
    for name, data, start in (
        ("ways, then shots", dataset, [make.NWays(dataset, 3), make.KShots(dataset, 2)]),
        ("fused", dataset, [make.FusedNWaysKShots(dataset, n=3, k=2)]),
        ("of some labels", dataset, [make.FusedNWaysKShots(dataset, n=2, k=2, filter_labels=[5, 3, 1])]),
        ("filtered", dataset, [make.KShots(dataset, 2), make.FilterLabels(dataset, [5, 3, 1])]),
        ("with replacement", dataset, [make.NWays(dataset, 2), make.KShots(dataset, 8, replacement=True)]),
        ("fused, with replacement", dataset, [make.FusedNWaysKShots(dataset, n=2, k=8, replacement=True)]),
        ("of a part", some, [make.FusedNWaysKShots(some, n=3, k=2)]),
        ("of a union", both, [make.NWays(both, 4), make.KShots(both, 1)]),
        ("everything", dataset, []),
    ):
        random.seed(3)
        taskset = l2l.data.Taskset(data, [*start, *(step(data) for step in end)], num_tasks=4)
        drawn = [taskset.sample() for _ in range(3)] + list(taskset)
        results[name] = [[x.flatten().tolist(), y.tolist()] for x, y in drawn]
    x, y = torch.arange(6.0)[:, None], torch.tensor([4, 2, 4, 2, 4, 2])
    parts = [part for pair in l2l.data.partition_task(x, y, shots=1) for part in pair]
    return results | {"partitioned": [part.flatten().tolist() for part in parts]}


def networks(l2l: Any) -> Results:
    """Names, shapes and sums of initial weights, and outputs; and names in the state dicts of wrapped ones."""
    results: Results = {}
    models = l2l.vision.models
    for name, make, shape in (
        ("OmniglotFC", lambda: models.OmniglotFC(28**2, 5, [12, 8]), (3, 1, 28, 28)),
        ("OmniglotCNN", lambda: models.OmniglotCNN(5, hidden_size=6), (3, 28, 28)),
        ("CNN4", lambda: models.CNN4(5, hidden_size=4), (3, 3, 84, 84)),
        ("CNN4 of 2 layers", lambda: models.CNN4(5, hidden_size=4, layers=2, channels=1), (3, 1, 84, 84)),
    ):
        np.random.seed(5)
        torch.manual_seed(5)
        network = make()
        x = torch.tensor(np.random.RandomState(6).uniform(size=shape), dtype=torch.float32)
        state = network.state_dict()
        results[name] = [[k, list(v.shape), float(v.double().sum())] for k, v in state.items()]
        results[f"{name}'s outputs"] = network(x).tolist()
        for algorithm in ("MAML", "MetaSGD"):
            results[f"{algorithm} of {name}"] = list(getattr(l2l.algorithms, algorithm)(network, lr=0.1).state_dict())
    return results


def examples(l2l: Any, name: str, text: str, torchmeta: str) -> Results:
    """Every loss that one of learn2learn's own example programs computes, on few tasks.

    Args:
        l2l: learn2learn, or what its import was changed to.
        name: `maml_sine` or `maml_omniglot`.
        text: The program.
        torchmeta: The module that stands for torchmeta.
    """
    toy: Any = importlib.import_module(f"{torchmeta}.toy")
    names: dict[str, Any] = {"__name__": name}
    with losses() as noted:
        exec(compile(text, name, "exec"), names)
        torch.manual_seed(7)
        if name == "maml_sine":
            seeded = toy.Sinusoid(num_samples_per_task=20, num_tasks=32)
            seeded.seed(7)
            names["Sinusoid"] = lambda **_: seeded
            names["main"](num_tasks=32)
        else:
            with pictured(l2l):
                names["main"](meta_batch_size=4, num_iterations=3, cuda=False)
    return {"losses": noted}


@contextlib.contextmanager
def losses() -> Iterator[list[float]]:
    """What the losses of torch return inside."""
    results: list[float] = []
    kinds = ("MSELoss", "CrossEntropyLoss")
    before = {kind: getattr(nn, kind) for kind in kinds}

    def noted(kind: type[nn.Module]) -> type[nn.Module]:
        class Noted(kind):
            def forward(self, *args: Any, **kwargs: Any) -> Tensor:
                loss: Tensor = super().forward(*args, **kwargs)
                results.append(loss.item())
                return loss

        return Noted

    try:
        for kind, original in before.items():
            setattr(nn, kind, noted(original))
        yield results
    finally:
        for kind, original in before.items():
            setattr(nn, kind, original)


@contextlib.contextmanager
def pictured(l2l: Any) -> Iterator[None]:
    """Inside, the tasks of `get_tasksets` are of pictures of noise, drawn by the library's own classes."""
    draws = np.random.RandomState(8)
    dataset = l2l.data.MetaDataset(Pictures(draws))
    make = l2l.data.transforms

    def get_tasksets(name: str, train_ways: int, train_samples: int, **_: Any) -> Any:
        results = ModuleType(name)
        for split in ("train", "validation", "test"):
            steps = [make.FusedNWaysKShots(dataset, n=train_ways, k=train_samples)]
            steps += [step(dataset) for step in (make.LoadData, make.RemapLabels, make.ConsecutiveLabels)]
            vars(results)[split] = l2l.data.Taskset(dataset, steps)
        return results

    place = vars(l2l.vision).setdefault("benchmarks", ModuleType("benchmarks"))
    before = vars(place).get("get_tasksets")
    vars(place)["get_tasksets"] = get_tasksets
    try:
        yield
    finally:
        vars(place)["get_tasksets"] = before


class Numbers(Dataset[Any]):
    """Examples are their own numbers; labels take turns."""

    def __init__(self, classes: int, instances: int):
        self.classes, self.count = classes, classes * instances

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([float(index)]), index % self.classes


class Pictures(Dataset[Any]):
    """Twelve classes of six noisy pictures."""

    def __init__(self, draws: np.random.RandomState):
        centres = draws.uniform(size=(12, 1, 1, 28, 28))
        noisy = centres + 0.2 * draws.standard_normal((12, 6, 1, 28, 28))
        self.pictures = torch.tensor(noisy, dtype=torch.float32).flatten(0, 1)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], index // 6


def filled(module: nn.Module, draws: np.random.RandomState) -> nn.Module:
    """The module with weights that no version of torch draws otherwise."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            values = draws.standard_normal(tuple(p.shape)) / np.sqrt(p[0].numel())
            p.copy_(torch.tensor(values if p.ndim > 1 else 0.1 * values + float(name.endswith("normalize.weight"))))
    return module


def _programs(dtype: torch.dtype, name: str) -> dict[str, Callable[[Any], Results]]:
    return {
        f"sinusoids, MAML, {name}": lambda l2l: sinusoids(l2l, dtype),
        f"sinusoids, MAML, first order, {name}": lambda l2l: sinusoids(l2l, dtype, first_order=True),
        f"sinusoids, Meta-SGD, {name}": lambda l2l: sinusoids(l2l, dtype, "MetaSGD"),
        f"sinusoids, Meta-SGD, first order, {name}": lambda l2l: sinusoids(l2l, dtype, "MetaSGD", True),
        f"pictures, MAML, {name}": lambda l2l: pictures(l2l, dtype),
        f"pictures, MAML, first order, {name}": lambda l2l: pictures(l2l, dtype, first_order=True),
    }


PROGRAMS: dict[str, Callable[[Any], Results]] = {
    **_programs(torch.float64, "float64"),
    **_programs(torch.float32, "float32"),
    "tasks": tasks,
    "networks": networks,
}
"""Programs by name; all but the examples."""


def text_of(name: str) -> str:
    """An example program, as learn2learn 0.2.0 has it."""
    return (EXAMPLES / f"{name}.py.txt").read_text(encoding="utf-8")


def main() -> None:
    """Write what learn2learn finds."""
    l2l = learn2learn()
    torch.set_num_threads(1)
    results: dict[str, Any] = {name: program(l2l) for name, program in PROGRAMS.items()}
    compat = "innerloop.compat.torchmeta"
    for module in ("", ".toy", ".utils", ".utils.data"):
        sys.modules[f"torchmeta{module}"] = importlib.import_module(f"{compat}{module}")
    for name in ("maml_sine", "maml_omniglot"):
        results[name] = examples(l2l, name, text_of(name), compat)
    versions = {"learn2learn": "0.2.0", "torch": torch.__version__, "numpy": np.__version__}
    versions["command"] = "python -m benchmarks.switching"
    text = json.dumps({"made": versions} | results, separators=(",", ":"))
    PLACE.write_text(text.replace("],[", "],\n[").replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main()
