"""What the OpenAPI document promises, tried with thousands of requests that were made from it."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from innerloop.service.http.app import create
from innerloop.service.settings import Settings
from tests.service.served import PLAIN, WORDS, teach

pytestmark = pytest.mark.slow
schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

EXAMPLES = 40
"""Of each operation."""
REFUSED = ["4XX", "5XX"]
"""A name of 200,000 characters is too long for the head of a request (431) before it is too long for its field."""


@schemathesis.serializer("application/x-ndjson")
def lines(_, value: Any) -> bytes:
    """A line of JSON for each of some values, or for the one."""
    return b"\n".join(json.dumps(one).encode() for one in (value if isinstance(value, list) else [value]))


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    store = tmp_path_factory.mktemp("spec") / "store"
    made = create(Settings(store=str(store), sources=(PLAIN, WORDS), allow=("tests",)))
    from starlette.testclient import TestClient

    with TestClient(made, base_url="http://localhost") as client:
        teach(client, "intents")
        yield made


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_server_does_what_its_document_says(app, mode):
    config = schemathesis.Config.from_dict(
        {"base-url": "http://localhost", "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}
    )
    document = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"}, config=config)
    tried = 0
    every: Any = list(HealthCheck)
    for operation in (found.ok() for found in document.get_all_operations()):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=every,
        )
        def check(case):
            nonlocal tried
            tried += 1
            # A document cannot say which sources there are, nor of what kind and length a task's examples must be.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        with contextlib.suppress(Unsatisfiable):  # nothing that is wrong can be sent where nothing is sent
            check()
    assert tried > 10 * EXAMPLES
