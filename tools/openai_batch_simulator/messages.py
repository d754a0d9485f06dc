"""The values that pass between the application and whatever carries them: a request, a response, how it is delivered.

Rule: nothing here knows a socket or an HTTP library, so that the same application answers a client in the same
process and one on the other end of a connection.
"""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

import msgspec

JSON = "application/json"

# What reading JSON raises: RecursionError where it is nested more deeply than the interpreter's stack.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request: *path* without the query, header names in lower case, *body* read at most once."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()


class Carriage(Enum):
    """What happens to a response on its way to the client."""

    WHOLE = "whole"
    DROPPED = "dropped"  # the connection closes before a byte of it
    DELAYED = "delayed"  # nothing for a while, then all of it
    DRIPPED = "dripped"  # a byte now and then, for a while
    CUT = "cut"  # the headers promise all of it, the connection closes early
    HUNG = "hung"  # nothing, and the connection stays open


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a response travels: *amount* is seconds where it is slow, and bytes where it is cut."""

    carriage: Carriage = Carriage.WHOLE
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP response; *body* yields exactly *length_bytes* bytes."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]
    length_bytes: int
    delivery: Delivery = Delivery()


class Form(StrEnum):
    """How the body of a refusal is written.

    OpenAI sends its envelope; a gateway or a server that only speaks the same API sends what its framework does.
    """

    ERROR = "error"  # {"error": {"message": …, "type": …, "param": …, "code": …}}
    DETAIL = "detail"  # {"detail": "…"}, as FastAPI has it (https://fastapi.tiangolo.com/tutorial/handling-errors/)
    DETAILS = "details"  # {"detail": [{"loc": […], "msg": "…", "type": "…"}]}, as FastAPI answers 422
    HTML = "html"  # the page of a proxy
    EMPTY = "empty"  # no body at all


class Refusal(Exception):
    """An answer in OpenAI's error envelope instead of a result, or in another *form*.

    The four keys are always present (`openai/_exceptions.py` of the Python SDK 3.54.0, read 2026-11-22).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        form: Form = Form.ERROR,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.form = form
        self.envelope: dict[str, object] = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> Response:
        """Return the response that this refusal is."""
        message = str(self)
        match self.form:
            case Form.ERROR:
                return json_response(self.status, self.envelope, self.headers)
            case Form.DETAIL:
                return json_response(self.status, {"detail": message}, self.headers)
            case Form.DETAILS:
                found = {"loc": ["body"], "msg": message, "type": "value_error"}
                return json_response(self.status, {"detail": [found]}, self.headers)
            case Form.HTML:
                page = f"<html><head><title>{self.status}</title></head><body><h1>{html.escape(message)}</h1></body></html>"
                return bytes_response(self.status, page.encode(), "text/html", self.headers)
            case Form.EMPTY:
                return bytes_response(self.status, b"", "text/plain", self.headers)


def json_response(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """*content* as a JSON response."""
    return bytes_response(status, msgspec.json.encode(content), JSON, headers)


def bytes_response(status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """*body* as a response of *content_type*."""
    all_headers = {"content-type": content_type, **(headers or {})}
    return Response(status=status, headers=all_headers, body=(body,), length_bytes=len(body))
