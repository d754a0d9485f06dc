"""What must hold at the end of a chaos run, whatever was struck.

Rule: pure; judged on what was dropped, what the provider did and what people received, never on our own rows. Each verdict
says how much it looked at, so that one which looked at nothing is seen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from chaos.evidence import Batch, Dropped, Evidence, Line, Notification, Outcome, Results

from batchdrop.core.model.limits import Limits

ATTEMPTS_MAX: Final = Limits().attempts_max
_END_EVENTS: Final = frozenset({"completed", "completed_with_failures", "rejected", "cancelled", "failed"})
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
# Answers after which a request may be sent again: no HTTP answer, or one that may pass.
_PASSING: Final = frozenset({0, 408, 409, 429, 500, 502, 503, 504})
# Answers that were paid for and are of no use: half an object, or written to neither file.
_PAID_FAILURES: Final = {True: "incomplete", False: "answers_missing"}  # by whether the answer was delivered


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one promise held: *looked_at* says at how many of what, *violations* where it did not."""

    promise: str
    looked_at: str
    violations: tuple[str, ...]


type _Judge = Callable[[Evidence], Iterator[str]]


def judge(seen: Evidence) -> list[Verdict]:
    """Return the verdict on every promise."""
    return [Verdict(promise, count(seen), tuple(found(seen))) for promise, count, found in _PROMISES]


def _all_ends(seen: Evidence) -> Iterator[str]:
    ended = {notification.job for notification in seen.notifications if notification.event in _END_EVENTS}
    for dropped in seen.dropped:
        if dropped.job not in ended:
            yield f"{_named(dropped)} has not ended"
    for batch in seen.batches:
        if batch.status not in _ENDED:
            yield f"the batch of {batch.ticket} is {batch.status}"


