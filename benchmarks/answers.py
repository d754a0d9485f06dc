"""What each kind of answer costs to collect: `python benchmarks/answers.py [ITEMS]` prints CPU an item, kind by kind.

Rule: production flow, from the provider's file to the outcome of each item; the store is a folder, and objects go nowhere.
The kinds take turns; a figure is the median of the rounds. No kind has a goal of its own: two revisions are compared by
running this file of both in turns.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from measuring import cpu_seconds
from split import LIMITS, FolderProvider, FolderStorage, Harvestable, Quiet
from table import Row, print_rows

from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.shard import Shard
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import plan_pages
from batchdrop.flow.ports import Ports

ITEMS: Final = 3_000
ROUNDS: Final = 7
TEXT: Final = "word " * 40
OBJECT: Final = json.dumps({"label": "positive", "reasons": ["price", "quality"], "score": 0.75})
NUMBERS: Final = 1_536
CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
CHAT_USAGE: Final = {
    "prompt_tokens": 120, "completion_tokens": 45, "total_tokens": 165,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
}  # fmt: skip
USAGE: Final = {
    "input_tokens": 120, "output_tokens": 45, "total_tokens": 165, "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of answer: what its body is, and what its request asked for."""

    body: Mapping[str, object]
    endpoint: str = CHAT
    status: int = 200
    asked: Mapping[str, object] | None = None


def chat(*messages: Mapping[str, object], finish: str = "stop") -> Mapping[str, object]:
    """Return the body of a chat with a choice of each message."""
    choices = [
        {"index": place, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": finish}
        for place, message in enumerate(messages)
    ]
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026", "choices": choices,
        "usage": CHAT_USAGE, "service_tier": "default", "system_fingerprint": "fp_1",
    }  # fmt: skip


def response(*items: Mapping[str, object]) -> Mapping[str, object]:
    """Return the body of a response with these items."""
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": None,
        "incomplete_details": None, "instructions": None, "model": "m-2026", "output": items, "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}}, "tools": [], "usage": USAGE,
        "metadata": {},
    }  # fmt: skip


def said(text: str) -> Mapping[str, object]:
    """Return a message of a response."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"name": "a"}'}}
STRUCTURED: Final = {"response_format": {"type": "json_object"}}
VECTOR: Final = [round((-1) ** place * (place * 7_919 % 9_973) / 99_991, 8) for place in range(NUMBERS)]
KINDS: Final[Mapping[str, Kind]] = {
    "chat": Kind(chat({"content": TEXT, "refusal": None, "annotations": []})),
    "chat, its refusal an empty text": Kind(chat({"content": TEXT, "refusal": "", "annotations": []})),
    "chat, three choices": Kind(chat(*[{"content": TEXT, "refusal": None}] * 3)),
    "chat, a call of a tool": Kind(chat({"content": None, "tool_calls": [CALL]}, finish="tool_calls")),
    "chat, a refusal": Kind(chat({"content": None, "refusal": "I can't help with that."})),
    "chat, a structured output": Kind(chat({"content": OBJECT, "refusal": None}), asked=STRUCTURED),
    "chat, cut short": Kind(chat({"content": OBJECT[:40]}, finish="length"), asked=STRUCTURED),
    "chat, without usage": Kind({**chat({"content": TEXT}), "usage": None}),
    "responses": Kind(response({"id": "rs_1", "type": "reasoning", "summary": []}, said(TEXT)), RESPONSES),
    "responses, a call of a tool": Kind(
        response({"id": "fc_1", "type": "function_call", "name": "look_up", "arguments": "{}"}), RESPONSES
    ),
    "embeddings, 1,536 numbers": Kind(
        {
            "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}], "model": "m-2026",
            "usage": {"prompt_tokens": 120, "total_tokens": 120},
        },
        EMBEDDINGS,
    ),
    "error": Kind(
        {"error": {"message": "Too long.", "type": "invalid_request_error", "param": None, "code": "too_long"}},
        status=400,
    ),
}  # fmt: skip


def line_of(row: int, kind: Kind) -> bytes:
    """Return the line that answers *row*."""
    answer = {"status_code": kind.status, "request_id": f"req_{row}", "body": kind.body}
    line = {"id": f"batch_req_{row}", "custom_id": str(row), "response": answer, "error": None}
    return json.dumps(line).encode() + b"\n"


@contextmanager
def answered(kind: Kind, items: int) -> Iterator[Harvestable]:
    """Yield a job of chats that was planned, and answered by so many of one kind."""
    with tempfile.TemporaryDirectory() as name:
        folder, upload = Path(name), Upload("inbox", "inbox/requests.jsonl", "1")
        storage: Any = FolderStorage(folder)
        request = {"model": "m", "messages": [{"role": "user", "content": TEXT}], **(kind.asked or {})}
        storage.path(upload.key).write_bytes((json.dumps(request).encode() + b"\n") * items)
        job = Job(id=upload.job_id, bucket="inbox", key=upload.key, version=upload.version, created_at=1)
        for page in plan_pages(PlannedJob(storage, job, LIMITS), lambda: False):
            job = replace(job, plan=page.cursor, groups=page.groups, items=page.items)
        quiet: Any = Quiet()
        provider: Any = FolderProvider()
        ports = Ports(quiet, quiet, quiet, storage, provider, quiet, quiet, quiet, "inbox", "results", "w")
        file = folder / "answers"
        file.write_bytes(b"".join(line_of(row, kind) for row in range(1, items + 1)))
        shard = Shard(
            job=job.id, number=1, account="a", endpoint=kind.endpoint, model=job.groups[0].model, group=0,
            first_line=0, end_line=items,
        )  # fmt: skip
        shard = replace(shard, attempt=replace(shard.attempt, batch="batch_1"))
        yield Harvestable(ports, storage, job, [shard], [file])


def measure(items: int = ITEMS, rounds: int = ROUNDS) -> Sequence[Row]:
    """Return what an item with each kind of answer costs."""
    with ExitStack() as opened:
        jobs = {name: opened.enter_context(answered(kind, items)) for name, kind in KINDS.items()}
        found = [{name: cpu_seconds(job.derive) * 1e6 / items for name, job in jobs.items()} for _ in range(rounds)]
    return [
        Row(f"answers: CPU an item, {name}", "", median(figures[name] for figures in found), "us") for name in KINDS
    ]


if __name__ == "__main__":
    sys.exit(print_rows(measure(int(sys.argv[1]) if sys.argv[1:] else ITEMS)))
