"""A tagger that starts from a run: its learner, rows and weights, also in its file."""

from dataclasses import asdict

import pytest
import torch

from innerloop.apps.ner import file
from innerloop.apps.ner.settings import SHIPPED, shipped
from innerloop.apps.ner.sources import source
from innerloop.apps.ner.tagger import FewShotTagger
from innerloop.core.errors import InputError
from innerloop.engine import checkpoint, load
from innerloop.learners.closed_form.r2d2 import R2D2
from innerloop.learners.gradient.maml import MAML
from innerloop.nn.mlp import MLP
from innerloop.problems.entities import Entities
from innerloop.tasks.entities import conll
from innerloop.tasks.entities.datasets import crossner
from innerloop.tasks.entities.sentences import Sentence, spans
from tests.apps.ner.tiny import ANSWER, ASKED, FEATURES, SENTENCES, TAGS, endings

__all__ = ["endings"]
pytestmark = pytest.mark.usefixtures("endings")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root in which CrossNER is the few sentences."""
    given = [Sentence(tuple(words), spans(tags)) for words, tags in zip(SENTENCES, TAGS, strict=True)]
    for name in crossner.SCHEMES:
        folder = tmp_path / "crossner" / name
        folder.mkdir(parents=True)
        for part in ("train", "dev", "test"):
            (folder / f"{part}.txt").write_text("".join(conll.write(given)))
    monkeypatch.setenv("INNERLOOP_DATA", str(tmp_path))
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def saved(folder, learner, **task):
    checkpoint.write_config(folder, learner, {}, {"task": asdict(Entities(**task))})
    checkpoint.save_params(folder, learner, learner.init(0))
    return folder


def linear(outputs):
    return MLP(FEATURES, (), outputs)


def test_a_run_learns_as_it_was_trained(root):
    learner = R2D2(encoder=linear(FEATURES), decay=0.01)
    plain = FewShotTagger(saved(root / "plain", learner)).fit(SENTENCES, TAGS)
    assert plain.predict([ASKED]) == [ANSWER] and plain.show()["learner"] == "R2D2"
    weighed = FewShotTagger(saved(root / "weighed", learner, other_weight=2.0, whiten=True)).fit(SENTENCES, TAGS)
    own = weighed.task.source
    y = torch.tensor([0, 0, 0, 0, 1, 2, 2, 2])
    weights = own.weights(y)
    assert own.whitening is not None and weights is not None and weights.tolist() == [1.0] * 8  # 2 x (4 / 2) / 4
    assert not torch.equal(weighed.task.learned.adapted.weight, plain.task.learned.adapted.weight)
    again = FewShotTagger.load(weighed.save(root / "t.fewshot"))
    assert torch.equal(again.task.learned.adapted.weight, weighed.task.learned.adapted.weight)
    assert again.answers([ASKED]) == weighed.answers([ASKED]) and again.task.source.other_weight == 2.0


def test_a_run_of_so_many_types_has_no_more(root):
    tagger = FewShotTagger(saved(root / "run", MAML(model=linear(4), inner_lr=5.0, inner_steps=20)))
    assert tagger.fit(SENTENCES, TAGS).predict([SENTENCES[0]]) == [TAGS[0]]
    with pytest.raises(InputError, match="meta-trained to tell 3 types apart, and these are 4: train it with ways=4"):
        tagger.add([["Zebra"]], [["B-animal"]])
    assert tagger.history[-1].action == "fit"
    with pytest.raises(InputError, match="has its own head and rows"):
        FewShotTagger(root / "run", head="nearest").fit(SENTENCES, TAGS)


def test_a_run_on_anything_else_is_refused(root):
    learner = R2D2(encoder=linear(FEATURES))
    for record, says in (
        ({"task": {"data": "sinusoid"}}, "trained on sinusoid, not on entities"),
        ({}, "not say what"),
    ):
        checkpoint.write_config(root / "run", learner, {}, record)
        checkpoint.save_params(root / "run", learner, learner.init(0))
        with pytest.raises(InputError, match=says):
            source(root / "run")


def test_the_file_of_a_run_is_checked_before_anything_is_built(root):
    tagger = FewShotTagger(saved(root / "run", R2D2(encoder=linear(FEATURES)))).fit(SENTENCES, TAGS)
    tagger._task.source.params.pop("log_scale")
    path = tagger.save(root / "t.fewshot")
    with pytest.raises(InputError, match="its parameter 'log_scale' is not"):
        file.read(path)


def test_whitening_by_crossner_is_found_where_it_lies(root):
    whitened = FewShotTagger(whiten=True, head="nearest").fit(SENTENCES, TAGS)
    assert whitened.task.source.whitening is not None and whitened.predict([ASKED]) == [ANSWER]


@pytest.mark.parametrize("name", shipped())
def test_what_ships_is_what_its_card_says(name):
    folder = SHIPPED / name
    learner, params = load(folder)
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert checkpoint.fingerprint(params, learner) in card and "Where it fails" in card and "Licence" in card
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert f"{sum(value.numel() for value in params.values()):,} weights" in card


def test_a_shipped_run_needs_no_data_and_has_its_own_head(tmp_path, monkeypatch):
    monkeypatch.setenv("INNERLOOP_DATA", str(tmp_path))  # of what it was trained on there is nothing here
    with pytest.raises(InputError, match="leave out head"):
        source("entities", head="nearest")
    assert source("entities").name == "entities"


def test_a_source_that_is_made_takes_nothing_else():
    own = source("minilm:3", head="nearest")
    tagger = FewShotTagger(own).fit(SENTENCES, TAGS)
    assert tagger.predict([ASKED]) == [ANSWER] and FewShotTagger(own, head="nearest").fit(SENTENCES, TAGS)
    for asked in (
        FewShotTagger(own, head="prototypes"),
        FewShotTagger(own, whiten=True),
        FewShotTagger(own, names=True),
    ):
        with pytest.raises(InputError, match="is another than that of Source"):
            asked.fit(SENTENCES, TAGS)
