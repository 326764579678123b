"""The command line of the service; what it serves is tested in tests/service."""

import json

import pytest

from innerloop.cli.main import main
from innerloop.service.http import running
from innerloop.service.settings import Settings


def test_keys_are_made_listed_and_revoked(tmp_path, capsys):
    store = ["--store", str(tmp_path)]
    assert main(["serve", "keys", "add", *store, "--scope", "write", "--name", "phone"]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("il_")
    assert main(["serve", "keys", "list", *store, "--json"]) == 0
    shown = capsys.readouterr().out
    assert token not in shown and json.loads(shown)[0]["name"] == "phone"
    assert main(["serve", "keys", "revoke", "1", *store]) == 0
    assert main(["serve", "keys", "revoke", "1", *store]) == 2
    assert "no key 1 in use" in capsys.readouterr().err
    assert main(["serve", "keys", "list", *store]) == 0
    assert "phone" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["revoke", "1"], ["revoke"]])
@pytest.mark.parametrize("there", ["nothing", "folder", "folder of that name"])
def test_keys_of_a_store_that_is_not_there_are_refused_by_its_name(tmp_path, capsys, words, there):
    store = tmp_path / "mistyped"
    if there != "nothing":
        store.mkdir()
    if there == "folder of that name":
        (store / "store.sqlite").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["serve", "keys", *words, "--store", str(store)]) == 2
    output = capsys.readouterr()
    wanted = "say which key" if words == ["revoke"] else f"there is no store in {store}"
    assert wanted in output.err and not output.out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_key_that_begins_a_store_says_so(tmp_path, capsys):
    add = ["serve", "keys", "add", "--store", str(tmp_path / "s")]
    assert main(add) == 0
    assert f"there was no store in {tmp_path / 's'}: a new one was made" in capsys.readouterr().err
    assert main(add) == 0
    assert "a new one was made" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "demands API keys, and the store has none: make one with `innerloop serve keys add"),
        (["--demand-keys"], "with --demand-keys demands API keys"),
        (["--port", "70000"], "no port 70000"),
        (["--workers", "0"], "0 workers cannot serve"),
        (["--runs", "/nowhere/at/all"], "no folder /nowhere/at/all"),
        (["--source", "nothing-like-it"], "no run folder, encoder or shipped run 'nothing-like-it'"),
        (["--source", "os:getcwd"], "os"),
        (["--batch", "0"], "--batch 0"),
        (["--rate", "-1"], "--rate -1"),
        (["--rate", "1e308"], "at most 1,000,000"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(tmp_path, capsys, monkeypatch, options, said):
    import uvicorn

    monkeypatch.setattr(uvicorn, "run", lambda *a, **k: pytest.fail("it listened"))
    assert main(["serve", "--store", str(tmp_path / "store"), *options]) == 2
    assert said in capsys.readouterr().err


def test_options_reach_the_server(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(running, "serve", seen.append)
    words = ["serve", "--store", "s", "--port", "9", "--source", "a", "b", "--batch", "7", "--names", "x.example"]
    assert main(words) == 0
    found = seen[0]
    assert (found.store, found.port, found.sources, found.allowed_hosts) == ("s", 9, ("a", "b"), ("x.example",))
    assert found.limits.batch == 7 and isinstance(found, Settings)


def test_a_revoked_key_is_not_enough_to_listen_to_the_world(tmp_path, capsys):
    store = ["--store", str(tmp_path)]
    main(["serve", "keys", "add", *store])
    main(["serve", "keys", "revoke", "1", *store])
    assert main(["serve", *store, "--host", "0.0.0.0"]) == 2
    assert "demands API keys" in capsys.readouterr().err
