"""What must hold in every world, whatever was struck: numbers 1 to 9 and 14 to 23 of the list in this folder's README.

Rule: judged on the provider's own ledger, the buckets and the topic. Numbers 10 to 13 are about the table itself and are
checked at each of its writes (`journals`), 17 at each request (`installation`), 24 while a call is refused for good (`refusals`).
"""

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from simulation.evidence import Document, Evidence, ResultsOf, did_fail, is_end
from simulation.gate import DEFINITE
from simulation.installation import Installation
from simulation.journals import Finding
from simulation.stories import CANARY, Scenario
from simulation.wire import KEYS, STATUSES

from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import DAY
from batchdrop.core.model.shard import Shard, ShardState
from openai_batch_simulator.account.batches import TERMINAL

# Files expire by themselves after a week (limits.input_file_lifetime_seconds).
_FILE_DAYS_MAX = 7
# Calls of the provider: what a shard needs on its way, faults and fences included, and what a tick may ask.
_CALLS_PER_SHARD, _CALLS_PER_TICK = 120, 12

# What items fail with whose create nobody ever answered.
_UNSEEN = "submission_unknown"

# Where the table is lost on the way, these are what can still be promised.
_OF_EMPTIED = frozenset({1, 2, 3, 18, 19, 22, 23})
# Where it is restored: not what results show, for a job that had ended may end a second time, as cancelled. That a batch
# of which the backup knows nothing is referred to is the operator's part.
_OF_RESTORED = _OF_EMPTIED | {10, 11, 12, 13, 14, 17, 21}

# Those about the table itself are noted at each write, whatever becomes of the table.
_AT_ONCE = frozenset({10, 11, 12, 13, 14, 17})

type Judge = Callable[[Evidence], Iterator[str]]


def paid_once(seen: Evidence) -> Iterator[str]:
    """1: no item has two billed successes whose answers were delivered."""
    for item, batches in seen.delivered.items():
        if len(batches) > 1:
            yield f"{item} was paid {len(batches)} times, in {[sent.ticket for sent in batches]}"


def billed_tries(seen: Evidence) -> Iterator[str]:
    """2: an item is billed once, and once more for each failure that the provider reported as retryable."""
    for item, count in seen.charged.items():
        if count > 1 + seen.retryable[item]:
            yield f"{item} was billed {count} times after {seen.retryable[item]} retryable failures"


def one_batch_an_attempt(seen: Evidence) -> Iterator[str]:
    """3: a shard's attempt has at most one batch that is not failed."""
    tickets: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for sent in seen.sent:
        if not did_fail(sent):
            tickets[sent.job, sent.shard, sent.attempt].append(sent.ticket)
    for attempt, found in tickets.items():
        if len(found) > 1:
            yield f"attempt {attempt} has the batches {found}"
    for sent in seen.sent if seen.here.scenario.sends_once else ():
        bodies = [json.dumps(line["body"]) for line in sent.lines.values()]
        if len(set(bodies)) < len(bodies):
            yield f"{sent.ticket} asks the same more than once"


def _accepted(seen: Evidence) -> Iterator[tuple[Upload, ResultsOf, Document]]:
    for upload in set(seen.here.uploads):
        results = seen.results(upload)
        if results.summary is not None:
            yield upload, results, results.summary


def every_item_ends_once(seen: Evidence) -> Iterator[str]:
    """4: accepted items = succeeded + failed, each has exactly one outcome and one object; reasons are the story's own."""
    for upload in set(seen.here.uploads):
        results = seen.results(upload)
        if is_rejected(seen, upload):
            continue
        wanted = list(range(1, items_of(seen.here, upload) + 1))
        outcomes = [json.loads(line) for line in results.outcome_lines]
        if [outcome["row"] for outcome in outcomes] != wanted:
            yield f"{upload.key}: rows {[outcome['row'] for outcome in outcomes]} of {len(wanted)} have an outcome"
        yield from _items_can_be_read(upload, results, outcomes)
        for outcome in outcomes:
            error = outcome["error"]
            if (outcome["status"] == "failed") != (error is not None):
                yield f"{upload.key}: row {outcome['row']} is {outcome['status']} with {error}"
            if error and error["code"] not in _failures(seen.here):
                yield f"{upload.key}: row {outcome['row']} failed with {error['code']}: {error['message'][:90]}"


