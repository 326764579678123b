"""WNUT17: 5,690 posts and comments with six types of new and rare entities (Derczynski et al., 2017); to be tested on.

https://aclanthology.org/W17-4418. All of its sentences, published for training, validation and test, are test tasks:
six types are too few to be trained on. Training and validation are CrossNER's domains; the split scheme names the one
that is for validation. CC BY 4.0.
"""

from collections.abc import Sequence

from innerloop.core.context import Root
from innerloop.tasks.entities.datasets import crossner
from innerloop.tasks.entities.domains import LEFT_OUT
from innerloop.tasks.entities.splits import TaggedSplits, from_files

_FILES = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
_URL = "https://github.com/leondz/emerging_entities_17"


def read(root: Root = None, scheme: str | None = None, left_out: Sequence[str] = LEFT_OUT) -> TaggedSplits:
    """Read WNUT17's three files, and CrossNER to train on.

    Args:
        root: The data root, holding folders `wnut17` and `crossner`.
        scheme: CrossNER's domain for validation; None: ai.
        left_out: Types that tasks do not ask for.

    Raises:
        InputError: A file is not there or is another, or there is no such domain.
    """
    validation = crossner.checked("wnut17", scheme)
    test = from_files("wnut17", _FILES, root, "wnut17", _URL, left_out)
    train = tuple(crossner.domain(root, name, left_out) for name in crossner.SCHEMES if name != validation)
    return TaggedSplits("wnut17", train, (crossner.domain(root, validation, left_out),), (test,))
