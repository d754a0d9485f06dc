"""Tasks: what an operator writes to say how records become requests.

Rule: a task is checked whole before the first record is read, and every complaint names the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batchdrop.core.errors import ItemRefused, UploadRejected
from batchdrop.core.jobs import item_name, row_name
from batchdrop.core.ledger_rows import ItemAccess, TaskOptions
from batchdrop.core.limits import Limits
from batchdrop.core.planning import JsonValue, Recipe, Request
from batchdrop.core.requests import Endpoint, checked_model, make_request
from batchdrop.core.task_lines import lines_of_fields
from batchdrop.core.templates import RAW_HINT, Compiled, TemplateInvalid, compile_body, is_template, undefined
from batchdrop.core.wording import listed, separator_advice, separator_of

# A task is a page of text; S3 would deliver terabytes.
TASK_BYTES_MAX = 262_144
# What may follow a field's place where a complaint begins with it.
_FIELD_ENDS = ("", ".", "[", ",", ":", " ")


@dataclass(frozen=True, slots=True)
class Task:
    """How records become requests."""

    name: str
    endpoint: str
    model: str | None  # None where a template gives it
    body: Compiled
    id: str | None  # the column that names the item
    options: TaskOptions


class _TaskFile(BaseModel):
    """The fields of a task file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    endpoint: Endpoint
    body: dict[object, object]
    id: str | None = Field(default=None, min_length=1)
    items: ItemAccess = Field(default=TaskOptions().items, strict=False)  # YAML has the value, not the member


class _Modelled(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"null")


def parse_task(name: str, content: bytes) -> Task:
    """Return the task that *content*, a YAML file, describes. Raises UploadRejected(`task_invalid`)."""
    if len(content) > TASK_BYTES_MAX:
        _reject(name, f"it is larger than {TASK_BYTES_MAX} bytes")
    loaded = _mapping(name, content)
    lines = lines_of_fields(content)
    try:
        fields = _TaskFile.model_validate(loaded)
    except ValidationError as error:
        _reject(name, "; ".join(_complaint(problem["loc"], problem["msg"], lines) for problem in error.errors()))
    try:
        # The compiler checks every key and value; what it lets pass is a JsonValue.
        compiled = compile_body(fields.body)  # type: ignore[arg-type]  # refused below where it is none
    except TemplateInvalid as error:
        _reject(name, f"{_at_line(str(error), lines)}{error}")
    options = TaskOptions(items=fields.items)
    return Task(name, fields.endpoint, _model(name, fields.body, lines), compiled, fields.id, options)


def _reject(name: str, why: str) -> Never:
    raise UploadRejected("task_invalid", f"the task `{name}` cannot be used: {why}")


def _mapping(name: str, content: bytes) -> dict[str, object]:
    """Return the YAML mapping in *content*."""
    try:
        loaded = yaml.safe_load(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        _reject(name, f"it is not UTF-8 at line {content.count(b'\n', 0, error.start) + 1} (byte {error.start})")
    except yaml.MarkedYAMLError as error:
        where = (
            f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
            if error.problem_mark
            else "it"
        )
        _reject(name, f"{where} is no YAML: {error.problem}; a text that starts with {{{{ stands in quotes")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _reject(name, f"it is no YAML: {error}")
    if not isinstance(loaded, dict):
        _reject(name, "it is no mapping of `endpoint` and `body`")
    return loaded


def _complaint(place: tuple[int | str, ...], message: str, lines: Mapping[str, int]) -> str:
    field = ".".join(map(str, place))
    where = _at_line(field, lines)
    if message.startswith("Extra inputs"):
        known = ", ".join(f"`{name}`" for name in _TaskFile.model_fields)
        return f"{where}`{field}` is no field of a task (they are {known})"
    message = message.replace("a valid dictionary", "a mapping")
    return f"{where}`{field}`: {message[:1].lower()}{message[1:]}"


def _at_line(text: str, lines: Mapping[str, int]) -> str:
    """Return the line of the field that *text* begins with; nothing where the file has no such field."""
    fields = [field for field in lines if text.startswith(field) and text[len(field) : len(field) + 1] in _FIELD_ENDS]
    return f"line {lines[max(fields, key=len)]}: " if fields else ""


def _model(name: str, body: Mapping[object, object], lines: Mapping[str, int]) -> str | None:
    """Return the body's model, or None where it is a template."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        _reject(name, f"{_at_line('body.model', lines)}`body.model` must name a model")
    if body.get("stream") not in {None, False}:
        _reject(name, f"{_at_line('body.stream', lines)}`body.stream` must be absent or false in a batch")
    return None if is_template(model) else model


def recipe_of_task(task: Task, limits: Limits) -> Recipe:
    """Return how *task* makes requests."""

    def name(value: JsonValue, row: int) -> str:
        if task.id is None:
            return row_name(row)
        return _identifier(_record(value), task.id)

    def build(value: JsonValue, name: str) -> Request:
        body = task.body.render(_record(value))
        model = task.model or _rendered_model(body)
        return make_request(name, task.endpoint, model, body, limits.bytes_per_token)

    columns = task.body.columns | ({task.id} if task.id else frozenset())
    return Recipe(name, build, names_from_user=task.id is not None, columns=columns)


def check_columns(recipe: Recipe, columns: tuple[str, ...]) -> None:
    """Raise UploadRejected where a table lacks a column that the task names."""
    missing = sorted(recipe.columns - set(columns))
    if not missing:
        return
    separator = separator_of(columns, missing)
    advice = (
        f"The file {separator_advice(separator)}"
        if separator
        else f"Rename a column, or correct the task, where {RAW_HINT}"
    )
    raise UploadRejected(
        "missing_column",
        f"the task names {listed(missing)}, which the CSV header (line 1) lacks; it has {listed(columns)}. {advice}",
    )


def _record(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ItemRefused("bad_record", "a task takes records that are JSON objects")
    return value


def _identifier(record: dict[str, JsonValue], column: str) -> str:
    """Return the item's name by the record's *column*. Raises ItemRefused(`no_id`)."""
    if column not in record:
        raise ItemRefused("no_id", undefined(f"the id column `{column}` is undefined", record).message)
    match record[column]:
        case str(identifier) if identifier.strip():
            return item_name(identifier)
        case int(number) if not isinstance(number, bool):
            return item_name(str(number))
        case _:
            raise ItemRefused("no_id", f"the id column `{column}` is empty, or neither text nor a whole number")


def _rendered_model(body: bytes) -> str:
    return checked_model({"model": msgspec.json.decode(msgspec.json.decode(body, type=_Modelled).model)})