def _failures(here: Installation) -> frozenset[str]:
    """Return what items may fail with: the story's own, and what a create, or a day of uploads, was definitely refused with."""
    refused = [(call, fault) for call, fault in here.gate.struck if fault in DEFINITE]
    faults = {fault for call, fault in refused if call.name == "http POST batches"}
    uploads = [(call.at, fault) for call, fault in refused if call.name == "http POST files"]
    if (
        uploads
        and uploads[-1][0] - uploads[0][0] >= here.limits.refused_seconds_max - here.limits.refused_retry_seconds
    ):
        faults |= {fault for _, fault in uploads}
    return here.scenario.failures | {f"http_{STATUSES[fault]}" for fault in faults}


def _items_can_be_read(upload: Upload, results: ResultsOf, outcomes: Sequence[Document]) -> Iterator[str]:
    """4: each item can be read by itself in the way that its task wants, and in no other."""
    access = json.loads(results.file("status.json") or b"{}").get("items", "objects")
    names = {outcome["name"] for outcome in outcomes}
    if access == "objects":
        if results.item_objects.keys() != names:
            yield f"{upload.key}: {len(results.item_objects)} objects of {len(names)} items"
    elif results.item_objects:
        yield f"{upload.key}: {len(results.item_objects)} objects that nobody wants"
    if access == "index" and results.indexed_names != names:
        yield f"{upload.key}: the index finds {sorted(results.indexed_names)} of {sorted(names)}"


def is_rejected(seen: Evidence, upload: Upload) -> bool:
    """Whether the last that was said of *upload* is that it cannot be used."""
    notifications = seen.notifications(upload.job_id)
    return bool(notifications) and notifications[-1]["event"] == "rejected"


def items_of(here: Installation, upload: Upload) -> int:
    """Return how many records *upload* has."""
    return len(_lines_of(here, upload))


def _lines_of(here: Installation, upload: Upload) -> list[str]:
    """Return the records of *upload* as lines: one a line, and a header before them where it is a table."""
    content = here.storage.uploads[upload.key, upload.version][0]
    packed = upload.key.endswith(".gz")
    text = gzip.decompress(content).decode("utf-16") if packed else content.decode(errors="replace")
    return text.splitlines()[upload.extension == "csv" :]


def answers_are_the_items_own(seen: Evidence) -> Iterator[str]:
    """5: a success derives from the answer to that item of that version."""
    batches = {sent.batch.id: sent for sent in seen.sent}
    for upload, results, _ in _accepted(seen):
        lines = _lines_of(seen.here, upload)
        outcomes = [json.loads(line) for line in results.outcome_lines]
        rows = {outcome["name"]: outcome["row"] for outcome in outcomes}
        for outcome in outcomes:
            if outcome["status"] != "succeeded":
                continue
            # What repeats another one's request has the answer to that.
            row = rows[outcome.get("same_as", outcome["name"])]
            sent = batches.get(outcome["batch_id"])
            if sent is None or sent.job != upload.job_id or row not in sent.lines:
                yield f"{upload.key}: row {row} has its answer from {outcome['batch_id']}, which did not ask for it"
                continue
            marker = lines[outcome["row"] - 1].partition(CANARY)[2].strip(' "}]').split('"')[0]
            if f"{CANARY} {marker.strip()}" not in json.dumps(sent.lines[row]["body"]):
                yield f"{upload.key}: row {row} was asked with another record"
            given = [a.line["response"]["body"] for a in seen.answers[sent.batch.id] if a.row == row and a.is_success]
            if outcome["response"] not in given:
                yield f"{upload.key}: row {row} has an answer that the provider did not give"


