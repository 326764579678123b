import json
import pickle
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.encoders import gliner_tokens
from innerloop.encoders.tokens import named
from innerloop.tasks.entities.sentences import Span

WORDS = ["the", "cat", "of", "paris"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of a tiny model that has learned nothing."""
    pytest.importorskip("gliner", reason="gliner is not installed: pip install 'innerloop[gliner]'")
    from gliner import GLiNERConfig  # pyright: ignore[reportMissingImports]
    from gliner.model import UniEncoderSpanGLiNER  # pyright: ignore[reportMissingImports]
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.?"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters), *WORDS]
    core = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    core.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=96, **special)
    tokenizer.add_tokens(["<<ENT>>", "<<SEP>>"], special_tokens=True)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = GLiNERConfig(
        model_name="nowhere",
        span_mode="markerV0",
        hidden_size=16,
        max_width=3,
        max_len=60,
        vocab_size=len(tokenizer),
        class_token_index=tokenizer.convert_tokens_to_ids("<<ENT>>"),
        encoder_config={"model_type": "bert", "vocab_size": len(tokenizer), "max_position_embeddings": 96} | sizes,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("gliner") / "tiny"
    model = UniEncoderSpanGLiNER(config, tokenizer=tokenizer, backbone_from_pretrained=False)
    model.save_pretrained(str(folder), safe_serialization=True)
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy that may be spoiled."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_words_get_the_states_of_the_model(made):
    encoder: Any = named(f"gliner:{made}")
    assert encoder is named(f"gliner:{made}") is pickle.loads(pickle.dumps(encoder)) and encoder.features == 16
    sentences = [WORDS, [], ["\x01", "cat", "x" * 5_000, "🙂"], WORDS * 40]
    rows, lengths = encoder.encode(sentences)
    assert lengths.tolist() == [4, 0, 4, 160] and rows.shape == (168, 16)
    assert bool(rows.isfinite().all()) and bool((rows.norm(dim=1) > 0).all()) and not rows.is_inference()
    alone = torch.cat([encoder.encode([sentence]).rows for sentence in sentences])
    assert torch.allclose(rows, alone, atol=1e-5)
    model = encoder._model  # the same by the package's own way, from text
    inputs = model.collate_batch(model.prepare_base_input([WORDS]), ["entity"])
    with torch.no_grad():
        assert torch.allclose(model.run_batch(inputs).words_embedding[0], rows[:4], atol=1e-5)


def test_entities_are_found_by_the_names_of_types_alone(made):
    encoder: Any = named(f"gliner:{made}")
    entities = encoder.zero_shot([WORDS, [], WORDS * 40], ["animal", "city"], threshold=0.05)
    theirs = encoder._model.predict_entities(" ".join(WORDS), ["animal", "city"], threshold=0.05)
    starts = [0, 4, 8, 11]
    assert [(starts[span.start], span.type, score) for span, score in entities[0]] == [
        (one["start"], one["label"], pytest.approx(one["score"], abs=1e-5)) for one in theirs
    ]
    assert theirs and entities[1] == []
    spans = [span for span, _ in entities[2]]
    assert spans[-1].end > 100 and all(a.end <= b.start for a, b in pairwise(spans))
    assert all(isinstance(span, Span) and span.end <= 160 for span in spans)
    with pytest.raises(InputError, match="names of types"):
        encoder.zero_shot([WORDS], [])
    with pytest.raises(InputError, match="of 90 types leave no room"):
        encoder.zero_shot([WORDS], ["animal"] * 90)


def test_what_was_read_is_known_by_its_content(folder):
    first: Any = named(f"gliner:{folder}")
    settings = json.loads((folder / "gliner_config.json").read_text())
    (folder / "gliner_config.json").write_text(json.dumps(settings | {"max_len": 50}))
    second: Any = named(f"gliner:{folder}")
    assert first is not second and first.pin.content != second.pin.content and first.pin.revision is None


def test_what_may_run_code_or_ask_the_network_is_refused(folder):
    name, settings = f"gliner:{folder}", json.loads((folder / "gliner_config.json").read_text())

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            named(name)

    for values, message in (
        (settings | {"encoder_config": settings["encoder_config"] | {"auto_map": {}}}, "'auto_map' in gliner_config"),
        (settings | {"encoder_config": None}, "no encoder_config in gliner_config.json, and would look it up"),
        (settings | {"encoder_config": {"model_type": "none"}}, "cannot be read as a GLiNER"),
        ([], "holds no settings"),
    ):
        (folder / "gliner_config.json").write_text(json.dumps(values))
        refused(message)
    (folder / "gliner_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer_config.json").rename(folder / "elsewhere.txt")
    refused("has no tokenizer_config.json")
    (folder / "elsewhere.txt").rename(folder / "tokenizer_config.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused("weights in pytorch_model.bin, which can run code")
    (folder / "pytorch_model.bin").unlink()
    refused("has no weights")
    (folder / "gliner_config.json").unlink()
    refused("is no GLiNER: there is no gliner_config.json")


def test_weights_that_are_not_there_are_missed(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors[min(tensors)]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match="lacks weights, such as"):
        named(f"gliner:{folder}")


def test_a_name_that_is_not_at_hand_is_told(monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(gliner_tokens, "PACKAGE", "torch")
    for name in ("gliner:no/such_model", "gliner:", "gliner:a b"):
        with pytest.raises(InputError, match="neither a folder nor in the cache of this machine"):
            named(name)
    monkeypatch.setattr(gliner_tokens, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"'gliner:x/y' needs an optional package.*innerloop\[gliner\]"):
        named("gliner:x/y")
