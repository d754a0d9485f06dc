"""Checks the file of a task, which is YAML, field by field.

Rule: a complaint names the line and the field. Importing this module imports pydantic and YAML, so `core.planning.task` does it
when the first task is read: most invocations read none.
"""

import codecs
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, Literal, Never

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from batchdrop.core.model.digits import encode_json
from batchdrop.core.model.endpoints import ENDPOINTS, FULL_URLS
from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.job import ItemAccess, TaskOptions
from batchdrop.core.planning.task_yaml import load
from batchdrop.core.planning.templates import is_template

# A task is a page of text; S3 would deliver terabytes.
TASK_BYTES_MAX = 262_144
# No task needs more, and sums of microdollars stay far below what DynamoDB and JSON keep exactly.
MAX_COST_USD_MAX = 1_000_000


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


def _is_text_or_texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(part, str) for part in value))


# What fields of all endpoints take, by the SDK's parameters.
_TYPES: Final = (
    (
        "a whole number",
        frozenset({
            "best_of", "dimensions", "max_completion_tokens", "max_output_tokens", "max_tokens", "max_tool_calls", "n", "seed",
            "top_logprobs",
        }),
        _is_whole,
    ),
    ("a number", frozenset({"frequency_penalty", "presence_penalty", "temperature", "top_p"}), _is_number),
    ("a text or a list of texts", frozenset({"stop"}), _is_text_or_texts),
    ("true or false", frozenset({"echo", "parallel_tool_calls", "store"}), lambda value: isinstance(value, bool)),
)  # fmt: skip
# Titles above a table are some lines.
HEADER_LINE_MAX = 1_000
# What may follow a field's place where a complaint begins with it.
_FIELD_ENDS = ("", ".", "[", ",", ":", " ")


def _in_full(endpoint: object) -> object:
    """Return `/v1/…` for an endpoint that was written without its version; anything else as it is."""
    return FULL_URLS.get(endpoint, endpoint) if isinstance(endpoint, str) else endpoint


if TYPE_CHECKING:
    type _Url = str
else:
    _Url = Literal[tuple(ENDPOINTS)]  # so that a complaint lists them


def _known_encoding(name: str) -> str:
    try:
        if codecs.lookup(name)._is_text_encoding:  # noqa: SLF001 - the only way to tell text from `base64`
            return name
    except LookupError:
        pass
    raise ValueError(f"`{name}` isn't an encoding; for example windows-1250, shift_jis, gbk")


class CsvFields(BaseModel):
    """What a task file says of its CSV files."""

    model_config = ConfigDict(extra="forbid", strict=True)

    separator: Annotated[str, Field(pattern=r'^([^\s"\\]|[\t ])$')] = ""
    escape: Literal["", "\\"] = ""
    header: Annotated[int, Field(ge=1, le=HEADER_LINE_MAX)] = 1


