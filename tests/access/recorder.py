"""Ports in memory that note which permission each call of a flow would need, were it made on AWS.

Rule: the calls of a port are translated as its adapter in `edge` makes them; what the adapter never calls is no permission.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from access.permissions import Permission

from batchdrop.edge.aws.row_format import quota_moves, quota_writes
from batchdrop.flow.ports import Ports

type Note = Callable[[Permission], object]
type Translation = Callable[[Any], Iterable[Permission]]

INBOX, TASKS = Permission("s3:GetObjectVersion", "${Inbox.Arn}/inbox/*"), "${Inbox.Arn}/tasks/*"


def in_results(*actions: str) -> Translation:
    """Return the translation of a call on a key of the results bucket."""
    return lambda key: (Permission(action, f"${{Results.Arn}}/{key.partition('/')[0]}/*") for action in actions)


def looked_for(key: str) -> Iterator[Permission]:
    """Yield what reading a key takes that may be missing: to be told so needs the right to list."""
    folder = key.partition("/")[0]
    yield Permission("s3:GetObject", f"${{Results.Arn}}/{folder}/*")
    yield Permission("s3:ListBucket", "Results.Arn", f"{folder}/*")


def put_each(objects: Iterable[tuple[str, bytes]]) -> Iterator[Permission]:
    """Yield what putting many objects takes."""
    for key, _ in objects:
        yield from in_results("s3:PutObject")(key)


def changed(change: Any) -> Iterator[Permission]:  # noqa: ANN401  # a Change
    """Yield what a write of the ledger takes."""
    parts = {
        "PutItem": change.writes,
        "UpdateItem": change.day or quota_moves(change).keys() | quota_writes(change).keys(),
        "ConditionCheckItem": change.unchanged,
    }
    yield from (Permission(f"dynamodb:{action}", "Table.Arn") for action, of in parts.items() if of)
    yield Permission("dynamodb:GetItem", "Table.Arn")  # a lost reply is told from a conflict by reading


def always(*permissions: Permission) -> Translation:
    """Return the translation of a call that takes the same whatever it is given."""
    return lambda _argument: permissions


TRANSLATIONS: dict[str, dict[str, Translation]] = {
    "storage": {
        "open_upload": always(INBOX),
        "upload_size_bytes": always(INBOX),
        "upload_modified_at": always(INBOX),
        "list_inbox": always(Permission("s3:ListBucketVersions", "Inbox.Arn", "inbox/*")),
        "task": always(Permission("s3:GetObject", TASKS), Permission("s3:ListBucket", "Inbox.Arn", "tasks/*")),
        "task_names": always(Permission("s3:ListBucket", "Inbox.Arn", "tasks/*")),
        "read": in_results("s3:GetObject"),
        "open": in_results("s3:GetObject"),
        "size_bytes": in_results("s3:GetObject"),
        "put": in_results("s3:PutObject"),
        "put_many": put_each,
        "open_ranges": in_results("s3:GetObject"),
        "writer": in_results("s3:PutObject", "s3:AbortMultipartUpload"),
    },
    "ledger": {
        **dict.fromkeys(
            ("job", "shard", "install", "quota", "day_microdollars"),
            always(Permission("dynamodb:GetItem", "Table.Arn")),
        ),
        "shards": always(Permission("dynamodb:Query", "Table.Arn")),
        **dict.fromkeys(
            ("active", "install_and_active"), always(Permission("dynamodb:Query", "${Table.Arn}/index/due"))
        ),
        "write": changed,
    },
    "wakeups": {
        "submit": always(Permission("sqs:SendMessage", "SubmissionsQueue.Arn")),
        "drop": always(Permission("sqs:SendMessage", "SubmissionsQueue.Arn")),
        "count_submissions": always(Permission("sqs:GetQueueAttributes", "SubmissionsQueue.Arn")),
        "complete": always(Permission("sqs:SendMessage", "CompletionsQueue.Arn")),
    },
    "providers": {"open": always(Permission("secretsmanager:GetSecretValue", "Secret.Id"))},
    "notifications": {"publish": always(Permission("sns:Publish", "Topic"))},
}


class Noted:
    """A port in front of another, which notes what each call takes. Whatever finds nothing is noted as looked for."""

    def __init__(self, port: object, translations: dict[str, Translation], note: Note) -> None:
        self._port = port
        self._translations = translations
        self._note = note

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the port has
        member = getattr(self._port, name)
        return self._noting(name, member) if callable(member) else member

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # as above
            given: list[Any] = [list(first) if name == "put_many" else first for first in arguments[:1]]
            for permission in self._translations[name](*(given or [None])):
                self._note(permission)
            result = method(*given, *arguments[1:], **named)
            if result is None and name in {"read", "size_bytes"}:
                for permission in looked_for(given[0]):
                    self._note(permission)
            return result

        return call


def recorded(ports: Ports, note: Note) -> Ports:
    """Return *ports*, which tell *note* what each of their calls would take."""
    changes: dict[str, Any] = {
        name: Noted(getattr(ports, name), translations, note) for name, translations in TRANSLATIONS.items()
    }
    return replace(ports, **changes)
