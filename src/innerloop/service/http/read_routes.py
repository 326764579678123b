"""Everything that is only looked at: sources, runs, health, metrics, and the page with its files."""

import functools
import importlib.util
import json
import math
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from innerloop.core.errors import InputError
from innerloop.engine import checkpoint
from innerloop.evaluate.result import Result
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Worker
from innerloop.service.http.schemas import Health, RunDetails, RunOut, SourceOut

router = APIRouter(responses=REFUSALS)
WEB = Path(__file__).parents[1] / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
_PLOTLY = "plotly.min.js"
_LINES = 2_000
"""Lines of a run's metrics in one answer; longer runs are thinned."""

Run = Annotated[str, InPath(max_length=200, description="Of the run folder.", examples=["protonet"])]


@router.get("/healthz", tags=["service"])
def health(worker: Worker) -> Health:
    """That the server and its store work."""
    return Health(status="ok", version=metadata.version("innerloop"), tasks=len(worker.store.tasks()))


@router.get(
    "/metrics",
    tags=["service"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def metrics(worker: Worker) -> Response:
    """What Prometheus reads."""
    worker.measure()
    text, kind = worker.metrics.page()
    return Response(text, media_type=kind)


@router.get("/api/sources", tags=["service"])
def list_sources(worker: Worker) -> list[SourceOut]:
    """What tasks can be taught to."""
    return [SourceOut(name=o.name, kind=o.kind, about=o.about) for o in worker.sources.offers()]


@router.get("/api/runs", tags=["runs"])
def list_runs(worker: Worker) -> list[RunOut]:
    """Run folders under the folder that `--runs` names."""
    root = worker.settings.run_folder
    if root is None or not root.is_dir():
        return []
    runs = []
    for folder in sorted(p.parent for p in root.glob("*/config.json")):
        try:
            config = checkpoint.read_config(folder)
        except InputError:
            continue  # being written, or of another release: the others can still be looked at
        record, train = config.get("record") or {}, config.get("train") or {}
        runs.append(
            RunOut(
                name=folder.name,
                learner=record.get("learner"),
                data=(record.get("task") or {}).get("data") or record.get("dataset"),
                steps=train.get("steps"),
                tests=[_summary(path) for path in _tests(folder)],
            )
        )
    return runs


@router.get("/api/runs/{name}", tags=["runs"])
def show_run(name: Run, worker: Worker) -> RunDetails:
    """One run: its configuration, its learning curve, and its tests with the score of every episode."""
    root = worker.settings.run_folder
    if root is None or name not in {p.parent.name for p in root.glob("*/config.json")}:
        raise HTTPError(404, f"there is no run '{name}' here")
    folder = root / name
    return RunDetails(
        name=name,
        config=_finite(checkpoint.read_config(folder)),
        metrics=_curve(folder / "metrics.jsonl"),
        tests=[_finite(_read(path)) | {"file": path.name} for path in _tests(folder)],
    )


@router.get("/", include_in_schema=False)
def page() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/static/{name}", include_in_schema=False)
def static(name: str) -> Response:
    """A file of the page; plotly comes from its installed package."""
    if name == _PLOTLY:
        spec = importlib.util.find_spec("plotly")
        origin = None if spec is None else spec.origin
        script = None if origin is None else Path(origin).parent / "package_data" / _PLOTLY
        if script is None or not script.is_file():
            raise HTTPError(404, "learning curves need plotly: pip install 'innerloop[serve]'")
        headers = {"cache-control": "public, max-age=86400"}
        return Response(_content(script), media_type=_TYPES[".js"], headers=headers)
    return _file(name)


@functools.cache
def _content(script: Path) -> bytes:
    return script.read_bytes()  # of four megabytes, one copy for everyone who asks


def _file(name: str) -> Response:
    # Only names that the folder lists are opened, so that no path can lead out of it.
    kind = _TYPES.get(Path(name).suffix)
    if kind is None or not WEB.is_dir() or name not in {p.name for p in WEB.iterdir() if p.is_file()}:
        raise HTTPError(404, f"there is no page '{name[:100]}'")
    return Response((WEB / name).read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


def _tests(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("test-*.json") if p.is_file())


def _summary(path: Path) -> dict[str, Any]:
    try:
        result = Result.load(path)
    except InputError as error:
        return {"file": path.name, "error": str(error)}
    return {"file": path.name} | _finite(_shown(result))


def _shown(result: Result) -> dict[str, Any]:
    summary = {k: v for k, v in result.to_json().items() if k != "scores"}
    return summary | {"metric": result.protocol.metric, "conditions": result.conditions}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {"error": f"it cannot be read ({error})"}
    return content if isinstance(content, dict) else {"error": "it holds no result"}


def _curve(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    keep = max(1, math.ceil(len(lines) / _LINES))
    entries = []
    for i, line in enumerate(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line that is being written
        # Validation scores are few and far between: none is thinned away.
        if isinstance(entry, dict) and (i % keep == 0 or i == len(lines) - 1 or "validation" in line):
            entries.append(_finite(entry))
    return entries


def _finite(value: Any) -> Any:
    """The same with null for what JSON cannot say."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
