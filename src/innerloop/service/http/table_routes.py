"""`/api/tasks/{name}/table`: what a table holds, read as the command line reads it, before any of it is taught."""

from typing import Any

from fastapi import APIRouter, Request

from innerloop.core.texts import FILES, Kind
from innerloop.fewshot.examples import of_table
from innerloop.service.http import payload
from innerloop.service.http.apart import apart
from innerloop.service.http.errors import HTTPError
from innerloop.service.http.routes import REFUSALS, Name, Worker
from innerloop.service.http.schemas import TableOut, TableRow
from innerloop.service.limits import Limits
from innerloop.tasks.columns import TableOptions

router = APIRouter(prefix="/api", responses=REFUSALS)
_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "CSV, TSV, JSON, JSONL, .xlsx or .parquet; of texts also one a line.",
        },
        "text_column": {"type": "string", "minLength": 1, "maxLength": 200},
        "label_column": {"type": "string", "minLength": 1, "maxLength": 200},
        "encoding": {"type": "string", "minLength": 1, "maxLength": 50},
    },
}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


@router.post("/tasks/{name}/table", tags=["examples"], openapi_extra=_BODY)
async def read_table(name: Name, request: Request, worker: Worker) -> TableOut:
    """The examples in a table, with their labels where it has a column of them; nothing is learned from it yet."""
    file_name, content, options = await payload.table(request)
    kind = (await worker.threads.read(worker.store.task, name)).kind
    if kind in FILES:
        raise HTTPError(422, f"task '{name}' is taught {kind}, and a table only names them: send the files themselves")
    return await apart("tables", _read, content, file_name, kind, options, worker.limits)


def _read(content: bytes, name: str, kind: str, options: TableOptions, limits: Limits) -> TableOut:
    notices: list[str] = []
    rows: list[TableRow] = []
    held = 0
    taken: Kind = "texts" if kind == "texts" else "features"
    for example, label in of_table(content, name, taken, options, notices.append):
        length = len(example)
        most = limits.text if kind == "texts" else limits.features
        if length > most:
            what = "characters" if kind == "texts" else "numbers"
            raise HTTPError(422, f"{name}: example {len(rows) + 1} has {length:,} {what}, and {most:,} is most")
        held += length
        if len(rows) == limits.examples or held > limits.body_mb * 1e6:
            raise HTTPError(413, f"{name} holds more than {len(rows):,} examples, or too long ones: send it in parts")
        text, features = (example, None) if isinstance(example, str) else (None, example)
        rows.append(TableRow(text=text, features=features, label=None if label is None else str(label)))
    return TableOut(examples=rows, notices=notices)
