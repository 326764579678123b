"""The image, built from the Dockerfile and run with a root that is read-only, where there is an engine for it.

    INNERLOOP_CONTAINER=podman python -m pytest -n 0 -m slow tests/deploy/test_image.py

`INNERLOOP_CONTAINER` is the engine's command with its options, `INNERLOOP_BUILD` further options of its `build`, for
another base or index. Containers have no network: they are asked from inside, and reach PostgreSQL by its socket.
"""

import json
import os
import shlex
import subprocess
import time
import uuid

import pytest

from tests.deploy.dockerfile import DEPLOY, ROOT
from tests.service.postgres import serving

ENGINE = shlex.split(os.environ.get("INNERLOOP_CONTAINER", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ENGINE, reason="builds an image, which takes minutes: set INNERLOOP_CONTAINER=podman"),
]
SAFE = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
STORE = "postgresql:///?service=innerloop"
ASK = """
import json, sys, urllib.error, urllib.request as u
method, path, body, key = sys.argv[1:]
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
try:
    with u.urlopen(u.Request("http://127.0.0.1:8000" + path, body.encode() or None, headers, method=method)) as a:
        print(json.dumps([a.status, json.load(a)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, json.load(error)]))
"""


def engine(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*ENGINE, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 or not check, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def image():
    name = "localhost/innerloop-test"
    more = shlex.split(os.environ.get("INNERLOOP_BUILD", ""))
    engine("build", "--file", str(DEPLOY / "Dockerfile"), "--tag", name, *more, ".")
    return name


class Container:
    """One that runs `innerloop serve`."""

    def __init__(self, image: str, *words: str, options: list[str]):
        self.name = f"innerloop-{uuid.uuid4().hex[:8]}"
        engine("run", "--detach", "--name", self.name, *SAFE, *options, image, *words)

    def python(self, script: str, *words: str) -> str:
        return engine("exec", self.name, "python", "-c", script, *words).stdout

    def ask(self, key: str, method: str, path: str, body: object = None) -> list:
        return json.loads(self.python(ASK, method, path, "" if body is None else json.dumps(body), key))

    def healthy(self, image: str) -> bool:
        """Whether what HEALTHCHECK says succeeds, within some time."""
        health = json.loads(engine("image", "inspect", image).stdout)[0]
        wanted = (health.get("Config", {}).get("Healthcheck") or health["Healthcheck"])["Test"]
        assert wanted[0] == "CMD"
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if engine("exec", self.name, *wanted[1:], check=False).returncode == 0:
                return True
            time.sleep(1)
        return False

    def remove(self) -> None:
        engine("rm", "--force", self.name)


def key_of(image: str, store: str, options: list[str]) -> str:
    words = ["serve", "keys", "add", "--store", store, "--scope", "write", "--name", "first"]
    return engine("run", "--rm", *SAFE, *options, image, *words).stdout.split()[-1]


def teach(one: Container, key: str) -> None:
    assert one.ask(key, "POST", "/api/tasks", {"name": "t", "source": "use-multilingual"})[0] == 201
    examples = [{"label": "money", "text": "refund me"}, {"label": "time", "text": "when are you open"}]
    assert one.ask(key, "POST", "/api/tasks/t/examples", {"examples": examples})[0] == 201


def answer(one: Container, key: str) -> tuple[int, str]:
    status, content = one.ask(key, "POST", "/api/tasks/t/predict", {"texts": ["I want my money back"]})
    return status, content["predictions"][0]["class"]


def test_it_serves_a_folder_as_nobody_with_nothing_to_write_on_but_its_volume(image):
    volume = ["--volume", f"innerloop-{uuid.uuid4().hex[:8]}:/store"]
    refused = engine("run", "--rm", *SAFE, *volume, image, check=False)
    assert refused.returncode == 2 and "has none: make one with" in refused.stderr
    key = key_of(image, "/store", volume)
    one = Container(image, options=volume)
    try:
        assert one.healthy(image), engine("logs", one.name).stderr
        assert one.python("import os; print(os.getuid(), os.getgid())").split() == ["10001", "10001"]
        written = "import pathlib; pathlib.Path('{}/x').write_text('x')"
        for place in ("/", "/opt/innerloop", "/etc"):
            assert engine("exec", one.name, "python", "-c", written.format(place), check=False).returncode == 1
        for place in ("/tmp", "/store"):
            one.python(written.format(place))
        assert one.ask("wrong", "GET", "/api/tasks")[0] == 401
        teach(one, key)
        assert answer(one, key) == (200, "money")
        engine("kill", "--signal", "KILL", one.name)
        engine("start", one.name)
        assert one.healthy(image) and answer(one, key) == (200, "money")
        began = time.monotonic()
        engine("stop", "--time", "60", one.name)
        assert time.monotonic() - began < 50, "it ends at SIGTERM"
    finally:
        one.remove()
        engine("volume", "rm", volume[1].partition(":")[0])


def test_two_of_them_share_a_store_whose_address_is_in_a_file(image, tmp_path):
    with serving() as database:
        address = database.new()
        name = address.partition("@/")[2].partition("?")[0]
        service = tmp_path / "pg_service.conf"
        service.write_text(f"[innerloop]\nhost=/database\ndbname={name}\nuser=store\n", encoding="utf-8")
        service.chmod(0o644)
        options = ["--volume", f"{service}:/run/secrets/pg_service.conf:ro", "--volume", f"{database.folder}:/database"]
        options += ["--env", "PGSERVICEFILE=/run/secrets/pg_service.conf"]
        key = key_of(image, STORE, options)
        words = ["serve", "--store", STORE, "--host", "0.0.0.0", "--workers", "2", "--log", "json"]
        both = [Container(image, *words, options=options) for _ in range(2)]
        try:
            assert all(one.healthy(image) for one in both), [engine("logs", one.name).stderr for one in both]
            teach(both[0], key)
            assert answer(both[1], key) == (200, "money")
            relabelled = both[1].ask(key, "PATCH", "/api/tasks/t/examples/1", {"label": "refunds"})
            assert relabelled[0] == 200 and answer(both[0], key) == (200, "refunds")
        finally:
            for one in both:
                one.remove()
