"""CLINC150: 150 intents of 10 domains, 150 sentences each (Larson et al., EMNLP 2019); five splits of the classes.

The split schemes 1 to 5 are those of few-shot intent papers (Dopierre, Gravier, Logerais, ACL 2021), 50 intents each
to train, validate and test. Queries that are out of scope are no class and are left out. CC BY 3.0.
"""

import json
from pathlib import Path

from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks.texts.splits import Texts, TextSplits, by_lists, located

_URL = "https://github.com/clinc/oos-eval/tree/master/data"


def read(root: Root = None, scheme: str | None = None) -> TextSplits:
    """Read `data_full.json`, and `domains.json` where it is there.

    Args:
        root: The data root, holding the files or a folder `clinc150` with them.
        scheme: 1 to 5; None: 1.

    Raises:
        InputError: A file is not there or is another.
    """
    path = located(root, "clinc150", "data_full.json", _URL)
    content = _json(path)
    try:
        rows = [(text, label) for part in ("train", "val", "test") for text, label in content[part]]
        domains = path.with_name("domains.json")
        groups = {label: d for d, labels in _json(domains).items() for label in labels} if domains.exists() else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not CLINC150 as published ({error!r}): get it from {_URL}") from error
    texts, labels = zip(*rows, strict=True)
    whole = Texts(texts, labels, groups if set(groups) >= {label for _, label in rows} else {})
    return by_lists("clinc150", whole, path.parent / "splits", scheme)


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error})") from error
