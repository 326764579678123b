"""The dashboard of Grafana asks for what the service really says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from innerloop.service.store import keys
from innerloop.service.store.keys import Quota
from tests.service.served import WORDS, served_by, serving, teach

BOARD = Path(__file__).parents[3] / "docs" / "grafana" / "innerloop.json"
_METRIC = re.compile(r"\b(innerloop_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")


def queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def unknown(query: str, said: dict[str, set[str]]) -> list[str]:
    """Metrics and labels of a query that nobody says."""
    if (listed := _VALUES.fullmatch(query)) is not None:
        return [] if listed[2] in said.get(listed[1], set()) else [query]
    metrics = {name: re.findall(r"(\w+)\s*[=!]", inner or "") for name, inner in _METRIC.findall(query)}
    wrong = [name for name in metrics if name not in said]
    grouped = {label.strip() for labels in _GROUPED.findall(query) for label in labels.split(",")}
    for name in metrics.keys() & said.keys():
        wrong += [f"{name} {label}" for label in {*metrics[name], *grouped} - said[name]]
    return wrong if metrics else [query]


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, set[str]]:
    """Labels of every metric of a service that was taught and asked."""
    place = tmp_path_factory.mktemp("store")
    _, token = keys.add(place, "write", quota=Quota(1_000, 100, 10**7))
    with serving(place, demand_keys=True) as client:
        client.headers = {"authorization": f"Bearer {token}"}
        teach(client)
        answer = client.post("/api/tasks/t/predict", json={"texts": ["aab"]}).json()["predictions"][0]
        client.post("/api/tasks/t/feedback", json={"prediction": answer["id"], "label": "a"}).raise_for_status()
        served_by(client).drifting.wait()
        text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_is_one_that_the_service_says(said):
    asked = list(queries(json.loads(BOARD.read_text())))
    assert len(asked) > 15 and not [wrong for query in asked for wrong in unknown(query, said)]
    about = " ".join(asked)
    for metric in ("requests_total", "request_seconds", "waiting", "adapted", "key_used"):
        assert f"innerloop_{metric}" in about


def test_what_keys_with_limits_use_is_said(tmp_path):
    for quota in (Quota(requests=10, examples=5), Quota(), Quota(bytes=100)):
        _, token = keys.add(tmp_path, "write", quota=quota)
    keys.revoke(tmp_path, 3)
    _, token = keys.add(tmp_path, "write", quota=Quota(requests=10, examples=5))
    with serving(tmp_path, demand_keys=True) as client:
        client.headers = {"authorization": f"Bearer {token}"}
        teach(client, source=WORDS)
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith("innerloop_key")]
    limits = {f'innerloop_key_limit{{key="{key}",of="{of}"}} {most}' for key in "14" for of, most in LIMITS}
    used = {'innerloop_key_used{key="4",of="requests"} 3.0', 'innerloop_key_used{key="4",of="examples"} 4.0'}
    used |= {f'innerloop_key_used{{key="1",of="{of}"}} 0.0' for of, _ in LIMITS}
    assert set(lines) == limits | used


LIMITS = (("requests", "10.0"), ("examples", "5.0"))


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sum(rate(innerloop_requests[5m]))", ["innerloop_requests"]),
        ('innerloop_requests_total{code="200"}', ["innerloop_requests_total code"]),
        ("sum by (task) (innerloop_adapted_tasks)", ["innerloop_adapted_tasks task"]),
        ("label_values(innerloop_requests_total, path)", ["label_values(innerloop_requests_total, path)"]),
        ("up", ["up"]),
    ],
)
def test_what_nobody_says_is_found(query, wrong, said):
    assert unknown(query, said) == wrong
