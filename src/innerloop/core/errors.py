"""What can go wrong, as a person should read it: what was given, what is needed, the next step."""


class InnerloopError(Exception):
    """Base of every error this package raises on purpose; `code` is the command line's exit status."""

    code = 1


class InputError(InnerloopError, ValueError):
    """Something impossible was asked for; nothing was written."""

    code = 2


class FailedError(InnerloopError, RuntimeError):
    """The work itself failed: a loss became NaN, an audit found a bug, the disk is full."""
