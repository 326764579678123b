"""Tables as people have them: whatever wrote them, the same rows come out, or one message that lists the columns."""

import datetime
import io
import json
import zipfile
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.tasks import sheets
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.encodings import lines
from innerloop.tasks.tables import Row, rows
from innerloop.tasks.texts.splits import read_table

GOOD = [("Where is my card?", "arrival"), ("It has not come yet", "arrival"), ("The rate is wrong", "rate")] * 2


def read(content, name="t.csv", kind="texts", labels: bool | None = True, **options):
    """Examples and labels, and what was said."""
    said: list[str] = []
    content = content.encode() if isinstance(content, str) else content
    table = rows(io.BytesIO(content), name, kind, TableOptions(**options), labels, say=said.append)
    return [(row.example, row.label) for row in table], said


def csv(pairs=GOOD, header="text,label", separator=","):
    return "".join(f"{line}\n" for line in [header, *(f"{text}{separator}{label}" for text, label in pairs)])


@pytest.mark.parametrize(
    "header", ["text,label", "text,category", "Frage,Absicht", "question,intent", "sentence,label", " Text , Label "]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_known_by_their_names_or_by_what_they_hold(header, separator):
    content = csv(header=header.replace(",", separator), separator=separator)
    assert read(content) == (GOOD, [])
    turned = [(label, text) for text, label in GOOD]
    content = csv(turned, separator.join(reversed(header.split(","))), separator)
    assert read(content, "t.tsv" if separator == "\t" else "t.csv") == (GOOD, [])


def test_further_columns_are_passed_over():
    content = "id,question,score,category\n" + "".join(f"{i},{t},0.5,{c}\n" for i, (t, c) in enumerate(GOOD))
    content = content.replace("0.5", "0.25")
    assert read(content)[0] == GOOD
    assert [text for text, _ in read(content, labels=False)[0]] == [text for text, _ in GOOD]


def test_what_cannot_be_told_is_asked_for_with_all_columns_listed():
    content = "id,question,category,split\n" + "".join(f"{i},{t},{c},train\n" for i, (t, c) in enumerate(GOOD))
    with pytest.raises(InputError, match=r"'id', 'question', 'category', 'split'.*classes.*--label-column"):
        read(content)
    assert read(content, label_column="Category")[0] == GOOD
    result, said = read(content, labels=None)
    assert result == [(text, None) for text, _ in GOOD]
    fault = "t.csv is read without classes: none of its columns is certain to hold them"
    assert said == [f"{fault}, 'id', 'question', 'category', 'split'"]
    two = "title,body,label\n" + "".join(f"{t} {i},{t} again {i},{c}\n" for i, (t, c) in enumerate(GOOD))
    with pytest.raises(InputError, match=r"'title', 'body', 'label'.*the examples.*--text-column"):
        read(two)
    assert read(two, text_column="title")[0][0] == ("Where is my card? 0", "arrival")
    with pytest.raises(InputError, match=r"no column 'titel' \(--text-column\): it has 'title', 'body', 'label'"):
        read(two, text_column="titel")
    with pytest.raises(InputError, match="name two columns"):
        read(two, text_column="label")
    with pytest.raises(InputError, match="which of them holds the classes"):
        read("text\nhello there\n")


def test_a_header_that_is_missing_is_no_header():
    with pytest.raises(InputError, match=r"first line must name the columns, and 'Where is my card\?'"):
        read(csv(header="Where is my card?,arrival"))
    with pytest.raises(InputError, match=r"and 'rate' seems to be an example"):
        read(csv(header="my rate please,rate"))


TEXTS = {
    "german": [("Wo ist die Größe? Für Käufer", "Größe"), ("Grüße, so", "Größe"), ("Über uns", "weiß")],
    "portuguese, loud": [("FAÇA A AÇÃO", "AÇÃO"), ("NÃO É ISSO", "AÇÃO"), ("ATÉ JÁ", "FIM")],
    "quotes": [("it’s “fine”, €5", "fine"), ("it’s off", "off")],
    "chinese": [("我的卡在哪里", "卡"), ("请退款给我", "退款"), ("ABC 卡 and 退款", "卡")],
    "chinese labels": [("1 2", "是"), ("3 4", "否")],
    "japanese": [("カードはどこですか", "カード"), ("返金してください", "返金")],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "cp1252"])
