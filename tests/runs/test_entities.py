"""Taggers: data sets and files of tagged sentences train and are tested like every other kind."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from innerloop import problems
from innerloop.apps.ner.settings import CROSSNER, Decoding
from innerloop.cli.main import main
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.encoders import tokens
from innerloop.encoders.whitening import Whitening
from innerloop.nn.residual import Residual
from innerloop.problems.entities import Entities
from innerloop.problems.texts import TextClasses
from innerloop.runs import build, defaults, tagging
from innerloop.tasks.entities import EntitySampler
from innerloop.tasks.entities.datasets import crossner

TYPES = ("bird", "city", "dish", "misc")
SMALL: dict[str, Any] = {"ways": 2, "shots": 1, "queries": 1}


class Letters:
    """Counts letters of words: a token encoder that needs no package."""

    name, features = "letters", 26

    def encode(self, sentences: Sequence[Sequence[str]]) -> tokens.TokenRows:
        words = [word for sentence in sentences for word in sentence]
        rows = [[1.0 + word.lower().count(chr(97 + i)) for i in range(26)] for word in words]
        return tokens.TokenRows(torch.tensor(rows), torch.tensor([len(sentence) for sentence in sentences]))


def lines(domain: str) -> str:
    """A file whose words tell their type and domain."""
    blocks = [f"the\tO\n{kind}{i}\tB-{kind}\n{domain}\tI-{kind}\n.\tO\n" for i in range(3) for kind in TYPES]
    return "\n".join([*blocks, "nothing\tO\n"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for domain in crossner.SCHEMES:
        (folder / "crossner" / domain).mkdir(parents=True)
        for part in ("train", "dev", "test"):
            (folder / "crossner" / domain / f"{part}.txt").write_text(lines(f"{domain}{part}"))
    (folder / "wnut17").mkdir()
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (folder / "wnut17" / name).write_text(lines(name))
    (folder / "own.conll").write_text(lines("own") + "\n" + lines("other").replace("-", "-x"))
    return folder


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, root: Path) -> None:
    monkeypatch.setattr(tokens, "named", lambda name: Letters() if name == "letters" else SimpleNamespace(name=name))
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path_factory.getbasetemp() / "entities-cache"))
    monkeypatch.setenv("INNERLOOP_DATA", str(root))


def problem(**options: Any) -> Entities:
    return replace(Entities(encoder="letters", **SMALL), **options)


def domains(sampler: object) -> list[str]:
    assert isinstance(sampler, EntitySampler)
    return [encoded.domain.name for encoded in sampler.domains]


def test_a_domain_is_tested_on_the_next_one_is_for_validation_and_the_others_are_trained_on():
    one = problem(split_scheme="science")
    material = one.load(Context())
    assert domains(one.train(material, "episodes", 0)) == ["literature", "music", "politics"]
    assert domains(one.validation(material, 0)) == ["ai"] and domains(one.episodes(material, "test", 0)) == ["science"]
    assert material.test[0].domain.types == TYPES[:3], "misc is left out"
    assert len(material.test[0].domain.sentences) == 3 * 13, "all three files"
    wnut = problem(data="wnut17")
    assert domains(wnut.episodes(wnut.load(Context()), "test", 0)) == ["wnut17"]
    with pytest.raises(InputError, match="has no split scheme 'films': choose ai, literature"):
        problem(split_scheme="films").load(Context())


def test_rows_are_of_length_one_and_whitened_by_what_is_not_tested_on(root: Path, monkeypatch: pytest.MonkeyPatch):
    plain, white = (problem(whiten=whiten).load(Context()).test[0].rows for whiten in (False, True))
    for rows in (plain, white):
        assert rows.dtype == torch.float16 and torch.allclose(
            rows.float().norm(dim=1), torch.ones(len(rows)), atol=2e-3
        )
    assert not torch.allclose(plain, white)
    # Of one's own file, types that are tested on are not to be seen.
    fit, seen = Whitening.fit, set[str]()
    monkeypatch.setattr(Whitening, "fit", lambda rows, types, *more: seen.update(types) or fit(rows, types, *more))
    material = problem(data=str(root / "own.conll"), whiten=True).load(Context())
    assert seen == {"O", *material.train[0].domain.types, *material.validation[0].domain.types}
    assert not seen & set(material.test[0].domain.types)


def test_a_run_trains_is_tested_and_not_on_what_it_has_seen(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    words = ["--encoder", "letters", "--ways", "2", "--shots", "1", "--queries", "1", "--steps", "2", "--plan", "loop"]
    assert main(["train", "protonet", "--data", "crossner", "--whiten", *words, "--width", "8", "--out", str(run)]) == 0
    record = json.loads((run / "config.json").read_text())["record"]
    assert list(record["train_domains"]) == ["music", "politics", "science"] and record["shape"] == [26]
    capsys.readouterr()
    for data in ("crossner", "wnut17", str(root / "own.conll")):
        assert main(["test", str(run), "--episodes", "3", "--data", data, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["protocol"]["metric"] == "entity_f1" and 0 <= result["mean"] <= 1
    assert main(["test", str(run), "--episodes", "3", "--split-scheme", "music"]) == 2
    assert "the run was trained on music" in capsys.readouterr().err
    assert main(["test", str(run), "--episodes", "3", "--ways", "3"]) == 0, "prototypes are of any number"
    assert main(["adapt", str(run), str(root / "own.conll"), "--out", str(tmp_path / "t.fewshot")]) == 2
    assert "teach it with `innerloop ner adapt`" in capsys.readouterr().err
    assert {path.name.split("-")[0] for path in run.glob("test-*.json")} == {"test"}


@pytest.mark.parametrize("name", ["r2d2", "simple_shot", "multi_task", "maml"])
def test_learners_have_networks_for_words(name: str):
    options: Any = defaults(name, "crossner")
    assert options.network.network == ("residual" if name in ("r2d2", "maml") else "auto")
    run = build(replace(options, task=problem(), train=replace(options.train, steps=1, plan="loop")))
    support, query = run.train.episodes(0, 1)
    episode = run.test().episodes(0, 1)
    assert isinstance(episode.support.x, torch.Tensor) and episode.support.x.shape[2] == 26
    assert (
        isinstance(query.x, torch.Tensor)
        and query.x.shape[-1] == 26
        and (support.mask is not None) == (name in ("r2d2", "maml"))
    )
    networks = [v for v in vars(run.learner).values() if isinstance(v, Residual)]
    assert [network.outputs for network in networks] == {"r2d2": [None], "maml": [3]}.get(name, [])


def test_files_belong_to_one_kind(root: Path, tmp_path: Path):
    tagged, table = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    tagged.write_text('{"text": "Ada", "entities": []}\n')
    table.write_text('{"text": "Ada", "label": "x"}\n')
    assert problems.kind_of(str(tagged)) is problems.kind_of("wnut17") is Entities
    assert problems.kind_of(str(table)) is TextClasses
    with pytest.raises(InputError, match="own has 2 types of entities; to be cut into"):
        problem(data=str(root / "own.conll"), left_out=("misc", "bird", "city", "xbird", "xcity", "xdish")).load(
            Context()
        )
    with pytest.raises(InputError, match="crossner is read in one way only"):
        problem(strict=True).check()
    record = json.loads(json.dumps(vars(problem())))
    assert problems.of_record(record) == problem()


def test_decoding_is_chosen_on_the_domains_of_training_whatever_is_tested_on(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    run, seen = tmp_path / "run", list[Any]()
    words = ["--encoder", "letters", "--ways", "2", "--shots", "1", "--queries", "1", "--steps", "1", "--plan", "loop"]
    assert main(["ner", "train", "protonet", *words, "--width", "8", "--out", str(run)]) == 0
    monkeypatch.setattr(tagging, "counted", lambda sentences: seen.append({*sentences}) or CROSSNER)
    monkeypatch.setattr(tagging, "choose", lambda learner, params, sampler, *more: seen.append(sampler) or Decoding())
    assert main(["ner", "test", str(run), "--episodes", "2", "--data", str(root / "own.conll"), "--json"]) == 0
    counted, chosen = seen
    assert {word for sentence in counted for word in sentence.words} >= {"musictrain", "sciencetest"}
    assert not {word for sentence in counted for word in sentence.words} & {"own", "other"}
    assert domains(chosen) == ["literature"]
