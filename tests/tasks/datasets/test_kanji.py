import sys

import numpy as np
import pytest
import torch

from innerloop.core.errors import InputError
from innerloop.tasks import EpisodeSampler, handwriting
from innerloop.tasks.datasets import kanji as module

pytest.importorskip("kanji", reason="KanjiVG is not installed: pip install 'innerloop[kanji]'")


@pytest.fixture(scope="module")
def found() -> list[module.Character]:
    return module.characters(module._package())


def test_a_thousand_distinct_characters(found):
    kept = module.distinct(found)
    text = {chr(c.code) for c in kept}
    assert len(kept) >= 1000 and len(text) == len(kept)
    for twins in ("Cc", "O0", "Oo", "つっ", "ヤャ", "へヘ", "一ー", "口ロ", "日曰", "二ニ"):
        assert len(text & set(twins)) <= 1, twins
    assert all(len(c.strokes) <= module.MAX_STROKES for c in kept)
    assert {c.group for c in kept} >= {"digits", "latin", "hiragana", "katakana", "kanji-1", "kanji-8"}


def test_drawings_repeat(found):
    character = next(c for c in found if chr(c.code) == "木")
    drawings = handwriting.write(character.strokes, character.code, module.WRITERS, module.SIZE)
    assert drawings.shape == (20, 28, 28) and len({d.tobytes() for d in drawings}) == 20
    assert np.array_equal(drawings, handwriting.write(character.strokes, character.code, module.WRITERS, module.SIZE))
    assert 0.03 < drawings.mean() / 255 < 0.3


def test_splits_and_cache(found, monkeypatch, tmp_path):
    monkeypatch.setenv("INNERLOOP_CACHE", str(tmp_path))
    few = [c for c in found if chr(c.code) in "あうカキ木水日月3aBD夜英"]
    monkeypatch.setattr(module, "characters", lambda folder: few)
    splits = module.kanji()
    assert set(splits.test.groups) == {"hiragana", "kanji-8"} and "hiragana/あ" in splits.test.names
    assert set(splits.validation.groups) == {"katakana", "kanji-4"}
    assert not set(splits.train.groups) & (set(splits.test.groups) | set(splits.validation.groups))
    assert splits.test.shape == (1, 28, 28) and splits.test.data.dtype == torch.uint8
    assert splits.test.preprocessing == {"size": 28, "channels": 1, "ink": "auto"}
    monkeypatch.setattr(module, "characters", lambda folder: pytest.fail("drawn twice"))
    assert torch.equal(module.kanji().train.data, splits.train.data)


def test_missing_package_is_said(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'innerloop\[kanji\]'"):
        module.kanji()
    assert "kanji" not in sys.modules or sys.modules["kanji"] is not module


@pytest.mark.slow
def test_difficulty_is_near_omniglots():
    """Nearest centroid on pixels, 5 ways 1 shot, unseen characters: between 35 and 60%."""
    splits = module.kanji()
    assert sum(map(len, splits.pools().values())) >= 1000
    sampler = EpisodeSampler(pool=splits.test, ways=5, shots=1, queries=15, seed=0)
    right = []
    for first in range(0, 600, 100):
        episodes = sampler.episodes(first, 100)
        support, query = (batch.x.flatten(2) for batch in episodes)  # pyright: ignore[reportAttributeAccessIssue]
        right.append((torch.cdist(query, support).argmin(-1) == episodes.query.y).float().mean())
    assert 0.35 <= torch.stack(right).mean() <= 0.60
