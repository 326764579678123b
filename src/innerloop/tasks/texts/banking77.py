"""BANKING77: 13,083 questions to a bank in 77 fine-grained intents (Casanueva et al. 2020); five splits of the classes.

The split schemes 1 to 5 are those of few-shot intent papers (Dopierre, Gravier, Logerais, ACL 2021): 25 intents to
train, 25 to validate, 27 to test. The published training and test sentences are taken together. CC BY 4.0.
"""

from innerloop.core.context import Root
from innerloop.tasks.columns import TableOptions
from innerloop.tasks.texts.splits import Texts, TextSplits, by_lists, located, read_table

_URL = "https://github.com/PolyAI-LDN/task-specific-datasets/tree/master/banking_data"
_COLUMNS = TableOptions(text_column="text", label_column="category")


def read(root: Root = None, scheme: str | None = None) -> TextSplits:
    """Read `train.csv` and `test.csv`.

    Args:
        root: The data root, holding a folder `banking77` with the files.
        scheme: 1 to 5; None: 1.

    Raises:
        InputError: A file is not there or is another.
    """
    paths = [located(root, "banking77", name, _URL) for name in ("train.csv", "test.csv")]
    parts = [read_table(path, _COLUMNS) for path in paths]
    texts, labels = (tuple(v for part in parts for v in part[i]) for i in (0, 1))
    return by_lists("banking77", Texts(texts, labels), paths[0].parent / "splits", scheme)
