"""What a task learned from, version by version: nothing is ever lost, and every version can come back."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from innerloop.core.errors import InputError

Label = str | int | bool
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Version:
    """One entry of the list. Which rows it holds is told as the difference to an earlier one."""

    version: int
    """From 1."""
    time: str
    """UTC, ISO 8601."""
    action: str
    """Such as "fit", "add cat", "drop dog", "undo"."""
    base: int | None
    """The version it starts from; None: nothing."""
    added: tuple[tuple[Label, int, int], ...] = ()
    """(label, first row, number of rows)."""
    dropped: tuple[Label, ...] = ()
    """Classes of the base that it does not have."""
    removed: tuple[int, ...] = ()
    """Single rows of the base that are not where they were; `added` may name them again, with another class."""
    declared: tuple[Label, ...] | None = None
    """Classes that are known by their names, with or without examples; None: those of the base."""
    undo: int | None = None
    """The version that undoing goes back to; None: there is none."""
    redo: tuple[int, ...] = ()
    """Versions that were undone; the last is the next to be redone."""
    taught: tuple[tuple[Label, int], ...] = ()
    """How many examples classes were ever taught, of which a budget keeps some; of others: those of the base."""
    let_go: bool = False
    """Whether its examples are gone, for which a budget has no room: it cannot come back."""


@dataclass(frozen=True)
class History:
    """An append-only list of versions; the last is the present one. Rows are numbers into one growing table."""

    versions: tuple[Version, ...]

    @classmethod
    def begin(
        cls,
        added: Iterable[tuple[Label, int, int]],
        declared: Sequence[Label] = (),
        taught: Sequence[tuple[Label, int]] = (),
    ) -> "History":
        """The history of a task that was taught for the first time, by examples or by names of classes."""
        action = f"name {_shown(declared)}" if declared else "fit"
        known = tuple(declared) or None
        first = Version(version=1, time=_now(), action=action, base=None, added=tuple(added), declared=known)
        return cls((replace(first, taught=tuple(taught)),))

    @property
    def present(self) -> Version:
        """The last version."""
        return self.versions[-1]

    def members(self, version: int | None = None) -> dict[Label, list[int]]:
        """The rows of every class, classes in sorted order; none of a class that is known by its name alone.

        Args:
            version: Of which; None: the present one.

        Raises:
            InputError: There is no such version.
        """
        return _sorted(self.state(version))

    def state(self, version: int | None = None) -> "State":
        """What a version holds, see `members`."""
        # From the version back to where nothing was before it, then forwards: entries hold differences only.
        chain, at = [], self._entry(self.present.version if version is None else version)
        while True:
            chain.append(at)
            if at.base is None:
                break
            at = self._entry(at.base)
        state = State()
        for entry in reversed(chain):
            state = _changed(state, entry)
        return state

    def each(self) -> Iterator[dict[Label, list[int]]]:
        """The `members` of every version, one after another; faster than to ask for each."""
        yield from map(_sorted, self.states())

    def declared(self) -> Iterator[frozenset[Label]]:
        """The classes that are known by their names, with or without examples, of every version."""
        yield from (state.declared for state in self.states())

    def states(self) -> Iterator["State"]:
        """What every version holds, one after another; nothing, where it was let go."""
        # Every base is an earlier version, so its state is there already; lists of rows are never changed in place.
        states: list[State] = []
        for entry in self.versions:
            states.append(_changed(State() if entry.base is None else states[entry.base - 1], entry))
            yield states[-1]

    def examples(self, version: int | None = None) -> dict[Label, int]:
        """The number of examples that every class was taught, whether a budget keeps them or not."""
        state = self.state(version)
        return {label: state.taught.get(label, len(rows)) for label, rows in _sorted(state).items()}

    def add(
        self,
        added: Sequence[tuple[Label, int, int]],
        removed: Sequence[int] = (),
        taught: Sequence[tuple[Label, int]] = (),
        named: Sequence[Label] | None = None,
    ) -> "History":
        """More examples, of classes that are known or new.

        Args:
            added: (label, first row, number of rows).
            removed: Rows whose places they take.
            taught: How many examples these classes were ever taught; empty: as many as they have.
            named: Classes that were taught, also where nothing of that stays; None: those of `added`.
        """
        last, shown = self.present.version, [one[0] for one in added] if named is None else named
        about = {"added": tuple(added), "removed": tuple(removed), "taught": tuple(taught)}
        return self._append(f"add {_shown(shown)}", base=last, undo=last, **about)

    def beginning(self, first: int, states: Sequence["State"]) -> "History":
        """The same versions, of which those before one are let go.

        Args:
            first: How many are.
            states: What each of the others holds.
        """
        gone = {"base": None, "added": (), "dropped": (), "removed": (), "declared": None, "taught": (), "let_go": True}
        versions = [v if v.let_go else replace(v, **gone) for v in self.versions[:first]]
        before, base = State(), None
        for entry, now in zip(self.versions[first:], states, strict=True):
            was = {row: label for label, rows in before.members.items() for row in rows}
            new = {row: label for label, rows in now.members.items() for row in rows}
            versions.append(
                replace(
                    entry,
                    base=base,
                    added=runs(sorted((label, row) for row, label in new.items() if was.get(row) != label)),
                    removed=tuple(sorted(row for row, label in was.items() if new.get(row) != label)),
                    dropped=(),
                    declared=None if now.declared == before.declared else tuple(sorted(now.declared)),
                    taught=tuple(sorted(now.taught.items())),
                )
            )
            before, base = now, entry.version
        return History(tuple(versions))

    def declare(self, labels: Sequence[Label]) -> "History":
        """More classes, known by their names."""
        last = self.present.version
        known = (*sorted(self.state(last).declared), *labels)
        return self._append(f"name {_shown(labels)}", base=last, undo=last, declared=known)

    def drop(self, label: Label) -> "History":
        """One class less.

        Raises:
            InputError: It is not known.
        """
        known = self.members()
        if not any(type(one) is type(label) and one == label for one in known):  # True is not 1 here
            raise InputError(f"there is no class {label!r} to drop: the classes are {', '.join(map(str, known))}")
        last = self.present.version
        known = self.state(last).declared
        left = tuple(sorted(known - {label})) if label in known else None
        return self._append(f"drop {label}", base=last, undo=last, dropped=(label,), declared=left)

    def without(self, rows: Iterable[int], action: str = "hold out") -> "History":
        """Some examples less, such as those that are held out to be asked; rows that it does not have are none less."""
        last = self.present.version
        return self._append(action, base=last, undo=last, removed=tuple(rows))

    def undone(self) -> "History":
        """Before the last change that was not undone yet.

        Raises:
            InputError: There is nothing before.
        """
        last = self.present
        if last.undo is None:
            raise InputError("there is nothing to undo: this is how the task was first taught")
        # What `to` can undo and what was undone so far go along: undoing again goes on from there.
        to = self._entry(last.undo)
        return self._append("undo", base=to.version, undo=to.undo, redo=(*last.redo, last.version))

    def redone(self) -> "History":
        """What was undone last, as long as nothing was changed since.

        Raises:
            InputError: Nothing was undone, or something was changed since.
        """
        last = self.present
        if not last.redo:
            raise InputError("there is nothing to redo: nothing was undone since the last change")
        return self._append("redo", base=last.redo[-1], undo=last.version, redo=last.redo[:-1])

    def back_to(self, version: int) -> "History":
        """Any earlier version again, as a new one that can be undone.

        Raises:
            InputError: There is no such version.
        """
        to = self._entry(version)
        # Not `to.undo`: one undo leads back to where the person was, wherever they jumped.
        return self._append(f"back to {to.version}", base=to.version, undo=self.present.version)

    def back(self, to: int | None) -> "History":
        """`back_to` a version; None: `undone`."""
        return self.undone() if to is None else self.back_to(to)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain JSON values."""
        return [asdict(version) for version in self.versions]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]], rows: int) -> "History":
        """The inverse of `to_json`; content is untrusted.

        Args:
            content: What `to_json` gave.
            rows: How many rows there are.

        Raises:
            ValueError: It does not hold together.
            TypeError: Fields are missing, unknown or of another type.
        """
        versions, total, seen = [], 0, set()
        for number, entry in enumerate(content, 1):
            added = tuple((label, int(first), int(count)) for label, first, count in entry["added"])
            version = Version(
                **{
                    **entry,
                    "added": added,
                    "dropped": tuple(entry["dropped"]),
                    "removed": tuple(int(row) for row in entry.get("removed", ())),
                    "declared": None if entry.get("declared") is None else tuple(entry["declared"]),
                    "redo": tuple(entry["redo"]),
                    "taught": tuple((label, int(count)) for label, count in entry.get("taught", ())),
                }
            )
            # Only earlier versions may be named, so that no file can make `members` go round for ever.
            earlier = [version.base, version.undo, *version.redo]
            if version.version != number or not all(v is None or (_whole(v) and 1 <= v < number) for v in earlier):
                raise ValueError(f"version {number} does not follow from those before it")
            # Counted before the rows are listed: a count of 10^12 in a file costs nothing.
            total += sum(count for _, _, count in added) - len(version.removed)
            if total > rows or not all(first >= 0 < count and first + count <= rows for _, first, count in added):
                raise ValueError(f"version {number} names examples that are not there, or twice")
            # A row may come again only where this version takes it out of its class: to move an example.
            again = [row for _, first, count in added for row in range(first, first + count)]
            if len(set(again)) < len(again) or not seen.isdisjoint(set(again) - set(version.removed)):
                raise ValueError(f"version {number} names examples that are not there, or twice")
            seen.update(again)
            if type(version.let_go) is not bool or any(count < 0 for _, count in version.taught):
                raise ValueError(f"version {number} was let go and was not")
            if not isinstance(version.time, str) or not isinstance(version.action, str):
                raise TypeError(f"version {number} has no time or action")
            versions.append(version)
        history = cls(tuple(versions))
        if not versions or not history.members():
            raise ValueError("no version holds a class")
        return history

    def _entry(self, version: int) -> Version:
        try:
            number = operator.index(version)
        except TypeError as error:
            raise InputError(f"a version is a whole number, from 1 to {len(self.versions)}; got {version!r}") from error
        if not 1 <= number <= len(self.versions):
            raise InputError(f"there is no version {version}: there are 1 to {len(self.versions)}")
        if self.versions[number - 1].let_go:
            first = next(one.version for one in self.versions if not one.let_go)
            raise InputError(
                f"version {version} cannot come back: the budget of this task has let examples of it go, and keeps "
                f"those of versions {first} to {len(self.versions)}"
            )
        return self.versions[number - 1]

    def _append(
        self,
        action: str,
        *,
        base: int,
        undo: int | None,
        redo: tuple[int, ...] = (),
        added: tuple[tuple[Label, int, int], ...] = (),
        dropped: tuple[Label, ...] = (),
        removed: tuple[int, ...] = (),
        declared: tuple[Label, ...] | None = None,
        taught: tuple[tuple[Label, int], ...] = (),
    ) -> "History":
        entry = Version(
            version=len(self.versions) + 1,
            time=_now(),
            action=action,
            base=base,
            added=added,
            dropped=dropped,
            removed=removed,
            declared=declared,
            undo=undo,
            redo=redo,
            taught=taught,
        )
        return History((*self.versions, entry))