class TaskFile(BaseModel):
    """The fields of a task file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    endpoint: Annotated[_Url, BeforeValidator(_in_full)]
    body: dict[object, object]
    id: str | None = Field(default=None, min_length=1)
    items: ItemAccess = Field(default=TaskOptions().items, strict=False)  # YAML has the value, not the member
    dedupe: bool = TaskOptions().dedupe
    csv: CsvFields | None = None
    encoding: Annotated[str, AfterValidator(_known_encoding)] = ""
    # None is the default but isn't a valid value: an author who writes the field with nothing after it meant a cap.
    max_cost_usd: Decimal = Field(default=Decimal(), gt=0, le=MAX_COST_USD_MAX, decimal_places=6, strict=False)


def read_task_file(name: str, content: bytes) -> tuple[TaskFile, dict[str, int]]:
    """Return the fields of the task called *name*, and the line of each field and what is in it.

    Raises UploadRejected(`task_invalid`).
    """
    if len(content) > TASK_BYTES_MAX:
        reject(name, f"it is larger than {TASK_BYTES_MAX} bytes")
    loaded, lines = _mapping(name, content)
    try:
        fields = TaskFile.model_validate(loaded)
    except ValidationError as error:
        reject(name, "; ".join(_complaint(problem["loc"], problem["msg"], lines) for problem in error.errors()))
    return fields, lines


def reject(name: str, why: str) -> Never:
    """Raise UploadRejected(`task_invalid`) for the task called *name*."""
    raise UploadRejected("task_invalid", f"the task `{name}` cannot be used: {why}")


def _mapping(name: str, content: bytes) -> tuple[dict[object, object], dict[str, int]]:
    """Return the YAML mapping in *content*, and the lines of its fields."""
    try:
        text = content.decode("utf-8-sig")
        loaded, lines = load(text)
    except UnicodeDecodeError as error:
        reject(name, f"it is not UTF-8 at line {content.count(b'\n', 0, error.start) + 1} (byte {error.start})")
    except yaml.MarkedYAMLError as error:
        reject(name, _no_yaml(error, text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reject(name, f"line {line} isn't YAML: it has the character U+{error.character:04X}, which YAML does not allow")
    if not isinstance(loaded, dict):
        reject(name, "it isn't a mapping of `endpoint` and `body`")
    return loaded, lines


def _no_yaml(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what is wrong and where; a template without quotes is the usual cause, because `{{` begins a mapping."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"it isn't YAML: {error.problem}"
    line = "".join(text.splitlines()[mark.line : mark.line + 1])
    advice = "; put a text that starts with {{ in quotes" if "{{" in line else ""
    return f"line {mark.line + 1}, column {mark.column + 1} isn't YAML: {error.problem}{advice}"


def _complaint(place: tuple[int | str, ...], message: str, lines: Mapping[str, int]) -> str:
    field = ".".join(map(str, place))
    line = at_line(field, lines)
    if message.startswith("Extra inputs"):
        known = ", ".join(f"`{name}`" for name in TaskFile.model_fields)
        return f"{line}`{field}` isn't a field of a task (its fields are {known})"
    message = message.replace("a valid dictionary", "a mapping")
    return f"{line}`{field}`: {message[:1].lower()}{message[1:]}"


def at_line(text: str, lines: Mapping[str, int]) -> str:
    """Return the line of the field that *text* begins with; empty if the file has no such field."""
    fields = [field for field in lines if text.startswith(field) and text[len(field) : len(field) + 1] in _FIELD_ENDS]
    return f"line {lines[max(fields, key=len)]}: " if fields else ""


def check_types(name: str, body: Mapping[object, object], lines: Mapping[str, int]) -> None:
    """Raise UploadRejected(`task_invalid`) where *body* has a value that no endpoint takes in its field.

    The types are those of the SDK's parameters; templates are not known before there is a record, and null is everyone's default.
    """
    for field, value in body.items():
        wanted = next((words for words, fields, is_right in _TYPES if field in fields and not is_right(value)), None)
        if wanted and value is not None and not (isinstance(value, str) and is_template(value)):
            place = f"body.{field}"
            reject(name, f"{at_line(place, lines)}`{place}` must be {wanted}, not {_shown(value)}")
    for place, member in _text_enums(body, "body"):
        reject(
            name,
            f"{at_line(place, lines)}`{place}` must be a text like its `type`, not {_shown(member)}; put it in quotes",
        )


def _shown(value: object) -> str:
    words = encode_json(value).decode()
    kind = "the text " if isinstance(value, str) else ""
    return f"{kind}{words[:40]}"


def _text_enums(value: object, place: str) -> Iterator[tuple[str, object]]:
    """Yield each member of an `enum` of `type: string` that isn't a text, with its place."""
    if isinstance(value, dict):
        enum = value.get("enum")
        if value.get("type") == "string" and isinstance(enum, list):
            yield from (
                (f"{place}.enum[{at}]", member) for at, member in enumerate(enum) if not isinstance(member, str)
            )
        for key, inner in value.items():
            yield from _text_enums(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _text_enums(inner, f"{place}[{at}]")


def named_model(name: str, body: Mapping[object, object], lines: Mapping[str, int]) -> str:
    """Return the body's model, which may be a template. Raises UploadRejected(`task_invalid`) where it names none."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        reject(name, f"{at_line('body.model', lines)}`body.model` must name a model")
    if model != model.strip():
        reject(name, f"{at_line('body.model', lines)}`body.model` begins or ends with a blank")
    if body.get("stream") not in {None, False}:
        reject(name, f"{at_line('body.stream', lines)}`body.stream` must be absent or false in a batch")
    return model
