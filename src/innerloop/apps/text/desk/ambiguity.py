"""Expressions that match one text in ever more ways: a search for them takes time that doubles with every few letters.

The places of an expression where it takes a letter are states of an automaton (Glushkov 1961), whose steps are counted.
It is exponential where two ways lead from a state back to it over the same letters (Weber and Seidl 1991,
https://doi.org/10.1016/0304-3975(91)90381-B).
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from re import _compiler as compiler  # pyright: ignore[reportAttributeAccessIssue]
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)
_LETTERS = "aZ0_ \n-!é中"
"""Letters of every kind that an expression tells apart; those that it names are added."""
_COPIES = 20
"""Times that what is repeated is written out."""
_STEPS = 2_000
"""Steps of an automaton that can be looked through in time: of more, nothing is known."""
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_TAKES = ("LITERAL", "NOT_LITERAL", "ANY", "IN")


class LargeError(Exception):
    """An expression is too large to be looked through."""


class _Ends(NamedTuple):
    """A part of an expression: in how many ways it takes nothing, and where it may begin and end."""

    empty: int
    first: Counter[int]
    last: Counter[int]


_NOTHING = _Ends(1, Counter(), Counter())


def doubles(text: str) -> bool:
    """Whether the ways in which an expression matches a text may double with every few of its letters.

    Args:
        text: The expression, without regard to small and large letters.

    Raises:
        LargeError: It is too large to tell.
    """
    return _Automaton(parser.parse(text)).doubles()


class _Automaton:
    def __init__(self, parts: Any):
        self._state = parts.state
        self._letters = set(_LETTERS) | {chr(code) for code in _codes(parts)}
        self._known: dict[str, frozenset[str]] = {}
        self._taken: list[frozenset[str]] = []
        """Letters that each state takes."""
        self._steps: list[Counter[int]] = []
        """In how many ways another one follows it."""
        self._count = 0
        self._sequence(parts)

    def doubles(self) -> bool:
        left = set(range(len(self._taken)))
        before: list[set[int]] = [set() for _ in self._steps]
        for state, after in enumerate(self._steps):
            for other in after:
                before[other].add(state)
        while left:
            state = left.pop()
            loop = _reached({state}, lambda one: self._steps[one]) & _reached({state}, before.__getitem__)
            left -= loop
            if self._loop_doubles(state, loop):
                return True
        return False

    def _loop_doubles(self, state: int, loop: set[int]) -> bool:
        """Whether two ways lead from a state back to it; where one does for a state of a loop, it does for all."""
        inside = {one: [other for other in self._steps[one] if other in loop] for one in loop}
        if any(self._steps[one][other] > 1 for one, others in inside.items() for other in others):
            return True
        before: dict[tuple[int, int], set[tuple[int, int]]] = {}

        def after(pair: tuple[int, int]) -> Iterator[tuple[int, int]]:
            for one in inside[pair[0]]:
                for other in inside[pair[1]]:
                    if self._taken[one] & self._taken[other]:
                        now = (min(one, other), max(one, other))
                        before.setdefault(now, set()).add(pair)
                        yield now

        start = (state, state)
        apart = {pair for pair in _reached({start}, after) if pair[0] != pair[1]}
        return bool(apart & _reached({start}, lambda pair: before.get(pair, ())))

    def _sequence(self, parts: Iterable[Any]) -> _Ends:
        ends = _NOTHING
        for kind, what in parts:
            ends = self._joined(ends, self._part(str(kind), what))
        return ends

    def _part(self, kind: str, what: Any) -> _Ends:
        if kind in _TAKES:
            return self._takes(kind, what)
        if kind in _REPEATS:
            return self._repeated(*what)
        if kind == "BRANCH":
            return self._chosen(what[1])
        if kind == "SUBPATTERN":
            return self._sequence(what[-1])
        if kind == "ATOMIC_GROUP":
            return self._sequence(what)
        if kind in ("ASSERT", "ASSERT_NOT"):
            self._sequence(what[1])  # it takes nothing of what comes after, and may be slow by itself
        if kind == "GROUPREF_EXISTS":
            return self._chosen([what[1], what[2] or []])
        if kind == "GROUPREF":  # some letters, whichever
            return self._repeated(0, 2, [(parser.ANY, None)])
        return _NOTHING

    def _takes(self, kind: str, what: Any) -> _Ends:
        item = (getattr(parser, kind), what)
        if (taken := self._known.get(str(item))) is None:
            one = compiler.compile(parser.SubPattern(self._state, [item]), re.IGNORECASE)
            taken = self._known[str(item)] = frozenset(filter(one.fullmatch, self._letters))
        self._taken.append(taken)
        self._steps.append(Counter())
        if len(self._taken) > _STEPS:
            raise LargeError
        place = Counter([len(self._taken) - 1])
        return _Ends(0, place, place)

    def _chosen(self, branches: Iterable[Any]) -> _Ends:
        each = [self._sequence(part) for part in branches]
        return _Ends(
            min(2, sum(one.empty for one in each)),
            sum((one.first for one in each), Counter()),
            sum((one.last for one in each), Counter()),
        )

    def _repeated(self, least: int, most: int, inside: Any) -> _Ends:
        found = self._sequence(inside)
        if int(most) == 0:
            return _NOTHING
        if int(most) == 1:
            return found if least else found._replace(empty=found.empty + 1)
        if int(least) == int(most) <= _COPIES and _is_fixed(inside):
            for _ in range(int(most) - 1):
                found = self._joined(found, self._sequence(inside))
            return found
        # Many bounded ones are as slow as those without a bound. What may take nothing is repeated in several ways.
        self._follow(found.last, found.first, 2 if found.empty else 1)
        return found._replace(empty=1 if least == 0 or found.empty else 0)

    def _joined(self, one: _Ends, other: _Ends) -> _Ends:
        self._follow(one.last, other.first)
        return _Ends(
            min(2, one.empty * other.empty),
            one.first + _times(other.first, one.empty),
            other.last + _times(one.last, other.empty),
        )

    def _follow(self, last: Counter[int], first: Counter[int], ways: int = 1) -> None:
        self._count += len(last) * len(first)
        if self._count > _STEPS:
            raise LargeError
        for one, ends in last.items():
            for other, begins in first.items():
                self._steps[one][other] += ends * begins * ways


def _times(places: Counter[int], ways: int) -> Counter[int]:
    return Counter({place: count * ways for place, count in places.items() if ways})


def _is_fixed(parts: Any) -> bool:
    """Whether a part takes letters one by one, in a single way."""
    return all(
        str(kind) in _TAKES or (str(kind) == "SUBPATTERN" and _is_fixed(what[-1])) or _is_count(kind, what)
        for kind, what in parts
    )


def _is_count(kind: Any, what: Any) -> bool:
    return str(kind) in _REPEATS and 0 < int(what[0]) == int(what[1]) <= _COPIES and _is_fixed(what[2])


def _codes(tree: Any) -> Iterator[int]:
    """Letters that an expression names, and their neighbours."""
    if not isinstance(tree, (tuple, list, parser.SubPattern)):
        return
    kind = str(tree[0]) if isinstance(tree, tuple) and tree else ""
    if kind in ("LITERAL", "NOT_LITERAL", "RANGE"):
        for code in tree[1] if kind == "RANGE" else (tree[1],):
            yield from (near for near in range(code - 1, code + 2) if 0 <= near <= 0x10FFFF)
        return
    for part in tree:
        yield from _codes(part)


def _reached(found: set[T], after: Callable[[T], Iterable[T]]) -> set[T]:
    """What can be come to by steps, with where they begin."""
    found, left = set(found), list(found)
    while left:
        for one in after(left.pop()):
            if one not in found:
                found.add(one)
                left.append(one)
    return found