class State(NamedTuple):
    """What a version holds."""

    members: Mapping[Label, list[int]] = {}
    declared: frozenset[Label] = frozenset()
    taught: Mapping[Label, int] = {}


def _changed(before: State, entry: Version) -> State:
    # A new dict: the state of the base belongs to the versions that start from it.
    members = {label: rows for label, rows in before.members.items() if label not in entry.dropped}
    taught = {label: n for label, n in before.taught.items() if label not in entry.dropped} | dict(entry.taught)
    if gone := set(entry.removed):
        members = {label: [row for row in rows if row not in gone] for label, rows in members.items()}
    for label, first, count in entry.added:
        members[label] = [*members.get(label, ()), *range(first, first + count)]
    return State(members, before.declared if entry.declared is None else frozenset(entry.declared), taught)


def _sorted(state: State) -> dict[Label, list[int]]:
    # Sorted, so that a version is what its examples are, whatever the order they came in; no class without any, unless
    # it is known by its name.
    labels = {label for label, rows in state.members.items() if rows} | state.declared
    return {label: sorted(state.members.get(label, ())) for label in sorted(labels)}


def runs(places: Sequence[tuple[Label, int]]) -> tuple[tuple[Label, int, int], ...]:
    """Places of rows, sorted by class, as (class, first, count)."""
    keyed = groupby(enumerate(places), key=lambda pair: (pair[1][0], pair[1][1] - pair[0]))
    groups = [(label, [at for _, (_, at) in run]) for (label, _), run in keyed]
    return tuple((label, run[0], len(run)) for label, run in groups)


def _shown(labels: Sequence[Label]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(map(str, labels[:_SHOWN])) + more


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