@pytest.mark.parametrize("what", TEXTS)
def test_encodings_are_seen_and_said(what, encoding):
    pairs = TEXTS[what]
    western = what in ("german", "portuguese, loud", "quotes")
    if encoding in ("gb18030", "cp1252") and western != (encoding == "cp1252"):
        return
    content = csv([(f'"{text}"', label) for text, label in pairs]).encode(encoding)
    result, said = read(content)
    assert result == pairs
    title = {"utf": "UTF-16", "gb1": "GB18030", "cp1": "Windows-1252"}[encoding[:3]]
    assert [title in line and "t.csv is read as" in line for line in said] == [True] * (
        not encoding.startswith("utf-8")
    )
    named = "utf-16" if encoding == "utf-16" else encoding
    assert read(content, encoding=named) == (pairs, [])


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", "привет как дела"), ("shift_jis", "質問があります"), ("cp1253", "καλημέρα σας")]
)
def test_an_encoding_that_is_none_of_these_is_asked_for(encoding, text):
    content = csv([(text, "a"), (text, "b")]).encode(encoding)
    with pytest.raises(InputError, match=r"t\.csv is in none of UTF-8.*--encoding"):
        read(content)
    assert read(content, encoding=encoding)[0] == [(text, "a"), (text, "b")]


@pytest.mark.parametrize("encoding", ["utf8x", "base64", "punycode", "unicode_escape", "rot13", "a\0b", "zip", "idna"])
def test_an_encoding_that_does_not_exist_is_one_message(encoding):
    with pytest.raises(InputError, match="there is no encoding"):
        read(csv(), encoding=encoding)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 65_536])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_lines_do_not_depend_on_how_they_come(size, encoding):
    class Drip(io.RawIOBase):
        def __init__(self, content):
            self.content = content

        def readable(self):
            return True

        def readinto(self, buffer):
            part, self.content = self.content[:size], self.content[size:]
            buffer[: len(part)] = part
            return len(part)

    text = "text,label\r\n我的卡,卡\n请退款 now,退款\rend\n"
    said: list[str] = []
    drip = io.BufferedReader(Drip(text.encode(encoding)), 8)
    assert [*lines(drip, "it", encoding if size < 5 else None, said.append)] == text.splitlines(keepends=True)


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "standard input", "t.ndjson"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_lists_and_lines(name, indent):
    objects = [{"text": text, "label": label} for text, label in GOOD]
    if indent is None:
        assert read("\n".join(map(json.dumps, objects)), name) == (GOOD, [])
    if "l" not in Path(name).suffix and "nd" not in Path(name).suffix:
        assert read(json.dumps(objects, indent=indent), name) == (GOOD, [])
    utterances = [{"utterance": text, "intent": label} for text, label in GOOD]
    if name == "t.json":
        assert read(json.dumps(utterances, indent=indent), name) == (GOOD, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no list of objects"),
        ('"a"', "is no list of objects"),
        ("[", "t.json is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must name the columns"),
        ('[{"text": "a", "label": "b"}, 3]', "entry 2 is not an object"),
        ('[{"text": "a", "label": "b"}, {"text": "c"}]', "entry 2 has no 'label'"),
        ('{"text": ["a"],\n "label": ["b"]}', "line 1 is not JSON"),
    ],
)
def test_what_is_wrong_in_json_is_said_with_its_place(content, said):
    with pytest.raises(InputError, match=said):
        read(content, "t.json")


def test_whole_numbers_and_features_come_from_json():
    assert read('[{"features": [1, 2.5], "label": 3}]', "t.json", "features")[0] == [([1, 2.5], 3)]
    assert read('[{"vector": [1, 2], "class": 0}, {"vector": [1, 3], "class": 0}]', "t.json", "features")[0] == [
        ([1, 2], 0),
        ([1, 3], 0),
    ]


def test_rows_that_hold_nothing_are_counted_and_said():
    assert read("text,label\n,\na,b\n , \n\nc,d\n") == ([("a", "b"), ("c", "d")], ["2 empty rows of t.csv left out"])


def test_banking77_is_read_as_it_is(data_root):
    whole = read_table(data_root / "banking77" / "train.csv")
    assert len(whole.texts) == 10_003 and len(set(whole.labels)) == 77
    assert whole == read_table(data_root / "banking77" / "train.csv", TableOptions(label_column="category"))


