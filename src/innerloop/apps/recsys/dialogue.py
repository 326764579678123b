"""Getting to know somebody: one question after another, each the most telling one after all answers so far."""

from collections.abc import Callable
from types import MappingProxyType

from innerloop.apps.recsys.recommender import Recommender
from innerloop.core.errors import InputError
from innerloop.tasks.ratings.somebody import About

SKIP = ("skip", "")
"""What is typed for an item that somebody does not know."""
_PATIENCE = 5
"""So many times as many items are named as answers are wanted."""


def interview(
    recommender: Recommender,
    ratings: dict[str, float],
    count: int,
    read: Callable[[str], str],
    say: Callable[[str], None],
    features: About = MappingProxyType({}),
) -> dict[str, float]:
    """Ask until so many answers are there, the input ends, or nobody could be expected to know more.

    Args:
        recommender: Fitted anew after every answer, and left as it is after the last.
        ratings: What is known of somebody at first, by item.
        count: Answers that are wanted.
        read: Shows a question and returns what is typed; raises EOFError where there is no more.
        say: Shows a line.
        features: What is known of somebody besides.

    Returns:
        All ratings, those at first among them.

    Raises:
        InputError: As of `Recommender.ask` and `Recommender.fit`.
    """
    known, skipped = dict(ratings), list[str]()
    low, high = recommender.scale
    recommender.fit(known, features)
    recommender.ask(count)  # refused here, before anybody is asked
    say(f"Rate from {low:g} to {high:g}; 'skip' or Enter for what you do not know, Ctrl-D to end.")
    answered = 0
    while answered < count and answered + len(skipped) < _PATIENCE * count:
        try:
            title = recommender.ask(1, skipped)[0]
        except InputError:  # all are rated or skipped
            break
        answer = _answer(f"{answered + 1} of {count}. {title}: ", recommender.scale, read, say)
        if answer is None:
            break
        if isinstance(answer, str):
            skipped.append(title)
            continue
        known[title] = answer
        answered += 1
        recommender.fit(known, features, lambda _: None)  # notices came with the first one
    return known


def _answer(
    question: str, scale: tuple[float, float], read: Callable[[str], str], say: Callable[[str], None]
) -> float | str | None:
    """A rating, "skip", or None where the input has ended; asked again until it is one of these."""
    low, high = scale
    while True:
        try:
            typed = read(question).strip().casefold()
        except EOFError:
            return None
        if typed in SKIP:
            return SKIP[0]
        try:
            value = float(typed.replace(",", "."))
        except ValueError:
            value = float("nan")
        if low <= value <= high:
            return value
        say(f"'{typed[:40]}' is no rating from {low:g} to {high:g}: type such a number, or skip.")