def files_are_whole(seen: Evidence) -> Iterator[str]:
    """6: the merged files are the items' outcomes in order; counts and checksums are the summary's."""
    for upload, results, summary in _accepted(seen):
        outcomes = [json.loads(line) for line in results.outcome_lines]
        for line, outcome in zip(results.outcome_lines, outcomes, strict=True):
            if results.item_objects.get(outcome["name"], line) != line:
                yield f"{upload.key}: the object of {outcome['name']} is not its outcome"
        failed = sum(outcome["status"] == "failed" for outcome in outcomes)
        counts = {"items": len(outcomes), "succeeded": len(outcomes) - failed, "failed": failed}
        if summary["counts"] != counts:
            yield f"{upload.key}: the summary counts {summary['counts']}, there are {counts}"
        for file in summary["files"]:
            content = results.file(file["name"])
            if content is None or hashlib.sha256(content).hexdigest() != file["sha256"]:
                yield f"{upload.key}: {file['name']} is not what the summary says"


def notifications_are_one(seen: Evidence) -> Iterator[str]:
    """8: an ended job has at least one end notification, all copies bear one id, none comes before the summary."""
    for upload in set(seen.here.uploads):
        notifications = seen.notifications(upload.job_id)
        if not notifications:
            yield f"{upload.key}: no notification"
        ids = {notification["id"] for notification in notifications}
        if len(ids) > 1 + seen.here.retries[upload.job_id]:
            yield f"{upload.key}: notifications {sorted(ids)}"
    for notification in seen.here.notifications.before_summary:
        if is_end(notification) and notification.attributes["event"] != "rejected":
            yield f"a notification of {notification.attributes['job']} came before its summary"


def notifications_count_as_the_summary(seen: Evidence) -> Iterator[str]:
    """9: a notification's counts equal the summary's."""
    for upload, _, summary in _accepted(seen):
        for notification in (
            notification for notification in seen.notifications(upload.job_id) if notification["event"] != "rejected"
        ):
            if notification["counts"] != summary["counts"]:
                yield f"{upload.key}: a notification counts {notification['counts']}, the summary {summary['counts']}"


def nothing_is_held_at_rest(seen: Evidence) -> Iterator[str]:
    """10: when all is done no quota is used."""
    for quota in seen.here.ledger.quotas.values():
        if quota.used:
            yield f"{quota.used} tokens of {quota.model} are used at rest"


def all_ends(seen: Evidence) -> Iterator[str]:
    """14: with faults off, everything ends."""
    here = seen.here
    jobs = {job.id: job for job in here.jobs()}
    for upload in set(here.uploads):
        job = jobs.get(upload.job_id)
        if job is None or job.state is not JobState.ENDED:
            shards = [row for row in here.ledger.rows.values() if isinstance(row, Shard) and row.job == upload.job_id]
            yield f"{upload.key} is {job and job.state}, its shards {[shard.state for shard in shards]}"
        elif job.event == "failed":
            yield f"{upload.key} failed: {job.reason}"
    for sent in seen.sent:
        if sent.batch.status not in TERMINAL and not sent.batch.is_endless:
            yield f"{sent.ticket} is {sent.batch.status}"


def poison_spends_nothing(seen: Evidence) -> Iterator[str]:
    """15: what cannot be used is rejected with one notification, for the story's own reason, and nothing of it is sent."""
    for upload in set(seen.here.uploads):
        notifications = seen.notifications(upload.job_id)
        rejected = [notification for notification in notifications if notification["event"] == "rejected"]
        if is_rejected(seen, upload) and any(sent.job == upload.job_id for sent in seen.sent):
            yield f"{upload.key} was rejected and sent"
        for notification in rejected:
            if notification["reason"]["code"] not in seen.here.scenario.rejections:
                yield f"{upload.key} was rejected: {notification['reason']}"


def nothing_is_left_behind(seen: Evidence) -> Iterator[str]:
    """16: an input file expires within a week, and is swept within days; a batch that runs is referred to by a shard."""
    now, referred, unseen = seen.here.tasks.time.now(), set[str](), set[tuple[str, int]]()
    for row in seen.here.ledger.rows.values():
        if isinstance(row, Shard):
            referred |= {row.attempt.batch, *row.batches}
            if row.reason and row.reason.code == _UNSEEN and _UNSEEN in seen.here.scenario.failures:
                unseen.add((row.job, row.number))  # the story has no list in which its batch would be seen
    for sent in seen.sent:
        if not did_fail(sent) and sent.batch.id not in referred and (sent.job, sent.shard) not in unseen:
            yield f"{sent.ticket} ran and nothing refers to it"
    for file in seen.here.simulator.account.files.by_id.values():
        if file.purpose == "batch" and (file.expires_at or 1e12) > file.created_at + _FILE_DAYS_MAX * DAY:
            yield f"{file.filename} stays for more than a week"
        if seen.here.scenario.is_watched_for_days and file.purpose == "batch" and file.is_there(now):
            yield f"{file.filename} was not swept"


