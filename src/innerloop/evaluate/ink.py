"""The ink of generated drawings: rules by which soft, grey strokes become crisp ones."""

from typing import Any, Literal, get_args

from torch import Tensor

from innerloop.core.errors import InputError

Rule = Literal["crisp", "cut", "soft"]
"""crisp: as many pixels are all ink as the picture has ink in all, the darkest ones, so that strokes keep their width.
cut: pixels of half ink or more are all ink. Others have none then. soft: as generated."""
WORDS = {"crisp": "ink crisp", "cut": "ink cut at 0.5", "soft": "ink as it is"}


def inked(x: Tensor, rule: Rule) -> Tensor:
    """Pictures with ink by a rule; pictures whose ink is crisp already stay as they are.

    Args:
        x: [..., 1, height, width] from 0 to 1, 1 is ink; of any shape where it stays soft.
        rule: See `Rule`.
    """
    if rule == "soft":
        return x
    if rule == "cut":
        return (x >= 0.5).to(x.dtype)
    pixels = x.flatten(-3)
    count = pixels.clamp(0, 1).sum(-1, keepdim=True).round()
    rank = pixels.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)  # 0 for the darkest
    return (rank < count).to(x.dtype).reshape(x.shape)


def usual(shape: tuple[int, ...]) -> Rule:
    """The rule for examples of this shape: crisp for pictures in grey, which is what drawings are; others have none."""
    return "crisp" if len(shape) == 3 and shape[0] == 1 else "soft"


def checked(rule: Any, shape: tuple[int, ...]) -> Rule:
    """The rule that was asked for, or the usual one.

    Raises:
        InputError: There is no such rule, or the examples have no ink.
    """
    if rule is None:
        return usual(shape)
    known: Rule | None = next((name for name in get_args(Rule) if name == rule), None)
    if known is None:
        raise InputError(f"ink is {', '.join(get_args(Rule))}, got {rule!r}")
    if known != "soft" and usual(shape) == "soft":
        raise InputError(f"examples of shape {list(shape)} are no drawings in grey, which alone have ink: take soft")
    return known
