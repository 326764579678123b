import gc
import io
import itertools
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from innerloop.core.errors import InputError
from innerloop.fewshot.examples import labelled, unlabelled


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def everything(path, kind, **options):
    return list(itertools.chain.from_iterable(unlabelled(path, kind, **options)))


@pytest.fixture
def stdin(monkeypatch):
    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


GOOD = [("hello", "greet"), ('say "hi", now', "greet"), ("good\nbye", "leave"), ("até já", "leave")]


@pytest.mark.parametrize(
    "content",
    [
        'text,label\nhello,greet\n"say ""hi"", now",greet\n"good\nbye",leave\naté já,leave\n',
        '\ufeffText, Label \r\nhello,greet\r\n\r\n"say ""hi"", now",greet\r\n"good\nbye",leave\r\n,\r\naté já,leave',
        'label;id;text\ngreet;1;hello\ngreet;2;"say ""hi"", now"\nleave;3;"good\nbye"\nleave;4;até já\n',
        'text\tlabel\nhello\tgreet\n"say ""hi"", now"\tgreet\n"good\nbye"\tleave\naté já\tleave\n',
        '\n{"text": "hello", "label": "greet"}\n{"text": "say \\"hi\\", now", "label": "greet", "id": 3}\n\n'
        '{"text": "good\\nbye", "label": "leave"}\r\n{"text": "at\\u00e9 j\\u00e1", "label": " leave"}',
    ],
    ids=["plain", "of Excel", "semicolons", "tabs", "JSONL"],
)
@pytest.mark.parametrize("place", ["file", "stdin"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_texts(tmp_path, stdin, content, place, encoding):
    encoded = (content if encoding == "utf-8" else content.removeprefix("\ufeff")).encode(encoding)
    name = "x.jsonl" if '{"text"' in content else "x.csv"
    stdin(encoded)
    path = "-" if place == "stdin" else write(tmp_path / name, encoded)
    assert list(zip(*labelled(path, "texts"), strict=True)) == GOOD
    stdin(encoded)
    assert everything(path, "texts", chunk=3) == [text for text, _ in GOOD]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; its first line must name the columns text and label"),
        ("\n\n", "is empty"),
        ("text,label\n", "holds no example below its header"),
        ("hello,greet\n", "must name the columns text and label; it names 'hello', 'greet'"),
        ("hello,greet\nbye,leave\n", "must name the columns text and label; it names 'hello', 'greet'"),
        ("I want it,want\nI need it,want\n", "and 'want' seems to be an example"),
        ("text,label,text\na,b,c\n", "has 2 columns 'text'"),
        ("text,label\na,b\n\nc,d,e\n", "line 4 has 3 cells and the header 2: put text that holds ','"),
        ('text,label\n"a\nb",c\nd\n', "line 4 has 1 cells"),
        ('text,label\n"a,b\n', "line 2: unexpected end of data"),
        ('\n\ntext,label\na,b\nc,"d"e\n', "line 5: ',' expected after"),
        ("text,label\na,\n", "line 2: the label is missing"),
        ("text,label\na,b\n  ,c\n", "line 3: text is empty"),
        ("text,label\n" + "x" * 140_000 + ",b\n", "line 2: field larger than field limit"),
        ("text,label\n até,b\n".encode() + b"a,b\n" * 400_000 + b"ol\xe1,b\n", "not UTF-8: byte 0xe1 in line 400003"),
        (b"\xff\xfet\x00e", "is not UTF-16: byte 0x65 in line 1"),
        ('{"text": "a", "label": "b"}\n{"text": "a"', "line 2 is not JSON"),
        ('{"text": "a", "label": "b"}\n{"text": "a"}', "line 2 has no 'label'"),
        ('{"text": "a", "label": "b"}\n[1]', "line 2 is not an object such as"),
        ('{"text": 5, "label": "b"}', "line 1: text is int, not text"),
        ('{"text": null, "label": "b"}', "line 1: text is empty"),
        ('{"text": "a", "label": 1.5}', "line 1: the label is float"),
        ('{"text": "a", "label": null}', "line 1: the label is missing"),
        ('{"text": "a", "label": ' + "[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_line(stdin, content, said):
    stdin(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said):
        labelled("-", "texts")


def test_an_error_leaves_nothing_behind(tmp_path, recwarn, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    table = write(tmp_path / "t.csv", "text,label\na,b\nc,d,e\n" + "f,g\n" * 9_000)
    with pytest.raises(InputError, match=r"t.csv, line 3 has 3 cells"):
        labelled(table, "texts")
    gc.collect()
    assert not unraisable and not recwarn.list


def test_whole_numbers_stay_labels(stdin):
    stdin(b'{"text": "a", "label": 3}\n{"text": "b", "label": -1}\n')
    assert labelled("-", "texts") == (["a", "b"], [3, -1])


def test_lines_are_texts_unless_the_first_is_a_header(stdin, tmp_path):
    stdin(b"hello, world\n\n  so what?\r\n")
    assert everything("-", "texts") == ["hello, world", "so what?"]
    stdin(b"label,text\nx,hello\n")
    assert everything("-", "texts") == ["hello"]
    assert everything(write(tmp_path / "q.txt", "a\nb\n"), "texts") == ["a", "b"]
    stdin(b"\n \n")
    with pytest.raises(InputError, match="standard input holds no example"):
        everything("-", "texts")


def test_a_stream_is_read_as_it_is_needed():
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            Endless.taken += 1
            assert Endless.taken < 10
            buffer[:] = b"hello\n" * (len(buffer) // 6) + b" " * (len(buffer) % 6)
            return len(buffer)

    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BufferedReader(Endless()))
    try:
        parts = unlabelled("-", "texts", chunk=4)
        assert next(parts) == ["hello"] * 4
        assert isinstance(parts, Generator)
        parts.close()
        assert not sys.stdin.buffer.closed
    finally:
        sys.stdin = stdin


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)
    return path


def test_folders_of_pictures(tmp_path):
    paths = [picture(tmp_path / "d" / name) for name in ("cat/1.png", "cat/2.JPG", "dog/1.webp")]
    write(tmp_path / "d" / "cat" / "notes.txt", "no picture")
    picture(tmp_path / "d" / ".hidden" / "1.png")
    assert labelled(tmp_path / "d", "pictures") == (paths, ["cat", "cat", "dog"])
    assert everything(tmp_path / "d" / "cat", "pictures") == paths[:2]
    assert everything(paths[2], "pictures") == paths[2:]
    (tmp_path / "d" / "empty").mkdir()
    with pytest.raises(InputError, match=r"class 'empty' of .* has no picture in it"):
        labelled(tmp_path / "d", "pictures")
    with pytest.raises(InputError, match="has no sub-folders"):
        labelled(tmp_path / "d" / "dog", "pictures")
    with pytest.raises(InputError, match=r"there is no file or folder \S+none$"):
        labelled(tmp_path / "none", "pictures")
    (tmp_path / "my_images").mkdir()
    with pytest.raises(InputError, match=r"no file or folder .*my_image; did you mean '.*my_images'\?"):
        labelled(tmp_path / "my_image", "pictures")
    with pytest.raises(InputError, match=r"is one picture, without a class: give a folder with a sub-folder for each"):
        labelled(paths[0], "pictures")


def test_paths_of_a_table_are_relative_to_it(tmp_path, stdin, monkeypatch):
    content = '{"path": "in/a.png", "label": "x"}\n{"path": "/b.png", "label": "y"}\n'
    table = write(tmp_path / "t.jsonl", content)
    expected = [tmp_path / "in" / "a.png", tmp_path.__class__("/b.png")]
    assert labelled(table, "pictures") == (expected, ["x", "y"])
    assert labelled(write(tmp_path / "t.csv", "path,label\nin/a.png,x\n/b.png,y\n"), "pictures")[0] == expected
    stdin(b"in/a.png\n/b.png\n")
    assert [str(p) for p in everything("-", "pictures")] == ["in/a.png", "/b.png"]


def test_folders_of_texts(tmp_path):
    for name, content in (("a/1.txt", "one\ntwo\n"), ("a/2.txt", "\ufeffthree"), ("b/1.TXT", "four")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, content)
    assert labelled(tmp_path, "texts") == (["one\ntwo", "three", "four"], ["a", "a", "b"])
    assert everything(tmp_path / "a", "texts") == ["one\ntwo", "three"]
    write(tmp_path / "b" / "2.txt", " \n")
    with pytest.raises(InputError, match=r"2.txt is empty"):
        labelled(tmp_path, "texts")


def test_arrays(tmp_path):
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    np.savez(tmp_path / "a.npz", x=x, y=["u", "u", "v", "v", "w"])
    found, labels = labelled(tmp_path / "a.npz", "features")
    assert isinstance(found, np.ndarray) and (found == x).all() and labels == ["u", "u", "v", "v", "w"]
    parts = [part for part in unlabelled(tmp_path / "a.npz", "texts", chunk=2) if isinstance(part, np.ndarray)]
    assert [len(part) for part in parts] == [2, 2, 1] and (np.concatenate(parts) == x).all()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((2, 3))}, "has no array 'y'"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(3, int)}, "y must hold a text or a whole number for each of the 2"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(2)}, "type float64"),
        ({"x": np.zeros(2), "y": np.zeros(2, int)}, r"x must have shape \[n, ...\]"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "with at least one example"),
        ({"x": np.array([["a"]]), "y": np.zeros(1, int)}, "x must hold numbers"),
        ({"x": np.array([[print]]), "y": np.zeros(1, int)}, "pickled objects are never read"),
    ],
)
def test_arrays_that_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=said):
        labelled(tmp_path / "a.npz", "features")


