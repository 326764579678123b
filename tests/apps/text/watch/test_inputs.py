import http.client
import importlib
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from innerloop.apps.text.watch import lines
from innerloop.apps.text.watch.events import LONGEST_LINE, parse
from innerloop.apps.text.watch.feed import Feed, plain
from innerloop.apps.text.watch.lines import Splitter, of_descriptor, of_file
from innerloop.apps.text.watch.listener import Listener
from innerloop.core.errors import FailedError, InputError


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_lines_come_whole_however_they_are_cut(size):
    content, splitter, found = "a\n\nбв\r\nlast".encode(), Splitter(), []
    for first in range(0, len(content), size):
        found += splitter.add(content[first : first + size])
    assert [*found, *splitter.last()] == [(b"a", 2), (b"", 1), ("бв\r".encode(), 6), (b"last", 4)]


def test_of_a_line_that_is_too_long_no_more_is_held_than_shows_it():
    splitter, piece = Splitter(), b"x" * (1 << 20)
    for _ in range(20):
        assert list(splitter.add(piece)) == []
    assert len(splitter.rest) == LONGEST_LINE + 1
    assert [size for _, size in splitter.add(b"x\nshort\n")] == [20 * (1 << 20) + 2, 6]


def test_a_file_goes_on_at_any_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LINES", 3)
    path = tmp_path / "a"
    path.write_bytes(b"".join(b"%d\n" % i for i in range(10)) + b"end")
    whole = list(of_file(path, None, follow=False))
    assert [len(batch.lines) for batch in whole] == [3, 3, 3, 1, 1]
    for i, batch in enumerate(whole):
        rest = list(of_file(path, json.loads(json.dumps(batch.position)), follow=False))
        left = [line for one in whole[i + 1 :] for line in one.lines]
        assert [line for one in rest for line in one.lines] == left


def test_a_file_that_is_another_one_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a\nb\n")
    (batch,) = of_file(path, None, follow=False)
    for content in (b"a\n", b"x\nb\nc\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not the file that was read up to byte 4"):
            list(of_file(path, batch.position, follow=False))
    with pytest.raises(InputError, match="does not exist"):
        list(of_file(tmp_path / "b", None, follow=False))


def test_a_file_that_is_followed_gives_what_is_added_once_its_line_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"a\nb")
    waits = iter([b"c\nd", b"\n", None])

    def wait(seconds: float) -> None:
        more = next(waits)
        if more is None:
            path.write_bytes(b"")
        else:
            with path.open("ab") as file:
                file.write(more)

    monkeypatch.setattr(lines.time, "sleep", wait)
    batches = of_file(path, None, follow=True)
    found = [next(batches) for _ in range(3)]
    assert [(one.lines, one.position["bytes"]) for one in found] == [([b"a"], 2), ([b"bc"], 5), ([b"d"], 7)]
    with pytest.raises(InputError, match="cut while it was followed"):
        next(batches)


def test_standard_input_is_read_as_it_comes(tmp_path):
    (tmp_path / "a").write_bytes(b"a\nb")
    with (tmp_path / "a").open("rb") as file:
        assert [(batch.lines, batch.position) for batch in of_descriptor(file.fileno())] == [
            ([b"a"], {"lines": 1}),
            ([b"b"], {"lines": 2}),
        ]


@pytest.fixture
def listener():
    told: list[str] = []
    found = Listener("127.0.0.1", 0, "secret", told.append)
    yield found
    found.close()