def nothing_is_told(seen: Evidence) -> Iterator[str]:
    """18: no prompt, answer or secret in a log or a notification."""
    told = repr(seen.here.log.lines) + repr(seen.here.notifications.published)
    for canary in (CANARY, "[simulated]", *KEYS):
        if canary in told:
            yield f"{canary!r} was told"


def keys_stay_with_their_job(seen: Evidence) -> Iterator[str]:
    """19: every object lies under the job of an upload."""
    folders = [f"/{upload.job_id}/" for upload in seen.here.uploads]
    for key in seen.here.storage.objects:
        if not any(folder in key for folder in folders):
            yield f"{key} is nobody's"


def dead_letters_are_poison(seen: Evidence) -> Iterator[str]:
    """21: nothing lies in the dead letters that could be dealt with; the end of a run redrives them once."""
    for queue in (seen.here.submissions, seen.here.completions):
        for message in queue.dead:
            yield f"{queue.name}: {message.body[:80]}"


def no_storm_of_calls(seen: Evidence) -> Iterator[str]:
    """22: calls of the provider stay within a bound of shards and ticks."""
    calls = sum(call.name.startswith("http") for call in seen.here.gate.calls)
    shards = sum(isinstance(row, Shard) for row in seen.here.ledger.rows.values())
    if calls > calls_allowed(shards, seen.here.ticks * seen.here.pollers):
        yield f"{calls} calls for {shards} shards in {seen.here.ticks} ticks"


def calls_allowed(shards: int, ticks: int) -> int:
    """Return how many calls of the provider may be made for so many shards in so many ticks."""
    return _CALLS_PER_SHARD * (1 + shards) + _CALLS_PER_TICK * ticks


def successes_are_not_sent_again(seen: Evidence) -> Iterator[str]:
    """23: an item that succeeded is never sent again. A create that came late and failed is no sending: the fence held."""
    for item, batches in seen.delivered.items():
        for sent in seen.sent:
            if did_fail(sent) or sent.job != item[0] or item[1] not in sent.lines:
                continue
            if any(done.ended_at is not None and done.ended_at < sent.batch.created_at for done in batches):
                yield f"{item} was sent again by {sent.ticket}"


def shards_are_done(seen: Evidence) -> Iterator[str]:
    """12: an ended job leaves no shard under way."""
    for row in seen.here.ledger.rows.values():
        if isinstance(row, Shard) and row.state is not ShardState.DONE:
            yield f"shard {row.number} is {row.state}"


JUDGES: tuple[tuple[int, Judge], ...] = (
    (1, paid_once), (2, billed_tries), (3, one_batch_an_attempt), (4, every_item_ends_once),
    (5, answers_are_the_items_own), (6, files_are_whole), (8, notifications_are_one), (9, notifications_count_as_the_summary),
    (10, nothing_is_held_at_rest), (12, shards_are_done), (14, all_ends), (15, poison_spends_nothing),
    (16, nothing_is_left_behind), (18, nothing_is_told), (19, keys_stay_with_their_job), (21, dead_letters_are_poison),
    (22, no_storm_of_calls), (23, successes_are_not_sent_again),
)  # fmt: skip


def judge(here: Installation) -> list[Finding]:
    """Return everything that did not hold in the run of *here*."""
    seen = Evidence(here)
    promised = _promised(here.scenario)
    noted = [finding for finding in here.findings if finding.invariant in promised | _AT_ONCE]
    judges = [(number, look) for number, look in JUDGES if number in promised]
    return [*noted, *(Finding(number, text) for number, look in judges for text in look(seen))]


def _promised(scenario: Scenario) -> frozenset[int]:
    if scenario.is_emptied:
        return _OF_EMPTIED
    return _OF_RESTORED if scenario.is_restored else frozenset(range(1, 25))
