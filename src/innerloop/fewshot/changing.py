"""A classifier that forgets a class, and goes back and forth among the versions of its task."""

from typing import Self

from innerloop.fewshot.fitted import Fitted
from innerloop.fewshot.history import Label
from innerloop.fewshot.labels import known_as


class Changing(Fitted):
    """Changes that bring no example: each makes one more version."""

    def drop_class(self, label: Label) -> Self:
        """Forget a class, which `undo` brings back; an `InputError` where there is none, or fewer than two are left."""
        task = self._fitted()
        self._task = task.at(task.history.drop(known_as(label, task.classes)))
        return self

    def drop(self, label: Label) -> Self:
        """`drop_class`, by the name that it has on the command line and over HTTP."""
        return self.drop_class(label)
