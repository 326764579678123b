"""Refusals of a store; nothing was changed."""

from innerloop.core.errors import FailedError, InputError


class MissingError(InputError):
    """There is no such task, version, class or example."""


class ConflictError(InputError):
    """What the store holds already stands against it."""


class StaleError(ConflictError):
    """The task has changed since it was looked at."""


class RereadError(StaleError):
    """How its examples are read was decided since they were read."""


class StoreError(FailedError):
    """The store cannot be read or written now; nothing that was acknowledged is lost."""


class BusyError(StoreError):
    """Somebody else holds the store, or too much waits for it; nothing was changed, and it may be tried again."""


class LostError(StoreError):
    """The store's files are gone or damaged: nothing is changed any more until it is started again."""
