"""Estimators whose task has versions: what classifiers and taggers have in common."""

import abc
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from innerloop.fewshot import paths, scikit
from innerloop.fewshot.history import History


class HasHistory(Protocol):
    """A taught task."""

    @property
    def history(self) -> History:
        """Its versions."""
        ...

    def at(self, history: History) -> Self:
        """The task as another history of the same examples has it."""
        ...


Taught = TypeVar("Taught", bound=HasHistory)


class Versioned(scikit.Settings, abc.ABC, Generic[Taught]):
    """An estimator that keeps what it learned as one task, which is never changed, only replaced."""

    _task: Taught

    def undo(self, to: int | None = None) -> Self:
        """Go back one version, or to any; nothing is lost, and `redo` takes it back.

        Args:
            to: A version of `history`; None: before the last change.

        Raises:
            InputError: There is nothing to undo, or no such version.
        """
        task = self._fitted()
        self._task = task.at(task.history.back(to))
        return self

    def redo(self) -> Self:
        """Take back what `undo` did, as long as nothing was changed since.

        Raises:
            InputError: There is nothing to redo.
        """
        task = self._fitted()
        self._task = task.at(task.history.redone())
        return self

    def save(self, path: str | Path) -> Path:
        """Write what was learned to one portable file, whole or not at all.

        Raises:
            InputError: Nothing was learned yet, it cannot be written, or the file that this was loaded from was changed
                since by another.
        """
        path, task = paths.named(path), self._fitted()
        self._read_from = paths.replaced(path, self.__dict__.get("_read_from"), lambda: self._write(path, task))
        return path

    @abc.abstractmethod
    def _write(self, path: Path, task: Taught) -> None:
        """Write a task to a file."""

    def _fitted(self) -> Taught:
        task: Any = self.__dict__.get("_task")
        if task is None:
            raise scikit.not_fitted()
        return task
