"""How many classes of a data set without splits of its own are for training, for validation and for tests."""

from innerloop.core.errors import InputError


def default_sizes(classes: int) -> dict[str, int]:
    """A 60/20/20 cut of `classes`, at least one each.

    Raises:
        InputError: There are fewer than three.
    """
    if classes < 3:
        raise InputError(
            f"{classes} classes cannot be cut into train, validation and test; at least 3 are needed, and 10 for "
            "tests of 2 ways (a fifth is for tests). To teach only these, use `innerloop adapt`"
        )
    part = max(1, classes // 5)
    return {"train": classes - 2 * part, "validation": part, "test": part}
