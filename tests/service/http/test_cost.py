"""What a small request may cost: rows of the table of attacks, each with a bound of three times what is promised."""

import json
import math
import random
import struct
import time
import tracemalloc

import pytest

from innerloop.service.http.counting import Counter
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.values import parsed
from innerloop.service.limits import Limits
from tests.service.served import PLAIN, serving, teach

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("store")) as client:
        teach(client)
        teach(client, "u")
        yield client


def refused(client, path, content, status, seconds=0.6, megabytes=100):
    start = time.process_time()
    answer = client.post(path, content=content, headers=JSON)
    spent = time.process_time() - start
    assert answer.status_code == status and spent < seconds, (spent, answer.text[:200])
    tracemalloc.start()  # apart, because tracing takes many times longer
    client.post(path, content=content, headers=JSON)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes * 1e6, peak
    return answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("predict", b'{"texts": [' + b"0," * 1_900_000 + b"0]}"),
        ("predict", b'{"features": [[' + b"null," * 800_000 + b"0]]}"),
        ("predict", b'{"features": [' + b"0," * 1_900_000 + b"0]}"),
        ("examples", b'{"examples": [' + b"0," * 1_900_000 + b"0]}"),
        ("feedback", b'{"label": "a", "features": [' + b"null," * 800_000 + b"0]}"),
    ],
)
def test_the_first_wrong_element_ends_a_list(client, path, content):
    assert "more)" not in refused(client, f"/api/tasks/t/{path}", content, 422)


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"[]," * 1_000_000 + b"[]]",
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b'{"texts": [' + b'"",' * 1_000_000 + b'""]}',
        b"{" + b",".join(b'"%d":0' % i for i in range(400_000)) + b"}",
        b'{"features": [[' + b"0," * 3_000_000 + b"0]]}",
    ],
    ids=["lists", "objects", "texts", "fields", "numbers"],
)
@pytest.mark.parametrize("path", ["/api/tasks/t/predict", "/api/tasks/t/examples", "/api/tasks", "/api/tasks/t/undo"])
def test_pieces_are_counted_while_they_are_read(client, path, content):
    assert "send several" in refused(client, path, content, 413)


@pytest.mark.parametrize("path", ["/api/tasks/t/examples", "/api/tasks", "/api/tasks/t/feedback"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_no_encoding_hides_pieces_from_the_counter(client, path, encoding):
    # A byte of the sign for "for all" is that of a quotation mark.
    content = ('{"\u2200": 1, "examples": [' + "[]," * 1000 + "[]]}").encode(encoding)
    refused(client, path, content, 400)


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-16", "undefined"])
def test_forms_are_read_in_utf_8(client, charset):
    head = '--x\r\nContent-Disposition: form-data; name="label"\r\n\r\n-'
    content = (head + "9" * 60_000 + "\r\n--x--\r\n").encode()
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    start = time.process_time()
    for path in ("/api/tasks/t/examples", "/api/tasks/t/predict", "/api/tasks/import"):
        answer = client.post(path, content=content, headers=headers)
        assert answer.status_code == 415 and "charset" in answer.json()["error"]
        good = client.post(
            path, content=content, headers={"Content-Type": "multipart/form-data; boundary=x; charset=UTF-8"}
        )
        assert good.status_code == 422
    assert time.process_time() - start < 0.6


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_counting_does_not_depend_on_where_a_body_is_cut(size):
    limits = Limits(batch=1)
    body = json.dumps({"texts": ['a "quoted" [text], with \\ and \\" and {', "\\", "é"] * 16, "n": [1, 2]}).encode()
    counter = Counter(limits)
    for i in range(0, len(body), size):
        counter.feed(body[i : i + size])
    assert (counter._pieces, counter._numbers) == (1 + 2 + 2 + 48, 47 + 1 + 1)
    counter.feed(b"[]" * 19)
    with pytest.raises(HTTPError, match="lists, objects and texts"):
        counter.feed(b"[")


def test_a_request_as_large_as_is_allowed_is_taken(client):
    texts = ['[{",\\' * 2_000] * 256
    answer = client.post("/api/tasks/t/predict", json={"texts": texts})
    assert answer.status_code == 200 and len(answer.json()["predictions"]) == 256
    examples = [{"label": "a", "text": "x", "features": None, "image": None}] * 256
    assert client.post("/api/tasks/u/examples", json={"examples": examples}).status_code == 201


@pytest.mark.parametrize("mark", ["\u0316\u0301", "\u0301\u0316", "e\u0301"])
@pytest.mark.parametrize("where", ["example", "feedback", "query", "class"])
def test_a_label_is_measured_before_it_is_composed(client, mark, where):
    label = mark * 32_000
    start = time.process_time()
    if where == "example":
        answer = client.post("/api/tasks/t/examples", json={"examples": [{"label": label, "text": "a"}]})
    elif where == "feedback":
        answer = client.post("/api/tasks/t/feedback", json={"label": label, "text": "a"})
    elif where == "query":
        answer = client.get("/api/tasks/t/examples", params={"label": label[:9_000]})
    else:
        answer = client.delete(f"/api/tasks/t/classes/{label[:9_000]}")
    assert answer.status_code == 422 and "100 is most" in answer.json()["error"]
    assert time.process_time() - start < 0.6


def test_decomposed_labels_are_taken_as_before(client):
    label = "\u1112\u1161\u11ab" * 100  # three parts of each Hangul syllable
    client.post("/api/tasks", json={"name": "v", "source": PLAIN})
    body = {"examples": [{"label": label, "features": [1.0] * 8}]}
    assert client.post("/api/tasks/v/examples", json=body).json()["classes"][0]["label"] == "\ud55c" * 100


def test_json_is_what_it_was_to_the_last_bit(client):
    r = random.Random(0)
    doubles = [struct.unpack("d", r.randbytes(8))[0] for _ in range(20_000)]
    values = [x for x in doubles if math.isfinite(x)] + [0.1, 5e-324, -0.0, 10**30, 2**64, True, None, "é\u0000"]
    content = json.dumps({"a": values, "b": {"c": 1}}).encode()
    read = parsed(content)
    assert json.dumps(read) == json.dumps(json.loads(content))
    assert parsed(b'{"a": 1, "a": "\\ud800"}') == {"a": "\ud800"}
    for wrong in (b"[NaN]", b"[-Infinity]", b"[1,]", b"", b'"\xff"'):
        with pytest.raises(HTTPError, match="is not JSON"):
            parsed(wrong)
