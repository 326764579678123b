"""Models by name or folder: tiny real ones, saved by the libraries that people save theirs with."""

import json
import pickle
import shutil

import pytest
import torch

from innerloop.cli import main as cli
from innerloop.core.errors import InputError
from innerloop.encoders import hub
from innerloop.encoders.base import Tunable, content_of
from innerloop.encoders.replay import Replay
from innerloop.encoders.tuned import Tuned
from innerloop.fewshot.classifier import FewShotClassifier
from innerloop.fewshot.sources import source
from tests.encoders.test_encoders import png
from tests.encoders.tiny import LAYERS, tiny_bert
from tests.service.http.test_heads import answers
from tests.service.served import serving

pytest.importorskip("sentence_transformers")

WORDS = [
    "how",
    "do",
    "i",
    "reset",
    "my",
    "phone",
    "password",
    "card",
    "play",
    "some",
    "jazz",
    "refund",
    "money",
    "back",
]
TEXTS = ["reset my phone", "reset phone password", "refund my card", "refund money"]


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A BERT of two layers with its tokenizer, as `save_pretrained` leaves it."""
    folder = tmp_path_factory.mktemp("models") / "sentences"
    tiny_bert(folder, WORDS)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A ViT of two layers without a pooler."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("models") / "pictures"
    torch.manual_seed(0)
    with hub.quietly():
        ViTModel(ViTConfig(image_size=32, patch_size=8, **LAYERS), add_pooling_layer=False).save_pretrained(folder)
    about = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def test_rows_of_sentences_are_what_transformers_makes_of_them(sentences):
    from transformers import AutoModel, AutoTokenizer

    found = source(f"hf:{sentences}")
    assert found.kind == "texts" and found.shape == (16,) and found.head == found.names == "auto"
    assert found.encoder is not None
    rows = found.encoder.encode(TEXTS)
    with hub.quietly():
        network, tokenizer = AutoModel.from_pretrained(sentences).eval(), AutoTokenizer.from_pretrained(sentences)
    for text, row in zip(TEXTS, rows, strict=True):
        with torch.no_grad():
            expected = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert torch.allclose(row, expected, atol=1e-5)
    assert found.encoder.encode([]).shape == (0, 16)
    assert pickle.loads(pickle.dumps(found.encoder)) is found.encoder


def test_rows_of_pictures_are_the_class_token(pictures):
    from transformers import AutoModel

    found = source(f"hf:{pictures}")
    assert found.kind == "pictures" and found.names is None and found.encoder is not None
    square = png(0, (32, 32))
    with hub.quietly(), torch.no_grad():
        from innerloop.encoders.base import pictures as read

        x = (read([square], 32, 3).float() / 255 - 0.5) / 0.25
        expected = AutoModel.from_pretrained(pictures).eval()(pixel_values=x).last_hidden_state[:, 0]
    assert torch.allclose(found.encoder.encode([square]), expected, atol=1e-5)


def test_a_task_knows_the_weights_that_it_was_taught_with(sentences, tmp_path, capsys):
    folder = copied(sentences, tmp_path)
    table, out = tmp_path / "t.csv", tmp_path / "t.fewshot"
    table.write_text("text,label\n" + "".join(f"{text},{text.split()[0]}\n" for text in TEXTS))
    assert cli.main(["adapt", f"hf:{folder}", str(table), "--out", str(out)]) == 0
    task = FewShotClassifier.load(out)
    assert task.predict(["refund"]).tolist() == ["refund"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    capsys.readouterr()
    assert cli.main(["predict", str(out), str(table)]) == 2
    assert "other weights" in capsys.readouterr().err
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    shutil.copy(sentences / "config.json", folder / "config.json")
    assert FewShotClassifier.load(out).predict(["refund"]).tolist() == ["refund"]


def test_a_service_knows_them_too(sentences, tmp_path):
    folder = copied(sentences, tmp_path)
    offered = (f"hf:{folder}",)
    with serving(tmp_path / "store", sources=offered) as client:
        made = client.post("/api/tasks", json={"name": "t", "source": f"hf:{folder}", "classes": ["refund", "phone"]})
        assert made.status_code == 201 and answers(client, "t")
        content = client.get("/api/tasks/t/download").content
        assert client.post("/api/tasks/import", files={"file": ("u.fewshot", content)}).status_code == 201
    (folder / "README.txt").write_text("changed")
    with serving(tmp_path / "store", sources=offered) as client:
        refused = client.post("/api/tasks/t/predict", json={"texts": ["refund"]})
        assert refused.status_code == 409 and "others since" in refused.text


def test_a_name_is_looked_up_in_the_cache_alone(sentences, tmp_path, monkeypatch):
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    snapshot = cache / "models--someone--tiny" / "snapshots" / ("a" * 40)
    shutil.copytree(sentences, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    found = hub.load("hf:someone/tiny")
    assert found.pin.revision == "a" * 40 and found.pin.content == hub.load(f"hf:{sentences}").pin.content
    assert torch.equal(found.encode(TEXTS), hub.load(f"hf:someone/tiny@{'a' * 40}").encode(TEXTS))
    with pytest.raises(InputError, match="--download"):
        hub.load("hf:someone/other")
    with pytest.raises(InputError, match="neither a folder nor a name"):
        hub.load("hf:a/b/c d")


def test_only_what_was_asked_for_is_fetched(monkeypatch, tmp_path, capsys):
    import huggingface_hub

    asked = []

    def download(repository, **how):
        asked.append((repository, how))
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    words = ["adapt", "hf:someone/tiny@v2", "--classes", "a,b", "--out", str(tmp_path / "t.fewshot")]
    assert cli.main(words) == 2 and asked[-1][1]["local_files_only"]
    assert cli.main([*words, "--download"]) == 2 and "no network" in capsys.readouterr().err
    repository, how = asked[-1]
    assert repository == "someone/tiny" and how["revision"] == "v2" and not how["local_files_only"]
    assert not any("bin" in pattern or "py" in pattern for pattern in how["allow_patterns"])
    assert cli.main(["adapt", "minilm", "--classes", "a,b", "--out", str(tmp_path / "t.fewshot"), "--download"]) == 2


def test_pickled_weights_are_refused_by_name(sentences, tmp_path):
    folder = copied(sentences, tmp_path)
    (folder / "training_args.bin").write_bytes(b"is not read")
    assert hub.load(f"hf:{folder}").features == 16
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, which can run code"):
        hub.load(f"hf:{folder}")


def test_code_of_a_model_is_never_run(sentences, tmp_path):
    folder = copied(sentences, tmp_path)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    remote = {"model_type": "unheard_of", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config | remote))
    with pytest.raises(InputError, match="cannot be read"):
        hub.load(f"hf:{folder}")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Model"}]))
    with pytest.raises(InputError, match="code of its own"):
        hub.load(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_a_model_that_lacks_weights_or_settings_is_refused(pictures, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied(pictures, tmp_path)
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 16}}')
    with pytest.raises(InputError, match="how large"):
        hub.load(f"hf:{folder}")
    shutil.copy(pictures / "preprocessor_config.json", folder)
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if "layernorm.weight" in key)
    save_file({k: v for k, v in weights.items() if k != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="lacks weights"):
        hub.load(f"hf:{folder}")
    with pytest.raises(InputError, match="no model"):
        hub.load(f"hf:{tmp_path}")


@pytest.mark.parametrize("kind", ["sentences", "pictures"])
def test_a_model_can_be_tuned_and_begins_as_it_comes(kind, request):
    found = source(f"hf:{request.getfixturevalue(kind)}").encoder
    assert isinstance(found, Tunable)
    x = TEXTS if kind == "sentences" else [png(i) for i in range(3)]
    replay = Replay(found, x)
    network, weights = replay.network()
    rows = replay.rows(network, [2, 0])
    torch.testing.assert_close(rows.detach(), found.encode([x[2], x[0]]), atol=1e-5, rtol=1e-5)
    rows.sum().backward()
    learned = {name: 0.9 * value.detach() for name, value in weights.items() if value.grad is not None}
    tuned = Tuned(found, learned)
    assert learned and not torch.allclose(tuned.encode(x), found.encode(x), atol=1e-3)
    assert tuned.pin.content != content_of(found) and pickle.loads(pickle.dumps(tuned)).pin == tuned.pin
