"""Reads a task: what its author wrote to say how records become requests.

Rule: a task is checked whole before the first record is read, and every complaint names the field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from batchdrop.core.model.answer_bounds import ANSWER_FIELDS, answer_bound
from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.endpoints import endpoint_of
from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.model.estimates import base_tokens, text_tokens, tokens_of_sizes
from batchdrop.core.model.job import TaskOptions
from batchdrop.core.model.keys import item_name, item_names, row_name
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.prices import micro_dollars
from batchdrop.core.model.reading import CsvOptions, canonical_name
from batchdrop.core.model.wording import listed, shown_name
from batchdrop.core.planning.plan import Columns, JsonValue, Recipe, Request, RequestRun, Together, are_texts
from batchdrop.core.planning.requests import LineForm, body_of_line, checked_model, inputs_of, make_request
from batchdrop.core.planning.template_pieces import RAW_HINT, TemplateInvalid, undefined
from batchdrop.core.planning.templates import Compiled, compile_body, is_template, meant_as_column


@dataclass(frozen=True, slots=True)
class Task:
    """How records become requests."""

    name: str
    endpoint: str
    model: str | None  # None where a template gives it
    body: Compiled
    id: str | None  # the column that names the item
    bounding: Mapping[str, object] | None  # what bounds answers in the body; None where a template gives some of it
    options: TaskOptions


class _Modelled(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw(b"null")


def parse_task(name: str, content: bytes) -> Task:
    """Return the task that *content*, a YAML file, describes. Raises UploadRejected(`task_invalid`)."""
    from batchdrop.core.planning.task_file import at_line, check_types, named_model, read_task_file, reject  # noqa: PLC0415 - YAML and pydantic: 0.1 s

    fields, lines = read_task_file(name, content)
    try:
        # The compiler checks every key and value; what it lets pass is a JsonValue.
        compiled = compile_body(fields.body, endpoint_of(fields.endpoint).texts)  # type: ignore[arg-type]  # refused below where it is none
    except TemplateInvalid as error:
        reject(name, f"{at_line(str(error), lines)}{error}")
    model = named_model(name, fields.body, lines)
    check_types(name, fields.body, lines)
    if not compiled.uses_record:
        reject(name, f"its body uses no column, so all requests would be the same{meant_as_column(fields.body)}")
    bounding: dict[str, object] = {member: fields.body[member] for member in ANSWER_FIELDS if member in fields.body}
    constant = None if is_template(encode_json(bounding).decode()) else bounding
    csv = CsvOptions(**fields.csv.model_dump()) if fields.csv else None
    options = TaskOptions(
        items=fields.items,
        dedupe=fields.dedupe,
        microdollars_max=micro_dollars(fields.max_cost_usd),
        csv=csv,
        encoding=fields.encoding,
    )
    return Task(
        name,
        fields.endpoint,
        None if is_template(model) else model,
        compiled,
        fields.id and canonical_name(fields.id),
        constant,
        options,
    )


def recipe_of_task(task: Task, limits: Limits) -> Recipe:
    """Return how *task* makes requests."""

    def name(value: JsonValue, row: int) -> str:
        if task.id is None:
            return row_name(row)
        record = value if isinstance(value, dict) else _record(value)
        return _identifier(record.get(task.id)) or _unusual_identifier(record, task.id)

    body_of, may_show_files, bytes_per_token = task.body.render, task.body.may_show_files, limits.bytes_per_token
    constant = None if task.bounding is None else answer_bound(task.endpoint, task.bounding)

    def build(value: JsonValue, name: str) -> Request:
        record = value if isinstance(value, dict) else _record(value)
        body = body_of(record)
        model = task.model or _rendered_model(body)
        estimate = base_tokens if may_show_files(record) else text_tokens
        answers = constant or answer_bound(task.endpoint, _bounding(body))
        return make_request(name, task.endpoint, model, body, estimate(body, bytes_per_token), answers=answers)

    columns = task.body.columns | ({task.id} if task.id else frozenset())
    return Recipe(
        name, build, names_from_user=task.id is not None, columns=columns, together=_together(task, columns, limits)
    )


def _together(task: Task, columns: frozenset[str], limits: Limits) -> Together | None:
    """Return how *task* makes many requests at once; None if a template does more than insert columns."""
    body, endpoint, model, bounding = task.body, task.endpoint, task.model, task.bounding
    if model is None or bounding is None or not body.is_plain:
        return None
    form = LineForm(endpoint, (body.start, *(ready for _, ready in body.pieces)))
    answers = answer_bound(endpoint, bounding)

    def requests(columns: Columns, rows: range) -> RequestRun | None:
        pieces = body.pieces_together(columns)
        names = _usual_names(columns[task.id]) if task.id else ()
        if pieces is None or names is None:
            return None
        made = form.lines(rows, pieces)
        tokens = tokens_of_sizes(made.body_sizes, limits.bytes_per_token)
        inputs = inputs_of(endpoint, body_of_line(made.first()))  # the same for all: what differs is text
        return RequestRun(rows, names, made.parts, made.sizes, tokens, endpoint, model, inputs, answers)

    return Together(columns, requests)


def check_columns(
    recipe: Recipe, columns: tuple[str, ...], repeated: Mapping[str, tuple[int, ...]] = MappingProxyType({})
) -> None:
    """Raise UploadRejected if a table lacks a column that the task names, or has several of that name."""
    for name in sorted(recipe.columns & repeated.keys()):
        numbers = " and ".join(map(str, repeated[name]))
        message = f"columns {numbers} of the CSV header (line 1) are called {shown_name(name)}, which the task names; rename one"
        raise UploadRejected("bad_header", message)
    missing = sorted(recipe.columns - set(columns))
    if not missing:
        return
    advice = f"Rename a column, or correct the task, where {RAW_HINT}"
    raise UploadRejected(
        "missing_column",
        f"the task names {listed(missing)}, which the CSV header (line 1) lacks; it has {listed(columns)}. {advice}",
    )


def _record(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ItemRefused("bad_record", "a task takes records that are JSON objects")
    return value


def _usual_names(identifiers: Sequence[JsonValue]) -> Sequence[str] | None:
    """Return the items' names where all *identifiers* are whole numbers, or all of them texts and none of them blank."""
    if are_texts(identifiers):
        return item_names(identifiers) if all(map(str.strip, identifiers)) else None
    return item_names(list(map(str, identifiers))) if set(map(type, identifiers)) == {int} else None