def excel(cells, **more):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed: pip install 'innerloop[tables]'")
    book = openpyxl.Workbook()
    for row in cells:
        book.active.append(row)
    for place, form in more.items():
        book.active[place].number_format = form
    book.create_sheet("second").append(["text", "label"])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_excel_cells_are_what_they_look_like(tmp_path):
    content = excel(
        [
            ["text", "label"],
            ["one two", 1],
            ["three", 2.0],
            [None, None],
            ["four", "=1+1"],
            [5, 1.5],
            ["six", True],
            ["seven", datetime.datetime(2024, 1, 5)],
            ["eight", 7],
            ["", " "],
        ],
        B9="000",
    )
    with pytest.raises(InputError, match=r"t.xlsx, row 5: the label is empty"):  # a formula that nothing computed
        read_table(write(tmp_path / "t.xlsx", content))
    result, said = read(content, "t.xlsx")
    labels = [label for _, label in result]
    assert labels == ["1", "2", None, "1.5", "TRUE", "2024-01-05", "007"]
    assert [text for text, _ in result] == ["one two", "three", "four", "5", "six", "seven", "eight"]
    assert said == ["2 empty rows of t.xlsx left out"]


def test_excel_is_known_by_its_name_or_its_beginning():
    content = excel([[None, "Frage", "Absicht"], *((i, *pair) for i, pair in enumerate(GOOD))])
    assert read(content, "t.xlsx") == (GOOD, []) and read(content, "standard input") == (GOOD, [])


def test_excel_that_cannot_be_read_is_one_message(monkeypatch):
    pytest.importorskip("openpyxl", reason="openpyxl is not installed: pip install 'innerloop[tables]'")
    for content in (b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0 an old .xls"):
        with pytest.raises(InputError, match=r"t\.xlsx is no Excel"):
            read(content, "t.xlsx")
    with pytest.raises(InputError, match="is empty"):
        read(excel([]), "t.xlsx")
    with pytest.raises(InputError, match=r"row 2 holds #N/A, an error of Excel"):
        read(excel([["text", "label"], ["a", "#N/A"]]), "t.xlsx")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b" " * (sheets._UNPACKED + 1))
    with pytest.raises(InputError, match=r"unpacks to 100,000,001 bytes"):
        read(bomb.getvalue(), "t.xlsx")
    # A few bytes may claim a row that lies a billion below, and a sheet that is as wide as can be.
    monkeypatch.setattr(sheets, "_ROWS", 1_000)
    far = rewritten(excel([["text", "label"], ["a", "b"]]), b'r="2"', b'r="999999999"')
    with pytest.raises(InputError, match="more than 1,000 rows"):
        read(far, "t.xlsx")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def rewritten(book, old, new):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as archive, zipfile.ZipFile(out, "w") as copy:
        for entry in archive.infolist():
            content = archive.read(entry)
            copy.writestr(entry, content.replace(old, new) if "sheet1" in entry.filename else content)
    return out.getvalue()


def parquet(**columns):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'innerloop[tables]'")
    from pyarrow import parquet as writer

    out = io.BytesIO()
    writer.write_table(arrow.table(columns), out)
    return out.getvalue()


def test_parquet_that_is_a_bomb_is_refused(monkeypatch):
    content = parquet(text=["a b" * 1_000] * 10, label=["c"] * 10)
    monkeypatch.setattr(sheets, "_HELD", 10)
    with pytest.raises(InputError, match=r"t\.parquet unpacks to .* and 10 is most"):
        read(content, "t.parquet")
    monkeypatch.setattr(sheets, "_RECORDS", 9)
    with pytest.raises(InputError, match="holds 10 records, and 9 is most"):
        read(content, "t.parquet")


def test_parquet():
    texts, labels = zip(*GOOD, strict=True)
    content = parquet(utterance=texts, intent=labels, number=range(len(GOOD)))
    assert read(content, "t.parquet") == (GOOD, []) and read(content, "standard input") == (GOOD, [])
    whole = parquet(text=["a", "b", None], label=[1.0, 2.0, None])
    assert read(whole, "t.parquet") == ([("a", 1), ("b", 2)], ["1 empty row of t.parquet left out"])
    assert read(parquet(features=[[1.0, 2.5]], label=[0]), "t.parquet", "features")[0] == [([1.0, 2.5], 0)]
    with pytest.raises(InputError, match=r"t\.parquet is no Parquet file"):
        read(content[:-20], "t.parquet")


@pytest.mark.parametrize(("name", "package"), [("t.xlsx", "openpyxl"), ("t.parquet", "pyarrow")])
def test_a_package_that_is_missing_is_named(name, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=rf"{name} needs {package}: pip install 'innerloop\[tables\]'"):
        read(b"anything", name)


def test_a_row_says_where_it_stands():
    table = rows(io.BytesIO(b'text,label\n\n"a\nb",c\nd,e\n'), "t.csv", "texts")
    assert [*table] == [Row("line 3", "a\nb", "c"), Row("line 5", "d", "e")]
