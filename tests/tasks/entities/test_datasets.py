"""CrossNER and WNUT17 as published, where the data root has them; `tests/runs/test_entities.py` has small ones."""

import os
from pathlib import Path

import pytest

from innerloop.core.errors import InputError
from innerloop.tasks.entities.datasets import crossner, names, wnut17


def test_what_is_missing_is_said_with_where_to_get_it(tmp_path: Path):
    assert names() == ["crossner", "wnut17"]
    with pytest.raises(InputError, match=r"there is no ai/train.txt in .*crossner.* or .*; get it from https://github"):
        crossner.read(tmp_path)


@pytest.mark.slow
def test_they_have_the_sentences_and_types_of_their_papers():
    root = Path(os.environ.get("INNERLOOP_DATA", "none"))
    if not (root / "crossner").is_dir() or not (root / "wnut17").is_dir():
        pytest.skip("needs INNERLOOP_DATA with crossner and wnut17")
    splits = wnut17.read(root, left_out=())
    domains = [*splits.train, *splits.validation]
    assert sum(len(domain.sentences) for domain in domains) == 5327
    assert len({kind for domain in domains for kind in domain.types}) == 39
    assert len(splits.test[0].sentences) == 5690 and len(splits.test[0].types) == 6
    assert sum(len(sentence.words) for sentence in splits.test[0].sentences) == 62730 + 15733 + 23394
