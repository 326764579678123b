"""Names of types as examples of themselves: what `politician` is called says something of which words it is of."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from innerloop.encoders.tokens import TokenEncoder

_JOINTS = re.compile(r"[\s_\-./]+|(?<=[a-z])(?=[A-Z])")
"""Where the words of a name meet: `award_name`, `award-name`, `awardName`."""


def words_of(name: str) -> list[str]:
    """The words of a type's name."""
    return [word.lower() for word in _JOINTS.split(name) if word] or [name]


def names_as_rows(encoder: TokenEncoder, types: Sequence[str]) -> Tensor:
    """[types, features] what an encoder of words makes of the names of types, each read alone, its words averaged.

    Args:
        encoder: That of the rows which they are to stand beside; whitened rows have whitened names.
        types: Their names; underscores, hyphens and capitals part words.

    Raises:
        InputError: A name is empty.
    """
    if not types:
        return torch.zeros(0, encoder.features)
    rows = encoder.encode([words_of(name) for name in types])
    return torch.stack([row.mean(0) for row in rows.split()])
