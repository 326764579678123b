"""A table through Python, the command line, training and HTTP: the same rows, or the same message."""

import json
import warnings
from dataclasses import asdict

import pytest

from innerloop.cli.main import main
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.examples import labelled
from innerloop.service.limits import Limits
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.texts.splits import read_table
from tests.service.served import PLAIN, WORDS, serving
from tests.tasks.test_tables import GOOD, TEXTS, csv, excel, parquet

QUOTED = {name: [(f'"{text}"', label) for text, label in pairs * 2] for name, pairs in TEXTS.items()}
ODD = {
    "banking.csv": lambda: (csv(header="text,category").encode(), {}),
    "german.csv": lambda: (csv(QUOTED["german"], "Frage;Absicht", ";").encode("cp1252"), {}),
    "chinese.tsv": lambda: (csv(QUOTED["chinese"], "文本\t标签", "\t").encode("gb18030"), {}),
    "windows.csv": lambda: (csv(QUOTED["german"]).encode("utf-16"), {}),
    "japanese.csv": lambda: (csv(QUOTED["japanese"]).encode("shift_jis"), {"encoding": "shift_jis"}),
    "list.json": lambda: (json.dumps([{"utterance": t, "intent": c} for t, c in GOOD], indent=1).encode(), {}),
    "lines.jsonl": lambda: ("\n".join(json.dumps({"text": t, "label": c}) for t, c in GOOD).encode(), {}),
    "three.csv": lambda: (
        ("id,text,one,two\n" + "".join(f"{i},{t},{c},x\n" for i, (t, c) in enumerate(GOOD))).encode(),
        {"label_column": "one"},
    ),
    "empty rows.csv": lambda: (b"text,label\n,\n" + csv()[11:].encode(), {}),
    "sheet.xlsx": lambda: (excel([["text", "number"], [None, None], *((t, len(c)) for t, c in GOOD)]), {}),
    "columns.parquet": lambda: (parquet(text=[t for t, _ in GOOD], label=[c for _, c in GOOD]), {}),
}
WRONG = {
    "no label.json": b'[{"text": "a b", "label": null}]',
    "which.csv": b"a,b,c\n1,2,3\n",
    "empty.csv": b"",
    "short.csv": b"text,label\na\n",
    "bytes.csv": csv([("привет как дела", "a")]).encode("cp1251"),
    "broken.json": b'[{"text": 1',
    "broken.xlsx": b"PK\x03\x04",
    "broken.parquet": b"PAR1",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store")) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        yield client


def sent(client, name, content, task="t", **options):
    return client.post(f"/api/tasks/{task}/table", files={"file": (name, content)}, data=options)


@pytest.mark.parametrize("name", ODD)
def test_every_door_reads_the_same_rows(client, tmp_path, name, capsys):
    content, options = ODD[name]()
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        texts, labels = labelled(path, "texts", TableOptions(**options))
    said = [str(one.message).replace(str(path), name) for one in warned]
    answer = sent(client, name, content, **options)
    assert answer.status_code == 200, answer.text
    assert [(one["text"], one["label"]) for one in answer.json()["examples"]] == [*zip(texts, labels, strict=True)]
    assert answer.json()["notices"] == said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = read_table(path, TableOptions(**options))
        assert (trained.texts, trained.labels) == (tuple(texts), tuple(labels))
        words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        task = str(tmp_path / "t.fewshot")
        assert main(["adapt", WORDS, str(path), "--out", task, "--json", "--allow", "tests", *words]) == 0
        shown = json.loads(capsys.readouterr().out)["examples"]
        python = FewShotClassifier.load(WORDS, ("tests",)).fit_folder(path, TableOptions(**options))
        assert shown == python.examples_ == {label: labels.count(label) for label in sorted(set(labels))}
        for one in options:
            assert one in asdict(TableOptions())


@pytest.mark.parametrize("name", WRONG)
def test_every_door_has_the_same_message(client, tmp_path, name, capsys):
    path = tmp_path / name
    path.write_bytes(WRONG[name])
    if "." in name and name.split(".")[1] in ("xlsx", "parquet"):
        pytest.importorskip({"xlsx": "openpyxl", "parquet": "pyarrow"}[name.split(".")[1]], reason="not installed")
    with pytest.raises(InputError) as refused:
        labelled(path, "texts")
    message = str(refused.value).replace(str(path), name)
    assert main(["adapt", WORDS, str(path), "--out", str(tmp_path / "t.fewshot"), "--allow", "tests"]) == 2
    assert message in capsys.readouterr().err.replace(str(path), name)
    answer = sent(client, name, WRONG[name])
    assert answer.status_code == 422
    if name != "which.csv" and name != "empty.csv":  # which need no classes here
        assert answer.json()["error"] == message


def test_lines_and_tables_without_classes(client):
    answer = sent(client, "lines.txt", b"where is it\nhello, world\n").json()
    assert answer == {
        "examples": [
            {"text": "where is it", "features": None, "label": None},
            {"text": "hello, world", "features": None, "label": None},
        ],
        "notices": [],
    }
    answer = sent(
        client, "t.csv", ("id,text,a,b\n" + "".join(f"{i},{t},x,y\n" for i, (t, _) in enumerate(GOOD))).encode()
    )
    assert [one["label"] for one in answer.json()["examples"]] == [None] * len(GOOD)
    assert "read without classes" in answer.json()["notices"][0]


def test_numbers(client):
    client.post("/api/tasks", json={"name": "numbers", "source": PLAIN})
    answer = sent(client, "t.json", b'[{"features": [1, 2.5], "label": 3}]', "numbers")
    assert answer.json()["examples"] == [{"text": None, "features": [1, 2.5], "label": "3"}]


def test_what_is_no_table_is_refused(client, tmp_path):
    assert sent(client, "t.csv", b"text\na\n", foreign="x").status_code == 422
    assert sent(client, "t.csv", b"text\na\n", "nothing").status_code == 404
    assert sent(client, "t.csv", b"text\na\n", encoding="punycode").json()["error"].startswith("there is no encoding")
    assert client.post("/api/tasks/t/table", json={}).status_code == 415
    assert client.post("/api/tasks/t/table", files={"other": ("t.csv", b"")}).status_code == 422


def test_a_table_is_bounded(tmp_path):
    with serving(tmp_path, limits=Limits(examples=3, text=50)) as client:
        client.post("/api/tasks", json={"name": "t", "source": WORDS})
        assert sent(client, "t.csv", b"text\n" + b"a\n" * 3).status_code == 200
        many = sent(client, "t.csv", b"text\n" + b"a\n" * 4)
        assert many.status_code == 413 and "more than 3 examples" in many.json()["error"]
        long = sent(client, "t.csv", b"text\n" + b"a" * 51)
        assert long.status_code == 422 and "51 characters, and 50 is most" in long.json()["error"]


def test_nothing_is_learned_from_a_table_that_is_only_read(client):
    before = client.get("/api/tasks/t").json()
    sent(client, "t.csv", csv().encode())
    assert client.get("/api/tasks/t").json() == before
