"""A provider at which many batches run: its list and its answer about one, as JSON on the wire, newest first.

Rule: the list is that of the API, so that what reads it is production code; nothing else is answered here.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx2
from fakes.shards import changed, new_shard
from fakes.world import BASE_URL, World

from batchdrop.core.model.change import Change, Row, Write
from batchdrop.core.model.install import Install, Round
from batchdrop.core.model.job import Group, Job, JobState
from batchdrop.core.model.shard import Shard, ShardState, ticket_of

JOB = "0" * 20
ENDPOINT = "/v1/chat/completions"
FOREIGN = "batch_foreign"


@dataclass
class RunningBatches:
    """A world with *count* running shards, whose batches lie below *foreign* newer ones of somebody else in the list."""

    count: int
    foreign: int = 0
    is_noted: bool = True  # that the provider took them
    world: World = field(default_factory=World)
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Write the rows and take the place of the simulator."""
        now = self.world.clock.time
        install = Install(
            id="i", started_at=now - 100, proofs={f"print-of-sk-test@{BASE_URL}": "batch_0"}, files_swept_at=now
        )
        job = Job(
            id=JOB,
            bucket="inbox",
            key="inbox/a.jsonl",
            version="v",
            created_at=now,
            state=JobState.RUNNING,
            due_at=now,
        )
        shards = [self._shard(number, now - 3600) for number in range(self.count)]
        rows: tuple[Row, ...] = (install, job, *shards)
        for row in rows:
            self.world.ledger.write(Change((Write(None, row),)))
        entries = [self._entry(f"{FOREIGN}_{number}", "", now) for number in range(self.foreign)]
        entries += [self._entry(shard.attempt.batch, shard.attempt.ticket, now - 3600) for shard in shards]
        self._list(entries)
        self.world.tap.answers.append(self.answer)

    def hold(self, shards: Iterable[Shard]) -> None:
        """Show the batches of *shards*, and no others."""
        began_at = self.world.clock.time - 3600
        self._list([self._entry(shard.attempt.batch, shard.attempt.ticket, began_at) for shard in shards])

    def _list(self, entries: list[dict[str, object]]) -> None:
        self.entries = {str(entry["id"]): entry for entry in entries}
        self.places = {name: place for place, name in enumerate(self.entries)}

    def _shard(self, number: int, begun_at: int) -> Shard:
        shard = new_shard(
            job=JOB, number=number, account="print-of-sk-test", endpoint=ENDPOINT, model="gpt-4.1-mini", group=0,
            state=ShardState.RUNNING, tokens=1_000, quota_tokens=1_000, taken_at=begun_at * self.is_noted, base_url=BASE_URL,
            fingerprint="print-of-sk-test", file=f"file-{number}", file_uploaded_at=begun_at, intent_at=begun_at,
            first_intent_at=begun_at, batch=f"batch_{number}", batches=(f"batch_{number}",), due_at=begun_at + number,
        )  # fmt: skip
        ticket = ticket_of("i", shard)
        return changed(shard, ticket=ticket, tickets=(ticket,))

    def _entry(self, batch: str, ticket: str, created_at: int) -> dict[str, object]:
        return {
            "id": batch, "object": "batch", "endpoint": ENDPOINT, "errors": None, "input_file_id": f"file-{batch}",
            "completion_window": "24h", "status": "in_progress", "output_file_id": None, "error_file_id": None,
            "created_at": created_at, "in_progress_at": created_at + 60, "expires_at": created_at + 86_400,
            "request_counts": {"total": 100, "completed": 5, "failed": 0}, "metadata": {"ticket": ticket} if ticket else None,
        }  # fmt: skip

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Return a page of the list, one batch, or that there is no such thing."""
        _, _, batch = request.url.path.partition("/batches")
        if request.method != "GET" or (batch and batch[1:] not in self.entries):
            return httpx2.Response(404, json={"error": {"message": "none", "code": None}}, request=request)
        if batch:
            self.asked[batch[1:]] += 1
            found: object = self.entries[batch[1:]]
        else:
            found = self._page(request.url.params.get("after"), int(request.url.params["limit"]))
        content = json.dumps(found).encode()
        return httpx2.Response(200, content=content, headers={"content-type": "application/json"}, request=request)

    def _page(self, after: str | None, limit: int) -> dict[str, object]:
        names = list(self.entries)
        start = self.places[after] + 1 if after else 0
        entries = [self.entries[name] for name in names[start : start + limit]]
        return {
            "object": "list", "data": entries, "first_id": entries[0]["id"], "last_id": entries[-1]["id"],
            "has_more": start + limit < len(names),
        }  # fmt: skip


def many_jobs(world: World, count: int) -> list[str]:
    """Write *count* jobs of one running batch each into the ledger of *world*, show the batches, and return the jobs' ids."""
    now = world.clock.time
    alone = RunningBatches(count=1)
    (shard,) = alone.world.ledger.shards(JOB)
    group = Group(shard.endpoint, shard.model, chunks=1, lines=100, cut_lines=100)
    install = Install(id="i", started_at=now - 100, files_swept_at=now, inbox_round=Round(began_at=now))
    rows: list[Row] = [install]
    for number in range(count):
        name = f"{number:020x}"
        rows.append(
            Job(
                id=name, bucket="inbox", key=f"inbox/{number}.jsonl", version="v", created_at=now, state=JobState.RUNNING,
                groups=(group,), items=100, shards=1, due_at=now,
            )
        )  # fmt: skip
        rows.append(
            changed(shard, job=name, ticket=f"i.{name}.0.1.1", tickets=(f"i.{name}.0.1.1",), batch=f"batch_{number}")
        )
    for row in rows:
        world.ledger.write(Change((Write(None, row),)))
    alone.hold(row for row in rows if isinstance(row, Shard))
    world.tap.answers.append(alone.answer)
    return [row.id for row in rows if isinstance(row, Job)]
