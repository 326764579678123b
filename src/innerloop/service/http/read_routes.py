"""Everything that is only looked at: sources, runs, health, metrics, and the page with its files."""

import contextlib
import functools
import importlib.util
import math
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from pydantic import Field, ValidationError

from innerloop import problems
from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.core.names import of_path
from innerloop.engine import checkpoint
from innerloop.engine.metrics import read_metrics
from innerloop.evaluate import kept
from innerloop.evaluate.compare import comparable, compare
from innerloop.evaluate.result import Result
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Worker, counted
from innerloop.service.http.run_schemas import ComparisonOut, RunDetails, RunOut
from innerloop.service.http.schemas import Health, SourceOut

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
_VERSION = metadata.version("innerloop")
_PACKAGED = {
    "plotly.min.js": ("plotly", "package_data"),
    "swagger-ui-bundle.js": ("fastapi_offline", "static"),
    "swagger-ui.css": ("fastapi_offline", "static"),
}
"""Files of the pages, with the package that has them and where."""
_LINES = 2_000
"""Lines of a run's metrics in one answer; longer runs are thinned."""

_SIDE_BY_SIDE = 200
"""Runs in one comparison."""
_RunName = Annotated[str, Field(max_length=200)]
Run = Annotated[str, InPath(max_length=200, description="Of the run folder.", examples=["protonet"])]


@router.get("/healthz", tags=["service"])
async def health(worker: Worker) -> Health:
    """That the server and its store work; it waits for no thread, and for nobody who holds the store."""
    return Health(status="ok", version=_VERSION, tasks=await counted(worker), idempotency=True)


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
    return [SourceOut(**o._asdict()) for o in worker.sources.offers()]


@router.get("/api/runs", tags=["runs"])
def list_runs(worker: Worker) -> list[RunOut]:
    """Run folders under the folder that `--runs` names."""
    runs = []
    for name, folder in _folders(worker).items():
        # Being written, damaged, or of another release: the others can still be looked at.
        with contextlib.suppress(InputError, ValidationError):
            runs.append(_run(name, folder))
    return runs


@router.get("/api/runs/{name}", tags=["runs"])
def show_run(name: Run, worker: Worker) -> RunDetails:
    """One run: its configuration, its learning curve, and its tests with the score of every episode."""
    folder = _folders(worker).get(name)
    if folder is None:
        raise HTTPError(404, f"there is no run '{name}' here")
    config = checkpoint.read_config(folder)
    return RunDetails(
        name=name,
        config=_sayable(config),
        score=_score(config.get("record") or {}),
        metrics=_curve(folder / "metrics.jsonl"),
        tests=[_sayable(one.to_json(scores=True)) for one in kept.results(folder)],
    )


@router.get("/api/comparisons", tags=["runs"])
def compare_runs(
    worker: Worker, run: Annotated[list[_RunName], Query(min_length=1, max_length=_SIDE_BY_SIDE)]
) -> list[ComparisonOut]:
    """Tests of several runs side by side as `innerloop compare` prints them: a table for each protocol.

    Runs' own results come before those of baselines; differences are paired, and to the first row.
    """
    folders = _folders(worker)
    entries: list[tuple[str, kept.Kept[Result]]] = []
    for name in dict.fromkeys(run):
        if name not in folders:
            raise HTTPError(404, f"there is no run '{name}' here")
        entries += [(name, one) for one in kept.results(folders[name])]
    entries.sort(key=lambda entry: entry[1].baseline is not None)
    tests = [(name, one, one.result) for name, one in entries if one.result is not None]
    return [_comparison(rows) for rows in comparable(tests, lambda test: test[2])]


def _comparison(tests: list[tuple[str, kept.Kept[Result], Result]]) -> ComparisonOut:
    table = compare(*(result for _, _, result in tests))
    rows = [
        _sayable(one.to_json() | {"run": name, "difference": row.cells[-1] or None})
        for (name, one, _), row in zip(tests, table.rows, strict=True)
    ]
    return ComparisonOut(
        hash=table.protocol.hash, conditions=_sayable(tests[0][2].conditions), measured=_sayable(table.notes), rows=rows
    )


def _folders(worker: Worker) -> dict[str, Path]:
    """Run folders by names that JSON can hold."""
    root = worker.settings.run_folder
    if root is None or not files.is_folder(root):
        return {}
    return {of_path(path.parent): path.parent for path in sorted(root.glob("*/config.json"))}


def _run(name: str, folder: Path) -> RunOut:
    config = checkpoint.read_config(folder)
    record, train = config.get("record") or {}, config.get("train") or {}
    task = record.get("task")
    return RunOut(
        name=name,
        learner=_sayable(record.get("learner")),
        data=_sayable((task.get("data") if isinstance(task, dict) else None) or record.get("dataset")),
        steps=train.get("steps"),
        score=_score(record),
        tests=[_sayable(one.to_json()) for one in kept.results(folder)],
    )


@router.get("/", include_in_schema=False)
def page() -> Response:
    """The page."""
    # Not async, like all here that read files: they would stop the event loop.
    return _file("index.html")


@router.get("/docs", include_in_schema=False)
def docs() -> Response:
    """The API, to read and to try; nothing of it is loaded from elsewhere."""
    return _file("docs.html")


@router.get("/static/{name}", include_in_schema=False)
def static(name: str) -> Response:
    """A file of the page; large ones come from installed packages."""
    if name not in _PACKAGED:
        return _file(name)
    package, folder = _PACKAGED[name]
    spec = importlib.util.find_spec(package)
    origin = None if spec is None else spec.origin
    file = None if origin is None else Path(origin).parent / folder / name
    if file is None or not file.is_file():
        raise HTTPError(404, f"this page needs {package}: pip install 'innerloop[serve]'")
    headers = {"cache-control": "public, max-age=86400"}
    return Response(_content(file), media_type=_TYPES[file.suffix], headers=headers)


@functools.cache
def _content(file: Path) -> bytes:
    return file.read_bytes()  # of four megabytes, one copy for everyone who asks


def _file(name: str) -> Response:
    # Only names that the folder lists are opened, so that no path can lead out of it.
    kind = _TYPES.get(Path(name).suffix)
    if kind is None or not WEB.is_dir() or name not in {p.name for p in WEB.iterdir() if p.is_file()}:
        raise HTTPError(404, f"there is no page '{name[:100]}'")
    # Asked for each time: a page of the release before would talk to this server.
    return Response((WEB / name).read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


def _score(record: dict[str, Any]) -> str | None:
    try:
        return problems.of_record(record["task"]).score.title
    except (InputError, LookupError, TypeError, AttributeError):
        return None


def _curve(path: Path) -> list[dict[str, Any]]:
    entries = read_metrics(path)
    keep = max(1, math.ceil(len(entries) / _LINES))
    # Validation scores are few and far between: none is thinned away.
    return [
        _sayable(entry)
        for i, entry in enumerate(entries)
        if i % keep == 0 or i == len(entries) - 1 or "validation" in entry
    ]


def _sayable(value: Any) -> Any:
    """The same with null for numbers that JSON cannot say, and half characters, which UTF-8 cannot, escaped."""
    if isinstance(value, dict):
        return {_sayable(str(k)): _sayable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_sayable(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value
