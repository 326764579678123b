"""What the processes of `tests.faults` need, imported once."""

import tests.test_faults  # noqa: F401
