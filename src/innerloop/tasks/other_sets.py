"""Labelled data sets of other libraries, known by what they can do: none of them is imported.

- of Hugging Face `datasets`: `features`, `column_names`, rows as dicts; a column of class labels and one of pictures,
  texts or arrays.
- as in torchvision and `torch.utils.data`: `len(data)` and `data[i]`, which is a pair (example, class); `classes`
  names these, where there is such a thing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from innerloop.core.errors import InputError
from innerloop.core.plain import plain
from innerloop.tasks.columns import LABEL, listed
from innerloop.tasks.images import Ink, pictures_pool
from innerloop.tasks.pillow import called, content, is_pillow
from innerloop.tasks.pool import Pool

_USUAL = ("image", "text", "features", "x")
"""Names that the column of examples goes by, where there are several."""
_HELD = (str, bytes, list, tuple, dict, np.ndarray, Tensor)


def is_dataset(value: Any) -> bool:
    """Whether something is a data set of another library, and no array, table or list."""
    if isinstance(value, Mapping) and value and all(map(_of_columns, value.values())):
        raise InputError(f"this is a data set in {len(value)} splits: give one, such as data['{next(iter(value))}']")
    if isinstance(value, _HELD) or hasattr(value, "__array__") or hasattr(value, "iloc"):
        return False
    if _of_columns(value):
        return True
    if not hasattr(value, "__len__") or not hasattr(value, "__getitem__") or not len(value):
        return False
    try:
        return _is_pair(value[0])
    except Exception:  # whatever something else makes of being asked for an item
        return False


def pairs(data: Any, x: str | None = None, y: str | None = None) -> tuple[list[Any], list[Any]]:
    """Examples of a data set and their classes, by name where it has names.

    Args:
        data: Of another library.
        x: Column of the examples, where there are columns; None: the only one of its kind.
        y: Column of the classes, likewise.

    Raises:
        InputError: It is no such data set, its columns cannot be told, or an example has no class.
    """
    if not is_dataset(data):
        raise InputError(
            f"a {type(data).__name__} is no data set: give one whose items are pairs (example, class), or one of "
            "Hugging Face datasets"
        )
    if _of_columns(data):
        return _columns(data, x, y)
    if x is not None or y is not None:
        raise InputError(f"a {type(data).__name__} has no columns: leave out x and y")
    items = [data[i] for i in range(len(data))]
    wrong = next((i for i, item in enumerate(items) if not _is_pair(item)), None)
    if wrong is not None:
        raise InputError(
            f"item {wrong} of the {type(data).__name__} is no pair (example, class): make it one by a transform"
        )
    names = getattr(data, "classes", None) or getattr(getattr(data, "dataset", None), "classes", None)
    return [one for one, _ in items], _named([label for _, label in items], names)


def pool_of(
    data: Any,
    x: str | None,
    y: str | None,
    encode: Callable[[list[Any]], Any] | None,
    size: int | None,
    channels: int | None,
    ink: Ink,
    dataset: str,
) -> Pool:
    """The pool of a data set; see `Pool.from_dataset`."""
    examples, labels = pairs(data, x, y)
    if encode is not None:
        return Pool.from_arrays(encode(examples), labels, dataset=dataset)
    if all(map(is_pillow, examples)):
        names = sorted({str(label) for label in labels})
        return pictures_pool(
            list(enumerate(examples)),
            lambda entry: content(entry[1], called(entry[1], entry[0])),
            [names.index(str(label)) for label in labels],
            names,
            size=size,
            channels=channels,
            ink=ink,
            dataset=dataset,
        )
    if any(isinstance(one, str | bytes) for one in examples):
        raise InputError(
            "texts become rows by an encoder: give one as encode=, such as encoders.named('minilm').encode"
        )
    if size is not None or channels is not None:
        raise InputError("size and channels are of pictures of Pillow; arrays stay as they are: leave them out")
    return Pool.from_arrays(_stacked(examples), labels, dataset=dataset)


def _of_columns(value: Any) -> bool:
    return isinstance(getattr(value, "features", None), Mapping) and hasattr(value, "column_names")


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and _is_label(item[1])


def _is_label(value: Any) -> bool:
    return isinstance(plain(value), str | int | float) or (isinstance(value, Tensor) and value.ndim == 0)


def _columns(data: Any, x: str | None, y: str | None) -> tuple[list[Any], list[Any]]:
    features: Mapping[str, Any] = data.features
    for column in (x, y):
        if column is not None and column not in features:
            raise InputError(f"the data set has no column '{column}', only {listed(list(features))}")
    classes = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    label = y or _only(classes or [name for name in features if name == LABEL], list(features), "classes", "y")
    example = x or _example(features, label)
    rows = [data[i] for i in range(len(data))]
    names = getattr(features[label], "names", None)
    return [row[example] for row in rows], _named([row[label] for row in rows], names)


def _example(features: Mapping[str, Any], label: str) -> str:
    others = {name: feature for name, feature in features.items() if name != label}
    for wanted in (_is_picture, _is_text, _is_array):
        found = [name for name, feature in others.items() if wanted(feature)]
        if found:
            usual = [name for name in found if name in _USUAL]
            return _only(usual if len(usual) == 1 else found, list(features), "examples", "x")
    return _only([], list(features), "examples", "x")


def _only(found: Sequence[str], columns: Sequence[str], what: str, argument: str) -> str:
    if len(found) != 1:
        several = (
            f"the columns {listed(found)} may be the {what}" if found else f"no column is certain to be the {what}"
        )
        raise InputError(
            f"{several} (of {listed(columns)}): name it, {argument}='...', or leave out the others (select_columns)"
        )
    return found[0]


def _is_picture(feature: Any) -> bool:
    return type(feature).__name__ == "Image"


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _is_array(feature: Any) -> bool:
    return type(feature).__name__ in ("Sequence", "List", "LargeList", "Array2D", "Array3D", "Array4D")


def _named(labels: Sequence[Any], names: Any) -> list[Any]:
    """Classes by their names, where numbers stand for names."""
    plain_labels = [one.item() if isinstance(one, Tensor) else plain(one) for one in labels]
    absent = next((i for i, one in enumerate(plain_labels) if one is None or (names and one == -1)), None)
    if absent is not None:
        raise InputError(f"example {absent} of the data set has no class: leave out what is not labelled")
    if not names or not all(type(one) is int and 0 <= one < len(names) for one in plain_labels):
        return plain_labels
    return [str(names[one]) for one in plain_labels]


def _stacked(examples: Sequence[Any]) -> np.ndarray:
    try:
        return np.stack([np.asarray(one.detach().cpu() if isinstance(one, Tensor) else one) for one in examples])
    except ValueError as error:
        raise InputError(f"examples of the data set are not all of one shape ({error}): resize them first") from error


def apart(X: Any, y: Any) -> tuple[Any, Any]:
    """Examples and classes of a data set of another library that is given alone; anything else as it is.

    Raises:
        InputError: As of `pairs`.
    """
    return pairs(X) if y is None and is_dataset(X) else (X, y)
