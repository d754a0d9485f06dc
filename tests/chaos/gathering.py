"""Reads the evidence of a run: the provider's own ledger, the buckets, the queues, the logs.

Rule: it reads and does not judge; our own ledger is not read. Bodies of answers are not kept.
"""

import csv
import hashlib
import io
import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chaos.drops import CANARY
from chaos.evidence import Batch, Dropped, Evidence, File, Line, Outcome, Results
from chaos.killer import FUNCTIONS
from chaos.stage import Stage, counts_of

from batchdrop.core.model.keys import RESULTS_PREFIX
from batchdrop_cli.local.description import StackDescription
from batchdrop_cli.stack import Connection
from openai_batch_simulator.http.server import TOKEN_HEADER

_LEDGER_SECONDS_MAX: Final = 120.0  # it is made as it is read: some seconds for 20,000 lines
_SIMULATED: Final = "[simulated]"  # how each sentence of the simulator begins

_REQUEST: Final = re.compile(rb'"requestId": "([^"]+)"')

type Document = Mapping[str, Any]  # JSON
type Listing = Mapping[str, str]  # ETags of the objects of the results bucket, by key


def ask_simulator(stack: StackDescription, name: str) -> Any:  # noqa: ANN401  # JSON
    """Return what the simulator of *stack* says of *name*, such as `ledger` or `faults`."""
    url = f"{stack.openai_base_url.removesuffix('/v1')}/_simulator/{name}"
    asked = urllib.request.Request(url, headers={TOKEN_HEADER: stack.simulator_token})  # noqa: S310  # loopback
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=_LEDGER_SECONDS_MAX) as reply:
        return json.load(reply)


def evidence_of(stage: Stage) -> Evidence:
    """Return what is known of the run on *stage*, but for what a second delivery changed."""
    ledger, dropped = ask_simulator(stage.stack, "ledger"), tuple(stage.dropped)
    listing = listing_of(stage.connection)
    return Evidence(
        dropped=dropped,
        batches=tuple(batches_of(ledger)),
        lines=tuple(lines_of(ledger)),
        results=results_of(stage.connection, dropped, listing),
        notifications=tuple(stage.notifications),
        waiting_messages=stage.waiting_messages(),
        strays=strays_of(dropped, listing),
        told=told_prompts(Path(stage.stack.logs), stage.notification_bodies),
    )


def batches_of(ledger: Document) -> Iterator[Batch]:
    """Yield each batch of the provider's *ledger*."""
    for batch in ledger["batches"]:
        ticket = batch["metadata"]["ticket"]
        _, job, shard, attempt, _ = ticket.rsplit(".", 4)
        yield Batch(
            batch["id"],
            job,
            int(shard),
            int(attempt),
            ticket,
            batch["status"],
            batch["created_at"],
            batch["input_file_id"],
        )


def lines_of(ledger: Document) -> Iterator[Line]:
    """Yield each request that the provider's *ledger* says it ran."""
    for line in ledger["lines"]:
        yield Line(
            line["batch_id"], line["line"], int(line["custom_id"]), line["body_digest"], line["status_code"],
            line["charged"], line["delivered"],
        )  # fmt: skip


def listing_of(connection: Connection) -> Listing:
    """Return the ETag of every object in the results bucket."""
    pages = connection.storage.get_paginator("list_objects_v2").paginate(Bucket=connection.results_bucket)
    return {entry["Key"]: entry["ETag"].strip('"') for page in pages for entry in page.get("Contents", [])}


def changes_between(before: Listing, after: Listing) -> list[str]:
    """Return what is not as it was, but for the statuses, which say when they were written."""
    keys = {key for key in before.keys() | after.keys() if not key.endswith("/status.json")}
    return [f"{key} is not what it was" for key in sorted(keys) if before.get(key) != after.get(key)]


def invocations_in(logs: Path) -> tuple["Counter[str]", "Counter[str]"]:
    """Return how many invocations of each function began, and how many of these never ended, as the platform's lines say."""
    begun: Counter[str] = Counter()
    died: Counter[str] = Counter()
    for log in (logs / f"{function}.log" for function in FUNCTIONS):
        open_requests: set[str] = set()
        for line in log.read_bytes().splitlines() if log.exists() else ():
            if b'"platform.start"' in line:
                open_requests.add(_request_of(line))
                begun[log.stem] += 1
            elif b'"platform.report"' in line:
                open_requests.discard(_request_of(line))
        died[log.stem] = len(open_requests)
    return begun, died


def _request_of(line: bytes) -> str:
    """Return which invocation a line of the platform is about; a line that was cut by a kill is about none."""
    found = _REQUEST.search(line)
    return found[1].decode() if found else ""


def results_of(connection: Connection, dropped: Iterable[Dropped], listing: Listing) -> dict[str, Results]:
    """Return what lies in the results bucket about each of *dropped*, by job."""
    below: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, tag in listing.items():
        folder, _, name = key.partition("/items/")
        if name:
            below[folder][name.removesuffix(".json")] = tag
    return {one.job: _results(connection, one, below[one.keys.results.rstrip("/")]) for one in dropped}


def strays_of(dropped: Iterable[Dropped], listing: Listing) -> tuple[str, ...]:
    """Return the keys of results that lie below no job of *dropped*."""
    folders = tuple(one.keys.results for one in dropped)
    return tuple(key for key in listing if key.startswith(RESULTS_PREFIX) and not key.startswith(folders))


def told_prompts(logs: Path, notifications: Sequence[str]) -> tuple[str, ...]:
    """Return where a prompt or an answer stands that must not: in a function's log, or in a notification."""
    found = []
    for log in sorted(logs.glob("*.log")):
        with log.open(errors="replace") as lines:
            found += [
                f"{log.name} holds a prompt or an answer" for line in lines if CANARY in line or _SIMULATED in line
            ][:1]
    return (
        *found,
        *(f"a notification holds a prompt or an answer: {body[:80]}" for body in notifications if CANARY in body),
    )


def _results(connection: Connection, dropped: Dropped, items: Listing) -> Results:
    folder = dropped.keys.results
    summary = json.loads(connection.read(connection.results_bucket, f"{folder}summary.json") or b"null")
    if summary is None:
        return Results(items=items)
    contents = {file["name"]: _file(connection, folder + file["name"]) for file in summary["files"]}
    extension = dropped.drop.key.rpartition(".")[2]
    return Results(
        tuple(_outcome(line) for line in contents.get("outcomes.jsonl", b"").splitlines()),
        items,
        {
            name: File(_records(name, content), hashlib.sha256(content).hexdigest())
            for name, content in contents.items()
        },
        {file["name"]: file["sha256"] for file in summary["files"]},
        counts_of(summary["counts"]),
        extension,
    )


def _file(connection: Connection, key: str) -> bytes:
    return connection.read(connection.results_bucket, key) or b""


def _records(name: str, content: bytes) -> int:
    """Return how many records a file of results has."""
    match name.rpartition(".")[2]:
        case "csv":
            return max(sum(1 for _ in csv.reader(io.StringIO(content.decode()))) - 1, 0)
        case "json":
            return len(json.loads(content))
        case _:
            return len(content.splitlines())


def _outcome(line: bytes) -> Outcome:
    outcome = json.loads(line)
    error = outcome["error"] or {"code": ""}
    digest = hashlib.md5(line, usedforsecurity=False).hexdigest()
    return Outcome(
        outcome["row"], outcome["name"], outcome["status"] == "succeeded", error["code"], outcome["batch_id"] or "",
        outcome["line_id"] or "", digest,
    )  # fmt: skip
