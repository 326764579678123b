"""Processes that share the work of one command."""

import pytest

from innerloop.core.errors import InputError
from innerloop.studies.workers import in_processes


def work(error: type[Exception]) -> None:
    raise error("no")


@pytest.mark.slow
def test_one_that_fails_is_told_and_the_caller_goes_on(capfd):
    in_processes(1, work, RuntimeError)
    error = capfd.readouterr().err
    assert "RuntimeError: no" in error and "1 of 1 workers ended before their work was done" in error
    with pytest.raises(InputError, match="its message is above"):
        in_processes(1, work, InputError)
