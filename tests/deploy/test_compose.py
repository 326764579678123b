"""The compose file, and the proxy's block, which is the guide's."""

import os
import re
import subprocess

import pytest

from innerloop.cli import serve
from innerloop.cli.options import parse
from innerloop.service.addresses import Proxies
from innerloop.service.store.address import Address, is_address
from tests.deploy.dockerfile import DEPLOY, ROOT, stages
from tests.docs.blocks import commands, fences

yaml = pytest.importorskip("yaml", reason="PyYAML reads the compose file")
CONTENT = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = CONTENT["services"]
HOSTS = {name: one for name, one in SERVICES.items() if one["image"] == "innerloop"}


def test_the_proxy_has_the_block_of_the_guide_and_its_hosts():
    kept = (DEPLOY / "nginx" / "innerloop.conf").read_text(encoding="utf-8")
    (block,) = [one for one in fences(ROOT / "docs" / "scale.md") if one.language == "nginx"]
    assert kept == block.text
    assert re.findall(r"server (\w+):8000 ", kept) == list(HOSTS)
    ((place, inside, _),) = [one.split(":") for one in SERVICES["proxy"]["volumes"]]
    assert (DEPLOY / place).read_text(encoding="utf-8") == kept and inside == "/etc/nginx/conf.d/default.conf"
    (ports,) = SERVICES["proxy"]["ports"]
    assert ports.startswith("127.0.0.1:") and f"listen {ports.rpartition(':')[2]};" in kept


def test_hosts_are_started_as_there_are_options_and_by_nobody():
    assert len(HOSTS) == 2
    final = stages((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))[-1]
    (kept,) = [one.words for one in final if one.name == "VOLUME"]
    for host in HOSTS.values():
        options = parse(serve.Command, host["command"][1:], "serve", "")
        assert is_address(options.store) and Address(options.store).parts["service"] == "innerloop"
        (network,) = CONTENT["networks"]["default"]["ipam"]["config"]
        assert options.proxy == (network["subnet"],)
        assert Proxies(options.proxy).client("172.31.250.7", ["192.0.2.1"]) == "192.0.2.1"
        assert host["read_only"] and host["cap_drop"] == ["ALL"] and host["tmpfs"] == ["/tmp"]
        ((volume, inside),) = [one.split(":") for one in host["volumes"]]
        assert volume in CONTENT["volumes"] and [inside] == kept
        assert (DEPLOY / host["build"]["dockerfile"].removeprefix("deploy/")).exists()
        assert host["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert len({host["volumes"][0] for host in HOSTS.values()}) == 2, "watches are files of one host"


def test_images_are_of_versions_and_all_are_asked_for_their_health():
    for name, service in SERVICES.items():
        if name not in HOSTS:
            assert re.search(r":\d+(\.\d+)*-\w+$", service["image"]), service["image"]
            assert service["healthcheck"]["test"][0] == "CMD", "without a shell"
            assert all(word for word in service["healthcheck"]["test"])
    waits = SERVICES["proxy"]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in HOSTS}


@pytest.mark.skipif(os.name == "nt", reason="the guide's commands are of a POSIX shell")
def test_secrets_are_files_that_the_guide_makes(tmp_path, monkeypatch):
    environment = {**SERVICES["database"]["environment"]}
    for host in HOSTS.values():
        environment |= host["environment"]
    assert not any("PASSWORD" in key and not key.endswith("_FILE") for key in environment)
    for name in re.findall(r"/run/secrets/([\w.]+)", str(environment)):
        assert name in CONTENT["secrets"]
    (block,) = [one for one in fences(ROOT / "docs" / "scale.md") if "test_compose" in one.reason]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy").mkdir()
    for command in commands(block):
        if not command.startswith("docker"):
            subprocess.run(["bash", "-euc", command], check=True, capture_output=True)
    files = {name: tmp_path / "deploy" / one["file"] for name, one in CONTENT["secrets"].items()}
    password = files["postgres_password"].read_text(encoding="utf-8")
    assert len(password) >= 24 and password == password.strip()
    psycopg = pytest.importorskip("psycopg", reason="needs innerloop[postgres]")
    monkeypatch.setenv("PGSERVICEFILE", str(files["pg_service.conf"]))
    with pytest.raises(psycopg.OperationalError, match="database"):  # the host of that name is not here
        psycopg.connect("postgresql:///?service=innerloop")
    asked = files["pg_service.conf"].read_text(encoding="utf-8").splitlines()
    named = {"host": "database", "dbname": environment["POSTGRES_DB"], "user": environment["POSTGRES_USER"]}
    assert asked == ["[innerloop]", *(f"{key}={value}" for key, value in (named | {"password": password}).items())]
    assert files["postgres_password"].parent.stat().st_mode & 0o077 == 0
