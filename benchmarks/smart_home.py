"""Intents of a smart home in Chinese and English. `python -m benchmarks.smart_home use-multilingual intents`.

Sentences are generated from the templates of `home-assistant-intents` by `hassil` (extra `intents`; both Apache-2.0):
of every intent that both languages have, twelve of the first 2,000 that its templates give, picked by a hash, with
rooms and devices of ours where a template leaves a gap. Many are alike, as templates are. Draws, languages and
intervals are those of `benchmarks.desk`. What comes out is kept in `smart_home.json`; `docs/guide/support.md` tells it.
"""

import argparse
import hashlib
import itertools
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.desk import DRAWS, compared, told
from innerloop.core.importing import require
from innerloop.fewshot.sources import source

PLACE = Path(__file__).with_name("smart_home.json")
LANGUAGES = {"en": "en", "zh": "zh-CN"}
EACH, _SEEN = 12, 2_000
_GAPS = {
    "en": {"area": ["kitchen", "bedroom", "hall"], "name": ["lamp", "fan", "heater"], "floor": ["first floor"]},
    "zh": {"area": ["厨房", "卧室", "走廊"], "name": ["台灯", "风扇", "暖气"], "floor": ["一楼"]},
}
_FREE = {"en": ["dinner is ready", "milk", "some jazz"], "zh": ["开饭了", "牛奶", "一点爵士乐"]}
"""What stands where a template takes any words."""


def generated(language: str) -> dict[str, list[str]]:
    """Sentences by intent, those of intents with enough of them."""
    require("hassil", "sentences of a smart home", "intents")
    require("home_assistant_intents", "sentences of a smart home", "intents")
    import hassil
    import home_assistant_intents

    code = LANGUAGES[language]
    folder = Path(str(home_assistant_intents.__file__)).parent / "data"
    data = json.loads((folder / f"{code}.json").read_text(encoding="utf-8"))
    intents = hassil.Intents.from_dict(data)
    lists: dict[str, Any] = {
        name: hassil.TextSlotList.from_strings(words, name=name) for name, words in _GAPS[language].items()
    }
    for name, known in data["lists"].items():
        if known.get("wildcard"):
            lists[name] = hassil.TextSlotList.from_strings(_FREE[language], name=name)
    found = {}
    for intent in intents.intents:
        some = hassil.sample_intents(
            intents,
            slot_lists=lists,
            intent_names={intent},
            language=code,
            exclude_sentences_with_wildcards=False,
        )
        texts = {text.strip() for _, text in itertools.islice(some, _SEEN)}
        if len(texts) >= EACH:
            found[intent] = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:EACH]
    return found


def rows(name: str) -> dict[str, Tensor]:
    """[classes, sentences, features] by language, of intents that both have."""
    sentences = {language: generated(language) for language in LANGUAGES}
    encoder = source(name).encoder
    assert encoder is not None
    both = sorted(set(sentences["en"]) & set(sentences["zh"]))
    return {language: torch.stack([encoder.encode(of[one]) for one in both]) for language, of in sentences.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["use-multilingual"], help="what is taught; one encoder")
    names: Sequence[str] = parser.parse_args().sources
    x = rows(names[0])
    results = compared(names, x)
    content = {"date": date.today().isoformat(), "machine": machine.describe(), "draws": DRAWS, "intents": len(x["en"])}
    PLACE.write_text(json.dumps(content | {"results": results}, indent=2) + "\n")
    told(results)


if __name__ == "__main__":
    main()
