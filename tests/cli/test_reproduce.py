"""`innerloop reproduce`: what it prints and writes, and what it refuses."""

import json

from innerloop.cli.main import main

SMALL = ["reproduce", "sinusoid", "--rows", "maml-5s", "--seeds", "0", "--minutes", "0.005", "--episodes", "3"]


def test_a_suite_from_the_command_line(tmp_path, capsys):
    places = ["--out", str(tmp_path / "s"), "--table", str(tmp_path / "table.md")]
    assert main([*SMALL, *places, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert "1 of 1: maml-5s, seed 0: " in printed.err and result["runs"] == str(tmp_path / "s")
    assert len(result["rows"]) == 6 and result["rows"][0]["trainings"] == 1
    assert main([*SMALL, *places, "--no-train"]) == 0
    assert "| maml-5s | not run |" not in capsys.readouterr().out
    assert main([*SMALL, *places]) == 0
    words = capsys.readouterr()
    assert "1 of 1" not in words.err and "| maml-5s |" in words.out and f"table: {tmp_path / 'table.md'}" in words.out
    assert "| maml-10s | not run |" in (tmp_path / "table.md").read_text()


def test_rows_are_listed_and_nothing_is_done(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "omniglot", "--list"]) == 0
    assert capsys.readouterr().out.count("its test: ") == 40
    assert main(["reproduce", "omniglot", "--list", "--rows", "protonet-5w1s", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["paper"].startswith("98.8 (Snell et al. 2017, table 1") and not list(tmp_path.iterdir())


def test_what_is_refused(tmp_path, refused):
    out = ["--out", str(tmp_path / "s"), "--table", str(tmp_path / "t.md")]
    refused("reproduce", "omniglott", *out, says="did you mean 'omniglot'")
    refused("reproduce", "sinusoid", "--rows", "mamml", *out, says="did you mean 'maml'")
    refused(*SMALL, *out, "--no-train", says="holds no trainings of 'sinusoid', and an empty table would")
    refused("reproduce", "omniglott", "--list", says="did you mean 'omniglot'")
    for option, value in {"--minutes": "-1", "--workers": "0", "--episodes": "0", "--budget": "week"}.items():
        assert main([*SMALL, option, value, *out]) == 2
    assert not list(tmp_path.iterdir())
    assert main([*SMALL, *out]) == 0
    refused("reproduce", "sinusoid", "--rows", "mamml", "--no-train", *SMALL[4:], *out, says="did you mean 'maml'")
    refused(*SMALL, *out, "--minutes", "0.01", "--seeds", "1", says="their minutes 0.005, not 0.01")
    refused(*SMALL, *out, "--minutes", "0.01", "--no-train", says="their minutes 0.005, not 0.01")