def test_files_that_are_no_arrays(tmp_path):
    for content in (b"", b"no zip", b"PK\x03\x04broken"):
        with pytest.raises(InputError, match=r"is no .npz of plain arrays"):
            labelled(write(tmp_path / "a.npz", content), "features")
    with pytest.raises(InputError, match="there is no file"):
        labelled(tmp_path / "b.npz", "features")


def test_features_line_by_line(stdin):
    stdin(b'{"features": [1, 2.5], "label": "a"}\n{"features": [3, 4], "label": "b"}\n')
    found, labels = labelled("-", "features")
    assert isinstance(found, np.ndarray) and found.tolist() == [[1, 2.5], [3, 4]] and labels == ["a", "b"]
    stdin(b'{"features": [1, 2]}\n{"features": [3]}\n')
    with pytest.raises(InputError, match="rows of 1 and of 2 features"):
        everything("-", "features")
    stdin(b'{"features": [true], "label": "a"}\n')
    with pytest.raises(InputError, match="line 1: features are a list of numbers"):
        labelled("-", "features")
    stdin(b"1,2\n")
    with pytest.raises(InputError, match="features are read from"):
        everything("-", "features")


def test_a_name_that_begins_with_a_tilde_is_no_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (4, 4)).save("~cat.png")
    assert list(unlabelled("~cat.png", "pictures")) == [[Path("~cat.png")]]
    Path("t.csv").write_text("path,label\n~cat.png,a\n")
    assert labelled("t.csv", "pictures") == ([Path("~cat.png")], ["a"])


def test_a_text_in_the_place_of_a_file_is_told_in_one_message():
    with pytest.raises(InputError, match="cannot read word word"):
        list(unlabelled("word " * 100, "texts"))