def _identifier(value: JsonValue) -> str | None:
    """Return the name of the item that the text *value* names; None where it isn't a text, or a blank one."""
    return item_name(value) if isinstance(value, str) and value and not value.isspace() else None


def _unusual_identifier(record: dict[str, JsonValue], column: str) -> str:
    """Return the item's name by the record's *column*, which holds no text. Raises ItemRefused(`no_id`)."""
    identifier = record.get(column)
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        return item_name(str(identifier))
    if isinstance(identifier, float) and identifier.is_integer():
        return item_name(str(int(identifier)))  # pandas makes `1.0` of whole numbers in a column with a gap
    if column not in record:
        called = next((name for name in record if canonical_name(name) == column), None)
        if called is None:
            raise ItemRefused("no_id", undefined(f"the id column `{column}` is undefined", record).message)
        return _identifier(record[called]) or _unusual_identifier({column: record[called]}, column)
    raise ItemRefused("no_id", f"the id column `{column}` is empty, or neither text nor a whole number")


def _bounding(body: bytes) -> Mapping[str, object]:
    """Return those members of *body*, an object, that bound its answers."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return {member: msgspec.json.decode(members[member]) for member in ANSWER_FIELDS if member in members}


def _rendered_model(body: bytes) -> str:
    return checked_model({"model": msgspec.json.decode(msgspec.json.decode(body, type=_Modelled).model)})
