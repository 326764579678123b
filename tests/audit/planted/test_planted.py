"""An audit finds planted bugs, each by the check that is for it, and says nothing against honest code."""

import pytest

from innerloop.evaluate import audit
from tests.audit.planted import data, learners, networks

BUGS = learners.BUGS | networks.BUGS | data.BUGS
FEWEST = 28


@pytest.fixture(scope="module")
def missed() -> dict[str, str]:
    """Names of the bugs that the check for them did not find, with what was found instead."""
    result = {}
    for name, bug in BUGS.items():
        found = audit(**{"episodes": 24, "plans": ()} | bug.arguments)
        failed = {check.name for check in found.checks if check.passed is False}
        if bug.check not in failed:
            result[name] = f"{bug.check} did not fail, but {', '.join(sorted(failed)) or 'nothing'} did"
    return result


def test_planted_bugs_are_found(missed):
    assert len(BUGS) >= 30
    assert len(BUGS) - len(missed) >= max(FEWEST, len(BUGS) - 2), missed
    assert not missed, missed
