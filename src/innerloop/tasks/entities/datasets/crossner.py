"""CrossNER: 5,327 sentences of Wikipedia in five domains, 39 types of entities (Liu et al., AAAI 2021).

https://arxiv.org/abs/2012.04373. A domain is taken whole: its published training, validation and test sentences. The
split scheme names the domain that is tested on; the next one by the alphabet (after science, ai) is for validation, and
the other three are trained on. Some types, such as person, are in several domains; `misc` is left out. MIT licence.
"""

from collections.abc import Sequence

from innerloop.core.context import Root
from innerloop.core.errors import InputError
from innerloop.tasks.entities.domains import LEFT_OUT, Domain
from innerloop.tasks.entities.splits import TaggedSplits, from_files

SCHEMES = ("ai", "literature", "music", "politics", "science")
_URL = "https://github.com/zliucr/CrossNER/tree/main/ner_data"


def read(root: Root = None, scheme: str | None = None, left_out: Sequence[str] = LEFT_OUT) -> TaggedSplits:
    """Read `train.txt`, `dev.txt` and `test.txt` of all domains.

    Args:
        root: The data root, holding a folder `crossner` with a folder for each domain.
        scheme: The domain that is tested on; None: ai.
        left_out: Types that tasks do not ask for.

    Raises:
        InputError: A file is not there or is another, or there is no such domain.
    """
    test = SCHEMES.index(checked("crossner", scheme))
    validation = (test + 1) % len(SCHEMES)
    domains = [domain(root, name, left_out) for name in SCHEMES]
    train = tuple(one for i, one in enumerate(domains) if i not in (test, validation))
    return TaggedSplits("crossner", train, (domains[validation],), (domains[test],))


def domain(root: Root, name: str, left_out: Sequence[str] = LEFT_OUT) -> Domain:
    """One domain."""
    files = [f"{name}/{part}.txt" for part in ("train", "dev", "test")]
    return from_files(name, files, root, "crossner", _URL, left_out)


def checked(dataset: str, scheme: str | None) -> str:
    """A domain of CrossNER that is one; None: the first.

    Raises:
        InputError: It is none.
    """
    if scheme is not None and scheme not in SCHEMES:
        raise InputError(f"{dataset} has no split scheme '{scheme}': choose {', '.join(SCHEMES)}")
    return scheme or SCHEMES[0]
