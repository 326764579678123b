"""Nested NamedTuples, tuples, dicts and None, with tensors as leaves. Nobody indexes leaves by hand."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `f` to corresponding leaves; None stays None.

    Args:
        f: Takes one leaf of every tree.
        tree: Gives the structure.
        rest: Trees of the same structure.
    """
    if tree is None:
        return None
    if not rest:  # the usual case, at every meta-step
        return _map(f, tree)
    if isinstance(tree, dict):
        return {k: map(f, v, *(r[k] for r in rest)) for k, v in tree.items()}
    if isinstance(tree, tuple):
        values = [map(f, v, *(r[i] for r in rest)) for i, v in enumerate(tree)]
        return type(tree)(*values) if hasattr(tree, "_fields") else tuple(values)
    return f(tree, *rest)


def _map(f: Callable[[Any], Any], tree: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, tuple):
        values = [_map(f, v) for v in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else tuple(values)
    if isinstance(tree, dict):
        return {k: _map(f, v) for k, v in tree.items()}
    return f(tree)


def items(tree: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Leaves with their dotted paths, in a fixed order; Nones are left out."""
    if tree is None:
        return
    if isinstance(tree, dict):
        children = tree.items()
    elif isinstance(tree, tuple):
        children = zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True)
    else:
        yield prefix, tree
        return
    for name, child in children:
        yield from items(child, f"{prefix}.{name}" if prefix else str(name))


def flatten(tree: Any) -> list[Tensor]:
    """Leaves in the order of `items`."""
    leaves: list[Tensor] = []
    _gather(tree, leaves)
    return leaves


def _gather(tree: Any, leaves: list[Tensor]) -> None:
    if isinstance(tree, tuple):
        for child in tree:
            _gather(child, leaves)
    elif isinstance(tree, dict):
        for child in tree.values():
            _gather(child, leaves)
    elif tree is not None:
        leaves.append(tree)


def rebuild(tree: Any, leaves: dict[str, Tensor], prefix: str = "") -> Any:
    """The structure of `tree` with the leaves of a `dict(items(...))`.

    Raises:
        KeyError: `leaves` lacks a path that `tree` has.
    """
    paths = iter([path for path, _ in items(tree)])
    return map(lambda _: leaves[f"{prefix}{next(paths)}"], tree)


def unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """The inverse of `flatten`: the structure of `tree` with other leaves."""
    following = iter(leaves)
    return map(lambda _: next(following), tree)


def slice(tree: Any, index: Any) -> Any:
    """`leaf[index]` of every leaf: one task of a stacked episode, or a chunk of tasks."""
    return map(lambda leaf: leaf[index], tree)


def where(rows: Tensor, new: Any, old: Any) -> Any:
    """The rows [n] bool of the leaves [n, ...] of one tree, the others of another."""
    return map(lambda a, b: torch.where(rows.reshape(-1, *(1,) * (a.dim() - 1)), a, b), new, old)


def stack(trees: Sequence[Any]) -> Any:
    """Stack equal structures along a new leading axis."""
    return map(lambda *leaves: torch.stack(leaves), trees[0], *trees[1:])


def axes(tree: Any) -> Any:
    """The `in_dims` of vmap for a stacked tree: 0 for every leaf, None where there is none."""
    return map(lambda _: 0, tree)


def length(tree: Any) -> int:
    """Size of the leading axis."""
    return flatten(tree)[0].shape[0]


def part(params: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The entries of `params` under `name.`, without that prefix."""
    return {k.removeprefix(f"{name}."): v for k, v in params.items() if k.startswith(f"{name}.")}


def join(**parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `part`: one flat dict, each key prefixed by the name of its part."""
    return {f"{name}.{k}": v for name, entries in parts.items() for k, v in entries.items()}
