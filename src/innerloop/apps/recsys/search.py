"""Items by words of their titles, as somebody types them."""

import re
from collections.abc import Sequence

from innerloop.tasks.ratings.table import Whole

_WORDS = re.compile(r"\w+")


def matching(titles: Sequence[str], counts: Whole, text: str, most: int) -> list[int]:
    """Positions of titles that have every word of a text, or a word that begins so; the best known first.

    The title that is the text comes first, then those that begin with it.

    Args:
        titles: Of all items, casefolded.
        counts: [items] how many have rated each.
        text: What is looked for; without a word in it, everything is.
        most: How many at most.
    """
    wanted = text.strip().casefold()
    words = {word: re.compile(rf"(?<!\w){re.escape(word)}") for word in _WORDS.findall(wanted)}
    # A plain look first, which costs a tenth of a pattern.
    hits = [i for i, t in enumerate(titles) if all(word in t and begun.search(t) for word, begun in words.items())]
    hits.sort(key=lambda i: (titles[i] != wanted, not titles[i].startswith(wanted), -counts[i], i))
    return hits[:most]