def post(listener: Listener, body: bytes, token: str | None = "secret", path: str = "/events") -> tuple[int, dict]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{listener.port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_post_is_answered_when_its_lines_are_kept(listener):
    batches, answers = listener.batches(), []
    sender = threading.Thread(target=lambda: answers.append(post(listener, b"one\ntwo")))
    sender.start()
    assert next(batches).lines == [b"one", b"two"] and answers == [], "not kept yet"
    threading.Thread(target=lambda: next(batches), daemon=True).start()
    sender.join(10)
    assert answers == [(200, {"lines": 2})]


@pytest.mark.parametrize(
    ("token", "path", "status"), [(None, "/events", 401), ("x", "/events", 401), ("secret", "/", 404)]
)
def test_who_shows_no_token_is_refused(listener, token, path, status):
    assert post(listener, b"a", token, path)[0] == status


@pytest.mark.parametrize(("length", "status"), [("", 411), ("-1", 411), ("x", 411), (str(1 << 40), 413)])
def test_how_long_a_post_is_must_be_said_and_bounded(listener, length, status):
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    connection.putrequest("POST", "/events")
    connection.putheader("Authorization", "Bearer secret")
    if length:
        connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_listener_says_where_it_is_and_needs_a_token_beyond_this_machine(listener):
    told: list[str] = []
    other = Listener("127.0.0.1", 0, None, told.append)
    other.close()
    assert f":{other.port}/events" in told[0] and "INNERLOOP_WATCH_TOKEN is not set" in told[1]
    with pytest.raises(InputError, match="must show a token"):
        Listener("0.0.0.0", 0, None, told.append)
    with pytest.raises(InputError, match="cannot listen"):
        Listener("127.0.0.1", listener.port, "a", told.append)


RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{}</channel></rss>"""
ITEM = (
    "<item><title>T{0}</title><description>&lt;p&gt;one&lt;/p&gt;&lt;p&gt;two &amp;amp; three&lt;/p&gt;</description>"
    "<guid>g{0}</guid><pubDate>Thu, 01 Jan 2026 0{0}:00:00 GMT</pubDate></item>"
)


class Publisher:
    """A feed on this machine."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked.append(dict(self.headers))
                status, headers, body = publisher.answers.pop(0)
                self.send_response(status)
                for name, value in {"Content-Type": "application/rss+xml", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/feed"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def publisher():
    pytest.importorskip("feedparser", reason="feeds need the extra feeds")
    found = Publisher()
    yield found
    found.server.shutdown()
    found.server.server_close()


def rss(*numbers: int) -> bytes:
    return RSS.format("".join(ITEM.format(i) for i in numbers)).encode()


def test_a_feed_is_asked_politely_and_gives_what_is_new(publisher, monkeypatch):
    state = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    publisher.answers = [
        (200, state, rss(2, 1)),
        (304, {}, b""),
        (503, {"Retry-After": "1234"}, b""),
        (200, {}, rss(3, 2, 1)),
        (410, {}, b""),
    ]
    slept, told = [], []
    monkeypatch.setattr("innerloop.apps.text.watch.feed.time.sleep", slept.append)
    batches = Feed(publisher.url, None, 60.0, told.append).batches()
    answers = [next(batches), next(batches)]
    with pytest.raises(FailedError, match="gone for good"):
        next(batches)
    found = [[parse(line) for line in batch.lines] for batch in answers]
    position = json.loads(json.dumps(answers[-1].position))
    assert [[event.id for event in some] for some in found] == [["g1", "g2"], ["g3"]], "the oldest first, each once"
    assert found[0][0].text == "T1\none two & three" and found[0][0].source == "News"
    assert found[0][0].time == 1767229200000
    assert publisher.asked[1]["If-None-Match"] == '"1"' and "innerloop" in publisher.asked[0]["User-Agent"]
    assert publisher.asked[1]["If-Modified-Since"] == state["Last-Modified"]
    assert slept == [60.0, 60.0, 1234.0, 60.0] and len(told) == 1 and "503" in told[0]
    publisher.answers = [(200, {}, rss(3, 2, 1))]
    (batch,) = Feed(publisher.url, position, 60.0, told.append).batches(once=True)
    assert batch.lines == [], "known from before the restart"


@pytest.mark.parametrize(
    ("answer", "said"), [((404, {}, b""), "answers 404"), ((200, {"Content-Type": "text/html"}, b"<<"), "is no feed")]
)
def test_a_feed_that_is_asked_once_and_fails(publisher, answer, said):
    publisher.answers = [answer]
    with pytest.raises(FailedError, match=said):
        list(Feed(publisher.url, None, 60.0, lambda message: None).batches(once=True))


def test_a_feed_is_not_asked_often_and_needs_its_extra(monkeypatch):
    with pytest.raises(InputError, match="every 60 seconds at most"):
        Feed("http://127.0.0.1/", None, 5.0, print)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"innerloop\[feeds\]"):
        Feed("http://127.0.0.1/", None, 60.0, print)


def test_markup_becomes_text():
    assert plain("<b>a</b>&nbsp;b<br>c &lt;d") == "a b c <d"