def _nothing_is_missing(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        rows = {outcome.row for outcome in seen.results_of(dropped).outcomes}
        missing = [row for row in range(1, dropped.drop.items + 1) if row not in rows]
        if missing:
            yield f"{_named(dropped)}: {len(missing)} items have no outcome, row {missing[0]} first"


def _nothing_is_doubled(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        rows = [outcome.row for outcome in seen.results_of(dropped).outcomes]
        names = {outcome.name for outcome in seen.results_of(dropped).outcomes}
        if len(set(rows)) != len(rows) or len(names) != len(rows):
            yield f"{_named(dropped)}: {len(rows)} outcomes, {len(set(rows))} rows, {len(names)} names"
        strange = [row for row in rows if not 1 <= row <= dropped.drop.items]
        if strange:
            yield f"{_named(dropped)}: there is no row {strange[0]}"


def _outcomes_are_in_order(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        rows = [outcome.row for outcome in seen.results_of(dropped).outcomes]
        if rows != sorted(rows):
            yield f"{_named(dropped)}: outcomes.jsonl is not in the order of the input"


def _nothing_is_paid_twice(seen: Evidence) -> Iterator[str]:
    for (job, row), runs in seen.runs.items():
        paid = [batch.ticket for batch, line in runs if line.is_charged]
        if len(paid) > 1:
            yield f"row {row} of {job} was paid {len(paid)} times, by {', '.join(paid)}"


def _sent_again_only_after_failure(seen: Evidence) -> Iterator[str]:
    for (job, row), runs in seen.runs.items():
        if len(runs) > ATTEMPTS_MAX:
            yield f"row {row} of {job} ran {len(runs)} times"
        for batch, line in runs[:-1]:
            if line.status not in _PASSING:
                yield f"row {row} of {job} was sent again after {batch.ticket} had answered {line.status}"


def _one_batch_an_attempt(seen: Evidence) -> Iterator[str]:
    ran: defaultdict[tuple[str, int, int], list[str]] = defaultdict(list)
    for batch in seen.batches:
        if batch.status != "failed":
            ran[batch.job, batch.shard, batch.attempt].append(batch.ticket)
    for tickets in ran.values():
        if len(tickets) > 1:
            yield f"one attempt has the batches {', '.join(tickets)}"


def _a_file_makes_one_batch(seen: Evidence) -> Iterator[str]:
    ran: defaultdict[str, list[str]] = defaultdict(list)
    for batch in seen.batches:
        if batch.status != "failed":
            ran[batch.file].append(batch.id)
    for file, batches in ran.items():
        if len(batches) > 1:
            yield f"{file} ran as {', '.join(batches)}"


def _asked_as_dropped(seen: Evidence) -> Iterator[str]:
    digests = {dropped.job: dropped.drop.digests for dropped in seen.dropped}
    for (job, row), runs in seen.runs.items():
        wanted = digests.get(job, ())
        expected = wanted[row - 1] if 1 <= row <= len(wanted) else None
        for batch, line in runs:
            if line.digest != expected:
                yield f"row {row} of {job} was asked otherwise by {batch.ticket}"


def _paid_answers_arrive(seen: Evidence) -> Iterator[str]:
    """Each outcome is the provider's last word on its item: success where it was paid for, and that very line."""
    for dropped in seen.accepted:
        for outcome in seen.results_of(dropped).outcomes:
            complaint = _complaint(
                outcome, [run for run in seen.runs.get((dropped.job, outcome.row), ()) if run[1].is_charged]
            )
            if complaint:
                yield f"row {outcome.row} of {_named(dropped)} {complaint}"


def _complaint(outcome: Outcome, paid: list[tuple[Batch, Line]]) -> str:
    """Return what is wrong with *outcome*, whose item was *paid* for so; empty if nothing is."""
    if not paid:
        return "succeeded without having been answered" if outcome.is_success else ""
    batch, line = paid[-1]
    if not outcome.is_success:
        is_known = outcome.code == _PAID_FAILURES[line.is_delivered]
        return "" if is_known else f"was paid by {batch.ticket} and failed with {outcome.code}"
    if outcome.batch != batch.id or not outcome.line.endswith(f"{line.number - 1:08x}") or not line.is_delivered:
        return f"has the answer {outcome.line} of {outcome.batch}, and was paid by line {line.number} of {batch.id}"
    return ""


def _objects_are_the_outcomes(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        results = seen.results_of(dropped)
        wanted = {outcome.name: outcome.digest for outcome in results.outcomes}
        differing = sorted(
            name for name in wanted.keys() | results.items.keys() if wanted.get(name) != results.items.get(name)
        )
        if differing:
            yield f"{_named(dropped)}: {len(differing)} objects are not their outcomes, {differing[0]} first"


def _files_are_whole(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        results = seen.results_of(dropped)
        failed = sum(not outcome.is_success for outcome in results.outcomes)
        wanted = {
            "outcomes.jsonl": dropped.drop.items,
            f"results.{results.extension}": dropped.drop.items,
            f"failures.{results.extension}": failed,
        }
        for name, records in wanted.items():
            file = results.files.get(name)
            if (0 if file is None else file.records) != records:
                yield f"{_named(dropped)}: {name} has {file and file.records} records of {records}"
        for name, checksum in results.checksums.items():
            if name not in results.files or results.files[name].sha256 != checksum:
                yield f"{_named(dropped)}: {name} is not what the summary says"


def _counts_are_equal(seen: Evidence) -> Iterator[str]:
    for dropped in seen.accepted:
        results = seen.results_of(dropped)
        counted = _counted(results)
        if results.counts != counted:
            yield f"{_named(dropped)}: the summary counts {results.counts}, there are {counted}"
        for notification in _end_notifications(seen, dropped.job):
            if notification.counts != counted:
                yield f"{_named(dropped)}: a notification counts {notification.counts}, there are {counted}"


def _one_id_a_job_and_event(seen: Evidence) -> Iterator[str]:
    for dropped in seen.dropped:
        _, _, failed = _counted(seen.results_of(dropped))
        event = "rejected" if dropped.drop.is_rejected else "completed_with_failures" if failed else "completed"
        found = {(notification.event, notification.id) for notification in _end_notifications(seen, dropped.job)}
        if found - {(event, f"{dropped.job}/{event}")}:
            yield f"{_named(dropped)}: the notifications {sorted(found)}, where {event} was due"
    known = {dropped.job for dropped in seen.dropped}
    for notification in seen.notifications:
        if notification.job not in known:
            yield f"{notification.id} is about no drop"


def _no_use_costs_nothing(seen: Evidence) -> Iterator[str]:
    rejected = {dropped.job for dropped in seen.dropped if dropped.drop.is_rejected}
    for batch in seen.batches:
        if batch.job in rejected:
            yield f"{batch.ticket} was sent for a file that is no use"
    for (job, row), runs in seen.runs.items():
        dropped = next((dropped for dropped in seen.dropped if dropped.job == job), None)
        if dropped is None:
            yield f"{runs[0][0].ticket} was sent for no drop (row {row})"


def _nothing_is_left(seen: Evidence) -> Iterator[str]:
    for queue, messages in seen.waiting_messages.items():
        if messages:
            yield f"{messages} messages lie in {queue}"
    yield from (f"{key} belongs to no job" for key in seen.strays)


def _counted(results: Results) -> tuple[int, int, int]:
    succeeded = sum(outcome.is_success for outcome in results.outcomes)
    return len(results.outcomes), succeeded, len(results.outcomes) - succeeded


def _end_notifications(seen: Evidence, job: str) -> list[Notification]:
    return [
        notification
        for notification in seen.notifications
        if notification.job == job and notification.event in _END_EVENTS
    ]


def _named(dropped: Dropped) -> str:
    return f"{dropped.drop.key} ({dropped.job})"


def _items(seen: Evidence) -> str:
    return f"{sum(dropped.drop.items for dropped in seen.dropped):,} items"


def _jobs(seen: Evidence) -> str:
    return f"{len(seen.dropped):,} jobs"


def _batches(seen: Evidence) -> str:
    return f"{len(seen.batches):,} batches"


def _requests(seen: Evidence) -> str:
    return f"{len(seen.lines):,} requests that ran"


def _objects(seen: Evidence) -> str:
    return f"{sum(len(results.items) for results in seen.results.values()):,} objects"


def _notifications(seen: Evidence) -> str:
    return f"{len(seen.notifications):,} notifications"


def _messages(seen: Evidence) -> str:
    return f"{len(seen.waiting_messages)} queues"


_PROMISES: Final[tuple[tuple[str, Callable[[Evidence], str], _Judge], ...]] = (
    ("every job and every batch ends", _jobs, _all_ends),
    ("no item is missing", _items, _nothing_is_missing),
    ("no item is doubled", _items, _nothing_is_doubled),
    ("`outcomes.jsonl` is in the order of the input", _items, _outcomes_are_in_order),
    ("no request is paid twice", _requests, _nothing_is_paid_twice),
    (
        "a request is sent again only after a failure that may pass, three times at most",
        _requests,
        _sent_again_only_after_failure,
    ),
    ("an attempt of a shard has one batch that ran", _batches, _one_batch_an_attempt),
    ("an input file has one batch that ran", _batches, _a_file_makes_one_batch),
    ("each record is asked as it was dropped", _requests, _asked_as_dropped),
    ("each answer that was paid for arrives at its own item", _items, _paid_answers_arrive),
    ("each item's object is its outcome", _objects, _objects_are_the_outcomes),
    ("merged files are whole, and what the summary's checksums say", _jobs, _files_are_whole),
    ("summary and notifications count what there is", _notifications, _counts_are_equal),
    ("one deduplication id for each job and event", _notifications, _one_id_a_job_and_event),
    ("a file that is no use is rejected and sends nothing", _jobs, _no_use_costs_nothing),
    ("a second delivery of every event changes nothing", _jobs, lambda seen: iter(seen.changed)),
    ("nothing is left in the queues, nothing lies outside its job", _messages, _nothing_is_left),
    ("no prompt in a log or a notification", _notifications, lambda seen: iter(seen.told)),
)
