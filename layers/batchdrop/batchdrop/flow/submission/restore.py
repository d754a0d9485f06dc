"""Compares what the provider shows with the rows after a restore of the table, before anything continues.

Rule: the list is read to its end first, and nothing is written until it was. The schedule and both queues' mappings must be off:
an operator calls this (docs/runbooks/restore.md), nothing else does. May be repeated.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchdrop.core.delivery.job_lifecycle import JobCancelled, may_be_cancelled
from batchdrop.core.model.batches import Batch
from batchdrop.core.model.change import Change, Write
from batchdrop.core.model.errors import BrokenState, KeyMissing, NotAtProvider, OutOfTime
from batchdrop.core.model.job import Job, JobState
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import DAY, Limits
from batchdrop.core.model.reasons import NotificationEvent
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.submission.batch_signals import STATUS_FAILED, find_batch, prefer
from batchdrop.core.submission.dedupe import SentOnce
from batchdrop.core.submission.restore import RESTORED, Tries, Try, lost_tries, restored_event, tries_of
from batchdrop.core.submission.shard_events import BatchFound, Restored
from batchdrop.core.submission.shard_lifecycle import EDGES, advance
from batchdrop.flow.ports import Ports, Provider
from batchdrop.flow.submission.circuit_breaker import open_provider
from batchdrop.flow.unit_of_work import Work, begin, move_job, read_job, read_shard, transact, write

# 500,000 batches: a list that does not end by then is none that a person could look at either.
PAGES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found and done, for the operator. *stopped* and *claimed* are jobs that a person should look at."""

    batches: int  # of this installation
    adopted: int  # shards that have their batch again
    reset: int  # shards that are looked for once more before anything is sent
    stopped: tuple[str, ...]  # cancelled: they had batches that no row can account for
    claimed: tuple[str, ...]  # begun after the backup: their uploads are not started automatically
    unaccounted: tuple[str, ...]  # those batches; what they answered is at the provider


def recover_all(ports: Ports, limits: Limits) -> Recovery:
    """Hold all rows against all batches. Raises OutOfTime where the list could not be read, with nothing changed."""
    if ports.ledger.install() is None:
        raise BrokenState("the table has no installation's row: it is empty, and there is nothing to recover")
    work = begin(ports, limits)
    provider = open_provider(work)
    if provider is None:
        raise KeyMissing("key_missing", "without the key it is not known which batches there are")
    _check_project(work, provider)
    batches = _list_all(work, provider)
    tries = tries_of(batches, work.install.id)
    rows = {job: ports.ledger.job(job) for job in tries}
    claimed = _claim(work, tries, [job for job, row in rows.items() if row is None])
    stopped, unaccounted = _stop_lost(work, tries, [row for row in rows.values() if row is not None])
    moved = [_restore_shard(work, provider, shard, _of_shard(tries, shard)) for shard in _shards_under_way(work)]
    done = Recovery(
        batches=sum(len(of_shard) for of_job in tries.values() for of_shard in of_job.values()),
        adopted=sum(shard.attempt.batch != "" for shard in moved),
        reset=sum(shard.attempt.batch == "" for shard in moved),
        stopped=tuple(stopped),
        claimed=tuple(claimed),
        unaccounted=tuple(unaccounted),
    )
    ports.log.warning("table.recovered", batches=done.batches, moved=len(moved), count=len(stopped) + len(claimed))
    return done


def _check_project(work: Work, provider: Provider) -> None:
    """Raise BrokenState where the key is of a project that none of our batches lie in: its list would say nothing."""
    for witness in work.install.proofs.values():
        try:
            provider.batch(witness)
        except NotAtProvider:
            continue
        return
    if work.install.proofs:
        raise BrokenState("this key does not see the batches that the table knows: it is of another project")


def _list_all(work: Work, provider: Provider) -> list[Batch]:
    """Return every batch that has a ticket of ours. Raises OutOfTime before the function must stop."""
    ours = f"{work.install.id}."
    found: list[Batch] = []
    after: str | None = None
    for _ in range(PAGES_MAX):
        if not work.may_go_on():
            break
        page = provider.list_batches(after)
        found += [batch for batch in page.batches if batch.ticket.startswith(ours)]
        after = page.next_after
        if after is None:
            return found
    raise OutOfTime(
        "the list of batches could not be read to its end; nothing was changed: give the function more time"
    )


def _shards_under_way(work: Work) -> list[Shard]:
    return [row for row in list(work.ports.ledger.active()) if isinstance(row, Shard) and Restored in EDGES[row.state]]


