"""A wheel and an sdist are whole and small, and the wheel works with nothing but what it needs."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from innerloop.cli.main import main
from tests.package import bare

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the sdist of this tree."""
    pytest.importorskip("build", reason="wheel and sdist are made by build and hatchling")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope="module")
def core(built, tmp_path_factory):
    """Folders to import from: the wheel, unpacked, and what it needs without any extra."""
    site, packages = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("packages")
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    bare.link(packages)
    return [site, packages]


def test_wheel_and_sdist_hold_what_they_should(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wheel.stat().st_size < LARGEST
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "innerloop"
    tracked = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"innerloop/{path.relative_to(package).as_posix()}" for path in tracked} <= names
    assert "innerloop/py.typed" in names and not any(name.startswith(("tests/", "benchmarks/")) for name in names)
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    version = re.search(r"^Version: (.+)$", metadata, re.MULTILINE)
    assert version is not None
    assert wheel.name.startswith(f"innerloop-{version[1]}-") and sdist.name == f"innerloop-{version[1]}.tar.gz"
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "docs/index.md", "mkdocs.yml", "constraints.txt", "CHANGELOG.md", "LICENSE"} <= inside
    assert {"environment.yml", "recipe/meta.yaml"} <= inside, "what tests/package/test_recipes.py reads"
    assert {"deploy/Dockerfile", "deploy/helm/innerloop/values.yaml", ".dockerignore"} <= inside, (
        "tests/deploy reads them"
    )


def test_extras_are_missing_in_the_bare_environment(core, tmp_path):
    absent = ["pandas", "sklearn", "PIL", "matplotlib", "fastapi", "optuna", "kanjivg", "torchvision"]
    script = f"import importlib.util as u; print([n for n in {absent} if u.find_spec(n)])"
    assert bare.run(core, ["-c", script], tmp_path).stdout.strip() == "[]"


VERBS = {
    "list": (0, ""),
    "train maml --data sinusoid --steps 2 --out r": (0, ""),
    "test r --episodes 5": (0, "mean squared error"),
    "audit r": (0, ""),
    "train meta_sgd --data sinusoid --steps 2 --out q": (0, ""),
    "compare r q --episodes 5": (0, ""),
    "train protonet --data kanji --steps 1 --out k": (2, "kanji"),
    "train protonet --data digits --steps 1 --out d": (2, "digits"),
    "data kanji": (2, "kanji"),
    "adapt kanji-protonet folder --out x.fewshot": (2, "images"),
    "generate kanji-viml folder --out x.png": (2, "images"),
    "advise folder": (2, "images"),
    "transfer mnist-5k digits": (2, "transfer"),
    "adapt efficientnet-lite0 folder --out x.fewshot": (2, "vision"),
    "adapt use-multilingual t.csv --out x.fewshot": (2, "text"),
    "adapt minilm t.csv --out x.fewshot": (2, "minilm"),
    "train alpaca --data insteval --steps 1 --out i": (2, "recsys"),
    "tune maml --data sinusoid --trials 2 --out s": (2, "tune"),
    "serve --store store": (2, "serve"),
    "pull me/shapes": (2, "hub"),
    "train maml --data sinusoid --steps 1 --track wandb --out w": (2, "wandb"),
    "ner adapt minilm t.json --out n.fewshot": (2, "minilm"),
}
"""Commands without extras: exit code, and the extra that is named, or what is printed."""


def test_every_verb_works_or_names_its_extra(core, tmp_path):
    (tmp_path / "t.csv").write_text(
        "text,label\nit is late,delivery\nmy money,refund\nwhere is it,delivery\nback,refund\n"
    )
    (tmp_path / "t.json").write_text(
        '[{"text": "Ada wrote it", "entities": [{"start": 0, "end": 3, "label": "person"}]}]'
    )
    (tmp_path / "folder" / "one").mkdir(parents=True)
    (tmp_path / "folder" / "one" / "a.png").write_bytes(b"no picture")
    wrong = []
    for (command, (status, words)), (ended, said) in zip(
        VERBS.items(), bare.commands(core, [*VERBS], tmp_path), strict=True
    ):
        named = f"innerloop[{words}]" if status else words
        output = " ".join(said.split())
        if ended != status or named not in output or "Traceback" in output:
            wrong.append(f"{command}: {ended} {output[-300:]}")
    assert not wrong, "\n".join(wrong)


def test_help_of_every_verb_needs_no_extra(core, tmp_path, capsys):
    assert main(["--help"]) == 0
    verbs = re.findall(r"^  ([a-z]+) {2,}", capsys.readouterr().out, re.MULTILINE)
    assert len(verbs) > 25
    script = (
        "import sys, contextlib, io\nfrom innerloop.cli.main import main\nwrong = []\n"
        "for verb in sys.argv[1:]:\n"
        "    output = io.StringIO()\n"
        "    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):\n"
        "        try:\n            status = main([verb, '--help'])\n"
        "        except SystemExit as end:\n            status = end.code\n"
        "    text = output.getvalue()\n"
        "    if status or verb not in text:\n        wrong.append((verb, status, text[-300:]))\n"
        "print(wrong)\n"
    )
    done = bare.run(core, ["-c", script, *verbs], tmp_path)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
