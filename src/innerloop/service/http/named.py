"""The name of a task in requests: checked and spelled as `service.task_names` has it."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from innerloop.core.errors import InputError
from innerloop.service import task_names


def _checked(name: str) -> str:
    try:
        return task_names.checked(name)
    except InputError as error:
        raise PydanticCustomError("task_name", "{why}", {"why": str(error)}) from error


TaskName = Annotated[
    str,
    AfterValidator(_checked),
    Field(
        description=f"{task_names.RULE}.",
        json_schema_extra={"pattern": f"^{task_names.PATTERN}$"},
        examples=["intents"],
    ),
]