def _of_shard(tries: Tries, shard: Shard) -> Sequence[Try]:
    return tries.get(shard.job, {}).get(shard.number, ())


def _restore_shard(work: Work, provider: Provider, listed: Shard, tries: Sequence[Try]) -> Shard:
    """Give the shard its batch where there is one, or else let it be looked for before anything is sent."""
    by_ticket: dict[str, Batch] = {}
    for one in tries:
        by_ticket[one.batch.ticket] = prefer(by_ticket.get(one.batch.ticket), one.batch)

    def restored(read: Shard) -> Shard | None:
        if Restored not in EDGES[read.state]:
            return None
        sent = _as_sent(work, read_job(work, read.job), read) if tries else read
        after = advance(read, restored_event(sent, tries), work.now())
        found = find_batch(after, by_ticket) if after.attempt.tickets else None
        if isinstance(found, BatchFound) and found.batch.status != STATUS_FAILED:
            adopted = advance(after, found, work.now())
            # Its row may be of a time before any key was known; this one sees the batch.
            after = replace(adopted, base_url=provider.base_url, fingerprint=provider.fingerprint)
        return after

    after = transact(work, read_shard(work, listed), restored).row
    work.ports.log.info(
        "shard.restored", job_id=after.job, shard=after.number, state=after.state, batch_id=after.attempt.batch
    )
    return after


def _as_sent(work: Work, job: Job, shard: Shard) -> Shard:
    """Return *shard* with what it does not send, which its row says only once the input is uploaded: batches count the rest."""
    if not job.options.dedupe or shard.saved_items or shard.state not in (ShardState.WAITING, ShardState.RESERVED):
        return shard
    once = SentOnce(work.open(job).lines(shard))
    deque(once, maxlen=0)
    return replace(shard, saved_items=once.saving(shard).items)


def _stop_lost(work: Work, tries: Tries, jobs: Sequence[Job]) -> tuple[list[str], list[str]]:
    """Cancel each job that has batches which no row can account for; return their ids, and those batches."""
    stopped, unaccounted = [], []
    for job in jobs:
        if not may_be_cancelled(job):
            continue
        shards = {
            shard.number: _as_sent(work, job, shard) if shard.number in tries[job.id] else shard
            for shard in work.ports.ledger.shards(job.id)
        }
        lost = lost_tries(shards, tries[job.id])
        if lost:
            move_job(work, job, JobCancelled())
            work.ports.log.warning("job.unrestorable", job_id=job.id, batches=[batch.id for batch in lost])
            stopped.append(job.id)
            unaccounted += [batch.id for batch in lost]
    return stopped, unaccounted


def _claim(work: Work, tries: Tries, jobs: Sequence[str]) -> list[str]:
    """Write an ended row for each of *jobs*, which have batches and no row, so that no event or list starts them again.

    Uploads older than a week are never started, so their jobs need none.
    """
    since = work.ports.clock.now() - work.limits.old_drop_seconds - DAY
    young = {job for job in jobs if any(_ran_since(one, since) for tried in tries[job].values() for one in tried)}
    uploads = _uploads_of(work, young) if young else {}
    for job in sorted(young):
        upload = uploads.get(job, Upload(work.ports.inbox_bucket, "", ""))
        now = work.ports.clock.now()
        row = Job(
            id=job, bucket=upload.bucket, key=upload.key, version=upload.version, task=upload.task, created_at=now,
            state=JobState.ENDED, event=NotificationEvent.REJECTED, reason=RESTORED, ended_at=now,
            expires_at=now + work.limits.ended_rows_kept_seconds,
        )  # fmt: skip
        if write(work, Change((Write(None, row),))) is None:
            continue  # it has one by now
        work.ports.log.warning("claim.restored", job_id=job)
    return sorted(young)


def _ran_since(one: Try, since: int) -> bool:
    """Whether the batch runs, or ran, since then, or at a time that cannot be read."""
    return one.batch.status != STATUS_FAILED and (not one.batch.created_at or one.batch.created_at >= since)


def _uploads_of(work: Work, jobs: set[str]) -> Mapping[str, Upload]:
    """Return those uploads of the inbox whose jobs are *jobs*; of what was overwritten or deleted there is none."""
    found: dict[str, Upload] = {}
    after = version = ""
    while work.may_go_on():
        page = work.ports.storage.list_inbox(after, version)
        found |= {listed.upload.job_id: listed.upload for listed in page.uploads if listed.upload.job_id in jobs}
        after, version = page.next_after, page.next_version
        if not after:
            break
    return found
