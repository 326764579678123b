"""One look for every progress bar of this layer: on stderr, gone from pipes and logs."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Pass `items` on, with a bar on stderr where that is a terminal.

    Args:
        items: What is worked through.
        title: What is being done.
        total: How many items there are.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    if not console.is_terminal:
        console.print(f"{title} ({total:,})", highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        yield from bar.track(items, total=total, description=title)
