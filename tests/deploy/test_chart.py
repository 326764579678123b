"""The chart, as Helm lints and renders it, and what it makes, by the schemas of Kubernetes."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from innerloop.cli import serve
from innerloop.cli.options import parse
from innerloop.service.http import guard
from tests.deploy.dockerfile import DEPLOY, ROOT, stages

yaml = pytest.importorskip("yaml", reason="PyYAML reads what the chart makes")
CHART = DEPLOY / "helm" / "innerloop"
LEAST: dict[str, Any] = {"store": {"existingSecret": "innerloop-database"}}
ALL: dict[str, Any] = LEAST | {
    "image": {"repository": "registry.example.org/innerloop", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 3,
    "workers": 2,
    "allowedHosts": ["models.example.org"],
    "proxies": ["10.0.0.0/8"],
    "sources": ["kanji-protonet", "/models/own.fewshot"],
    "extraArgs": ["--tasks", "50"],
    "extraVolumes": [{"name": "models", "configMap": {"name": "models"}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    "strategy": "Recreate",
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "models.example.org",
        "tlsSecret": "tls",
        "annotations": {"a": "b"},
    },
    "autoscaling": {"enabled": True},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "existingSecret"),
    (LEAST | {"replicas": 0}, "replicas"),
    (LEAST | {"replica": 2}, "replica"),
    (LEAST | {"image": {"repository": "innerloop", "tag": "latest"}}, "tag"),
    (LEAST | {"image": {"repository": "innerloop", "digest": "sha256:1"}}, "digest"),
    (LEAST | {"strategy": "Rolling"}, "strategy"),
    (LEAST | {"ingress": {"enabled": True}}, "ingress.host"),
    (LEAST | {"service": {"port": 70_000}}, "port"),
]
needs_helm = pytest.mark.skipif(
    importlib.util.find_spec("helm_python") is None, reason="no Helm (make test-deploy installs it)"
)


def helm(values: dict[str, Any]) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.deploy.chart", str(CHART), json.dumps(values)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    return json.loads(done.stdout)


def objects(values: dict[str, Any]) -> dict[str, Any]:
    found = helm(values)
    assert "refused" not in found["lint"], found["lint"]
    made = {name: yaml.safe_load(text) for name, text in found["made"].items() if name.endswith(".yaml")}
    return {content["kind"]: content for content in made.values() if content}


def container_of(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def options_of(deployment: dict[str, Any]) -> serve.Command:
    words = container_of(deployment)["args"]
    assert words[0] == "serve" and all(isinstance(word, str) for word in words)
    return parse(serve.Command, words[1:], "serve", "")


@needs_helm
def test_helm_lints_it():
    found = helm(LEAST)["lint"]
    assert found["errors"] == [] and all(one["severity"] < 2 for one in found["messages"])


@needs_helm
@pytest.mark.parametrize("values", [LEAST, ALL], ids=["least", "all"])
def test_what_it_makes_is_of_kubernetes(values):
    validate = pytest.importorskip("kubernetes_validate", reason="make test-deploy installs it")
    made = objects(values)
    wanted = {"Deployment", "Service", "PodDisruptionBudget"}
    assert set(made) == wanted | ({"Ingress", "HorizontalPodAutoscaler"} if values is ALL else set())
    for content in made.values():
        validate.validate(content, "1.34", strict=True)
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for place in (
        made["Service"]["spec"]["selector"],
        made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        made["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert place and place.items() <= labels


@needs_helm
def test_its_pods_run_as_nobody_on_a_root_that_is_read_only():
    deployment = objects(LEAST)["Deployment"]
    pod, container = deployment["spec"]["template"]["spec"], container_of(deployment)
    final = stages((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))[-1]
    (user,) = [one.text for one in final if one.name == "USER"]
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    inside = container["securityContext"]
    assert inside["readOnlyRootFilesystem"] and not inside["allowPrivilegeEscalation"]
    assert inside["capabilities"] == {"drop": ["ALL"]}
    (kept,) = [one.words for one in final if one.name == "VOLUME"]
    written = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert kept is not None and written == {"/tmp", *kept}
    probes = {container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes <= set(guard._HEALTH) and len(probes) == 2


@needs_helm
def test_its_command_is_one_that_there_is():
    least, most = (objects(values)["Deployment"] for values in (LEAST, ALL))
    options = options_of(least)
    assert (options.store, options.host, options.workers) == ("postgresql:///?service=innerloop", "0.0.0.0", 1)
    (port,) = container_of(least)["ports"]
    assert port["containerPort"] == options.port
    options = options_of(most)
    assert options.allowed_hosts == ("models.example.org",) and options.proxy == ("10.0.0.0/8",)
    assert options.source == ("kanji-protonet", "/models/own.fewshot") and options.limits.tasks == 50
    assert "replicas" not in most["spec"], "the autoscaler counts them"
    assert container_of(most)["image"].endswith(f"/innerloop@sha256:{'0' * 64}")


@needs_helm
def test_the_password_is_in_no_environment_and_no_command():
    deployment = objects(LEAST)["Deployment"]
    environment = {one["name"]: one["value"] for one in container_of(deployment)["env"]}
    (volume,) = [one for one in deployment["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    (mount,) = [one for one in container_of(deployment)["volumeMounts"] if one["name"] == volume["name"]]
    (item,) = volume["secret"]["items"]
    assert environment["PGSERVICEFILE"] == f"{mount['mountPath']}/{item['path']}" and mount["readOnly"]
    assert volume["secret"]["secretName"] == "innerloop-database"


@needs_helm
@pytest.mark.parametrize("values,said", WRONG, ids=[said for _, said in WRONG])
def test_values_that_cannot_be_are_refused_by_name(values, said):
    assert said in helm(values)["lint"]["refused"]


def test_the_schema_knows_every_value():
    jsonschema = pytest.importorskip("jsonschema", reason="it reads the schema")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert set(schema["properties"]) == {*values, "global"}
    for name, about in schema["properties"].items():
        if about.get("additionalProperties") is False and name != "resources":
            assert set(about["properties"]) == set(values[name]), name
    used = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    assert all(f".Values.{name}" in used for name in values), "a value that changes nothing"


def test_it_is_of_the_version_of_the_package():
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["appVersion"] == project["version"] and re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
