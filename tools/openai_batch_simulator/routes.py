"""Which call answers a request: by its method and its path."""

import re
from collections.abc import Callable

from openai_batch_simulator.account.account import Account, Caller
from openai_batch_simulator.account.dialects import Dialect
from openai_batch_simulator.api import batches as batch_calls
from openai_batch_simulator.api import files as file_calls
from openai_batch_simulator.messages import Refusal, Request, Response

type Call = Callable[[Account, Caller, Request, str], Response]
ROUTES: tuple[tuple[str, re.Pattern[str], str, Call], ...] = tuple(
    (method, re.compile(pattern), operation, call)
    for method, pattern, operation, call in (
        ("GET", r"/v1/files", "files.list", file_calls.list_page),
        ("GET", r"/v1/files/([^/]+)", "files.retrieve", file_calls.retrieve),
        ("DELETE", r"/v1/files/([^/]+)", "files.delete", file_calls.delete),
        ("GET", r"/v1/files/([^/]+)/content", "files.content", file_calls.content),
        ("POST", r"/v1/batches", "batches.create", batch_calls.create),
        ("GET", r"/v1/batches", "batches.list", batch_calls.list_page),
        ("GET", r"/v1/batches/([^/]+)", "batches.retrieve", batch_calls.retrieve),
        ("POST", r"/v1/batches/([^/]+)/cancel", "batches.cancel", batch_calls.cancel),
    )
)


def route(request: Request, dialect: Dialect) -> tuple[str, Call, str]:
    """Return the operation, its call and the identifier in the path. Raises Refusal where there is none."""
    is_path_known = False
    if request.method == "POST" and request.path == dialect.upload_path:
        return "files.create", file_calls.create, ""
    for method, pattern, operation, call in ROUTES:
        found = pattern.fullmatch(request.path)
        if found is None:
            continue
        if method == request.method:
            return operation, call, found[1] if found.groups() else ""
        is_path_known = True
    if is_path_known:
        raise Refusal(405, f"Not allowed to {request.method} on {request.path}.", code="method_not_supported")
    raise Refusal(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
