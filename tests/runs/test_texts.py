"""The fifth kind: a table of texts, or a data set of intents, trains."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from innerloop import encoders, problems
from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.nn.mlp import MLP
from innerloop.nn.residual import Residual
from innerloop.problems.texts import TextClasses
from innerloop.runs import build, defaults
from innerloop.tasks import texts
from innerloop.tasks.texts import splits

WORDS = ("card", "cash", "rate", "lost", "send", "stop", "open")
FAST = ["--steps", "2", "--ways", "2", "--queries", "1", "--train-ways", "2", "--plan", "loop", "--width", "8"]


class Letters:
    """Counts letters: an encoder that needs no package."""

    kind, features = "texts", 26

    def encode(self, examples):
        rows = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in examples]
        return torch.tensor(rows, dtype=torch.float32)


@pytest.fixture(autouse=True)
def letters(monkeypatch, tmp_path):
    about = SimpleNamespace(KIND="texts", ABOUT="letters", PACKAGE="json", EXTRA="", CALIBRATION=None)
    there, real = encoders.names(), encoders.about
    monkeypatch.setattr(encoders, "names", lambda: there | {"letters": "letters"})
    monkeypatch.setattr(encoders, "about", lambda name: about if name == "letters" else real(name))
    monkeypatch.setattr(encoders, "named", lambda name: Letters())
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "intents.csv"
    lines = [f'"{word} {i}, please",{word}' for word in WORDS for i in range(4)]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def test_a_table_of_texts_trains_is_tested_and_taught(table, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["--data", str(table), "--encoder", "letters", *FAST, "--out", str(run)]
    assert main(["train", "protonet", *words]) == 0
    record = json.loads((run / "config.json").read_text())["record"]
    assert record["encoder"] == "letters" and record["dataset"] == "intents" and record["shape"] == [26]
    capsys.readouterr()
    assert main(["test", str(run), "--ways", "1", "--queries", "2", "--episodes", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["metric"] == "accuracy"
    assert main(["adapt", str(run), str(table), "--out", str(tmp_path / "task.fewshot")]) == 0
    (tmp_path / "ask.txt").write_text("where is my cash\n")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "task.fewshot"), str(tmp_path / "ask.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] in WORDS


def test_learners_that_it_suits_begin_with_a_map_of_the_rows(table):
    def network(name, **changes):
        usual = defaults(name, str(table))
        options = replace(
            usual,
            task=replace(usual.task, encoder="letters", ways=2, shots=1, queries=1, train_shots=1),
            network=replace(usual.network, **changes),
        )
        return vars(build(options).learner)["model" if name == "maml" else "encoder"]

    assert network("protonet") == network("r2d2") == Residual(inputs=26)
    assert network("maml") == Residual(inputs=26, outputs=2)
    assert network("protonet", map_rank=3) == Residual(inputs=26, rank=3)
    assert network("siamese") == MLP(inputs=26, hidden=(256, 256), outputs=256)
    assert network("viml") == MLP(inputs=26, hidden=(32,), outputs=32, activation="elu"), "it writes rows, too"
    assert network("viml", network="residual") == network("viml")


@pytest.fixture
def two_data_sets(monkeypatch):
    """Both with classes of three splits, which scheme 2 cuts otherwise; one class is called the same in both."""

    def module(dataset):
        def read(root, scheme):
            names = ["both", *(f"{dataset} {letter}" for letter in "abcde")]
            names = names[4:] + names[:4] if scheme == "2" else names
            labels = [tuple(name for name in names[k : k + 2] for _ in "xyz") for k in (0, 2, 4)]
            parts = [texts.Texts(tuple(f"{c} {i}" for i, c in enumerate(part)), part) for part in labels]
            return splits.TextSplits(dataset, *parts)

        return SimpleNamespace(read=read)

    monkeypatch.setattr(texts, "module", module)


def test_data_sets_are_joined_with_plus_signs(two_data_sets):
    joined = texts.load("banking77+clinc150")
    assert joined.dataset == "banking77+clinc150" and joined.train.groups["clinc150 a"] == "clinc150"
    assert set(joined.train.labels) == {"both (banking77)", "banking77 a", "both (clinc150)", "clinc150 a"}
    assert joined.train.labels[0] == "both (banking77)" and joined.train.texts[-1] == "clinc150 a 5"
    assert texts.parts("banking77+banking77") == texts.parts("banking77+omniglot") == []


@pytest.mark.parametrize("data", ["clinc150", "banking77+clinc150"])
def test_what_joined_data_sets_trained_is_not_tested_on(data, two_data_sets):
    trained = TextClasses(data="banking77+clinc150", encoder="letters", split_scheme="2", ways=2)
    record = {"task": vars(trained)} | trained.record(trained.load(Context()))
    tested = TextClasses(data=data, encoder="letters", ways=2, queries=2)
    sampler = tested.unseen(record, Context(), "test", 0)
    assert sampler.describe()["dataset"] == data, "in the split scheme of the training"
    with pytest.raises(InputError, match="were trained on, such as"):
        replace(tested, split_scheme="1").unseen(record, Context(), "test", 0)


def test_jsonl_gives_the_same_rows(table, tmp_path):
    lines = [json.dumps({"label": w, "text": f"{w} {i}, please"}) for w in WORDS for i in range(4)]
    (tmp_path / "intents.jsonl").write_text("\n".join(lines))
    first, second = (
        TextClasses(data=str(path), encoder="letters").load(Context()) for path in (table, tmp_path / "intents.jsonl")
    )
    for a, b in zip(first.pools().values(), second.pools().values(), strict=True):
        assert torch.equal(a.data, b.data) and a.names == b.names
    assert sum(map(len, first.pools().values())) == len(WORDS)


@pytest.mark.parametrize(
    "content, message",
    [
        ("text,label\n", "holds no example below its header"),
        ("text,label\na,x\nb,\n", "line 3: the label is empty"),
        ("text,label\n,x\n", "line 2: the text is empty"),
        ("words,meaning\na,x\n", "must name the columns text and label"),
        ("text,label\na,x\nb,x\nc,y\n", "class 'y' has 1 text"),
        ("text,label\na,x\nb,x\n", "1 classes cannot be cut"),
    ],
)
def test_a_table_that_cannot_be_trained_on(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        texts.load(str(path))


def test_what_does_not_apply_to_texts(table):
    with pytest.raises(InputError, match="'efficientnet-lite0' is no encoder of texts: choose "):
        TextClasses(data=str(table), encoder="efficientnet-lite0").load(Context())
    with pytest.raises(InputError, match="split in one way only"):
        TextClasses(data=str(table), encoder="letters", split_scheme="2").load(Context())
    with pytest.raises(InputError, match="which texts are not"):
        TextClasses(data=str(table), unsupervised=True).check()
    with pytest.raises(InputError, match="cannot read"):
        texts.load("nothing.csv")
    assert problems.kind_of("nothing.csv") is TextClasses


@pytest.mark.parametrize("name, classes, sizes", [("clinc150", 150, (50, 50, 50)), ("banking77", 77, (25, 25, 27))])
def test_the_published_splits_are_read(data_root, name, classes, sizes):
    seen = set()
    schemes = [texts.load(name, data_root, scheme) for scheme in splits.SCHEMES]
    for parts in schemes:
        names = [set(part.labels) for part in (parts.train, parts.validation, parts.test)]
        assert tuple(map(len, names)) == sizes and len(set.union(*names)) == classes
        seen.add(frozenset(names[2]))
    assert len(seen) == 5, "five different splits"
    last = schemes[-1]
    assert sum(len(part.texts) for part in (last.train, last.validation, last.test)) in (22500, 13083)
    with pytest.raises(InputError, match="no split scheme '6': choose 1, 2, 3, 4, 5"):
        texts.load(name, data_root, "6")


def test_data_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"there is no data_full.json in .*; get it from https"):
        texts.load("clinc150", tmp_path)
    (tmp_path / "data_full.json").write_text("{}")
    with pytest.raises(InputError, match="is not CLINC150 as published"):
        texts.load("clinc150", tmp_path)


def test_classes_of_a_list_must_exist(tmp_path):
    whole = texts.Texts(("a", "b", "c"), ("x", "y", "z"))
    for end, name in (("train", "x"), ("valid", "y"), ("test", "w")):
        (tmp_path / f"01.{end}.txt").write_text(name)
    with pytest.raises(InputError, match="names 'w', which is no class of toy"):
        splits.by_lists("toy", whole, tmp_path, None)
    (tmp_path / "01.test.txt").unlink()
    with pytest.raises(InputError, match="which cannot be read"):
        splits.by_lists("toy", whole, tmp_path, "1")
