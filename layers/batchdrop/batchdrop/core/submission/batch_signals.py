"""Decides what a look at the provider means for a shard: observations in, events out.

Rule: terminal is what the provider calls terminal, and nothing else. An unknown status is waited on, an absent count is not
zero, and a refusal is told apart by its code first and by its words only where the provider has no code for it.
"""

import re

from batchdrop.core.model.batches import Batch, BatchError, Declined
from batchdrop.core.model.dialects import Dialect
from batchdrop.core.model.errors import ProviderRefused
from batchdrop.core.model.limits import COMPLETION_WINDOW_SECONDS, HOUR, MINUTE, Limits
from batchdrop.core.model.reasons import Reason, Refusal, Scope
from batchdrop.core.model.shard import Shard, ShardState
from batchdrop.core.model.stated import stated_limit
from batchdrop.core.submission import shard_events as on
from batchdrop.core.submission.refusals import is_about_model, is_account_refused, is_money_code

# The statuses of the SDK's own Literal (openai.types.Batch, read in 3.54); a test compares them.
STATUSES_WITH_ANSWERS = frozenset({"completed", "expired", "cancelled"})
STATUS_FAILED = "failed"
STATUS_CANCELLING = "cancelling"
STATUSES_UNDER_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
STATUSES_TAKEN = STATUSES_WITH_ANSWERS | {"in_progress", "finalizing"}  # there was quota for the batch
STATUSES_STOPPABLE = frozenset({"validating", "in_progress"})  # the others end without help

_TOKEN_LIMIT_CODE = "token_limit_exceeded"  # noqa: S105 - a code of the provider
# Its message, as reported in https://github.com/openai/openai-python/issues/2084 (2026-11-22).
_TOKEN_LIMIT_WORDS = "enqueued token limit"  # noqa: S105 - words of the provider
_INPUT_LIMIT_WORDS = "enqueued embedding"
_INPUT_PARAM = "input_file_id"
_INPUT_WORDS = ("cannot find file", "input file not found")  # OpenAI and OGX; AIBrix
_FILE = re.compile(r"(?<![a-z])(?:input_?)?file(?:_id)?(?![a-z])")
_INPUT_CODES = frozenset({"file_not_found", "input_file_not_found"})

# As servers word it: "File is too large", `file_too_large`, "Request Entity Too Large", "exceeds the maximum allowed size".
_TOO_LARGE_WORDS = ("too large", "too big", "maximum size", "maximum allowed size", "maximum file size", "size limit")
_STORAGE_WORDS = ("storage", "quota")
_BAD_REQUEST, _TOO_LARGE, _UNPROCESSABLE, _TOO_MANY = 400, 413, 422, 429
_OF_REQUESTS = frozenset({_TOO_LARGE, _UNPROCESSABLE})


def is_token_limit(code: str, message: str) -> bool:
    """Whether a refusal says that too many tokens are enqueued."""
    words = message.lower()
    return code.lower() == _TOKEN_LIMIT_CODE or _TOKEN_LIMIT_WORDS in words or _INPUT_LIMIT_WORDS in words


def _no_quota(shard: Shard, message: str, *, is_idle: bool) -> on.NoQuota:
    is_inputs = _INPUT_LIMIT_WORDS in message.lower()
    return on.NoQuota(shard.attempt.ticket, is_idle=is_idle, stated=stated_limit(message), is_inputs=is_inputs)


def names_input(shard: Shard, declined: Declined) -> bool:
    """Whether a refusal speaks of the input file, by its id, as the parameter that is wrong, or in words."""
    said = f"{declined.code} {declined.message}".lower()
    file = shard.attempt.file.id.lower()
    return declined.param == _INPUT_PARAM or (bool(file) and file in said) or bool(_FILE.search(said))


def is_input_missing(code: str, message: str, param: str | None) -> bool:
    """Whether a refusal says that the input file is not there."""
    return (
        code.lower() in _INPUT_CODES or param == _INPUT_PARAM or any(words in message.lower() for words in _INPUT_WORDS)
    )


def observe(shard: Shard, batch: Batch, *, is_idle: bool) -> on.ShardEvent | None:
    """Return what *batch*, its own, means for a RUNNING *shard*; None while there is nothing to do.

    *is_idle* says whether the shard alone holds quota of its model.
    """
    if batch.status in STATUSES_WITH_ANSWERS:
        return on.BatchEnded(shard.attempt.ticket, batch)
    if batch.status != STATUS_FAILED:
        return None
    if shard.attempt.file.intent_at and batch.ticket != shard.attempt.ticket and batch.ticket in shard.attempt.tickets:
        return on.EarlierFailed(shard.attempt.ticket)
    return _never_ran(shard, batch.errors, is_idle=is_idle) or on.BatchEnded(shard.attempt.ticket, batch)


def _never_ran(shard: Shard, errors: tuple[BatchError, ...], *, is_idle: bool) -> on.ShardEvent | None:
    """Return what a failed batch means that is tried again as it is; None where its items are to be looked at."""
    unpaid = [error for error in errors if is_money_code(error.code)]
    if unpaid:
        return on.MoneyMissed(shard.attempt.ticket, Reason(unpaid[0].code, unpaid[0].message))
    full = [error.message for error in errors if is_token_limit(error.code, error.message)]
    if full:
        return _no_quota(shard, full[0], is_idle=is_idle)
    return on.InputMissed(shard.attempt.ticket) if _missed_input(errors) else None


def is_duplicate(shard: Shard, batch: Batch, ticket: str) -> bool:
    """Whether *batch*, which has a *ticket* of *shard*, runs or ran beside the one that counts and is not reported yet.

    One that failed never ran. One of the present attempt isn't a duplicate while the shard may still adopt it.
    """
    if batch.status == STATUS_FAILED or batch.id in (shard.attempt.batch, *shard.batches, *shard.duplicates):
        return False
    return ticket not in shard.attempt.tickets or shard.state in (
        ShardState.RUNNING,
        ShardState.HARVESTING,
        ShardState.DONE,
    )


def prefer(known: Batch | None, batch: Batch) -> Batch:
    """Return which of two batches that bear one ticket counts: one that runs or ran, and of those the older."""
    if known is None or (known.status == STATUS_FAILED and batch.status != STATUS_FAILED):
        return batch
    if batch.status == STATUS_FAILED and known.status != STATUS_FAILED:
        return known
    return batch if batch.created_at < known.created_at else known


def overdue_at(shard: Shard, batch: Batch, limits: Limits, dialect: Dialect) -> int | None:
    """Return from when on *batch*, of *shard*, should have ended long ago; None where the server lets batches run on.

    By the provider's time stamps; where it says neither when the batch expires nor when it was made, our intent counts.
    """
    if not dialect.window_expires:
        return None
    return _expires_at(shard, batch) + max(limits.stuck_seconds, dialect.overdue_seconds)


def is_stuck(shard: Shard, batch: Batch, now: int, limits: Limits, dialect: Dialect) -> bool:
    """Whether *batch*, its own, should have ended long ago, and no end is on its way. An unknown status isn't an end either."""
    if batch.status in STATUSES_WITH_ANSWERS or batch.status in (STATUS_FAILED, STATUS_CANCELLING):
        return False
    late_at = overdue_at(shard, batch, limits, dialect)
    return late_at is not None and now >= max(late_at, shard.attempt.cancel_asked_at + limits.stuck_seconds)


def is_hopeless(shard: Shard, batch: Batch, now: int, limits: Limits, dialect: Dialect) -> bool:
    """Whether *batch*, its own, was to end days ago, and no cancel helped: it is given up although it may still run."""
    if batch.status in STATUSES_WITH_ANSWERS or batch.status == STATUS_FAILED or not shard.attempt.cancel_asked_at:
        return False
    is_asked_again = now - shard.attempt.cancel_asked_at >= limits.cancel_retry_seconds
    return is_asked_again and now - _expires_at(shard, batch) >= limits.hopeless_seconds + dialect.overdue_seconds


def _expires_at(shard: Shard, batch: Batch) -> int:
    """Return when the batch ends at the latest; what it says of that counts where it is later than its beginning."""
    begun_at = batch.created_at or shard.attempt.file.intent_at
    return batch.expires_at if batch.expires_at > begun_at else begun_at + COMPLETION_WINDOW_SECONDS


def stuck_reason(batch: Batch, limits: Limits) -> Reason:
    """Return why the items of *batch* fail that it has not answered although it was to end long ago."""
    message = (
        f"The batch {batch.id} did not end within {limits.hopeless_seconds // HOUR} hours after it was due to, and obeyed no "
        f"cancel: it is {batch.status}. It may still run and be paid for, so this request is not sent again."
    )
    return Reason("batch_stuck", message)


def _missed_input(errors: tuple[BatchError, ...]) -> bool:
    return any(error.line is None and is_input_missing(error.code, error.message, error.param) for error in errors)


def find_batch(shard: Shard, batches: dict[str, Batch]) -> on.ShardEvent | None:
    """Return what a list of *batches*, by ticket, means for a shard that knows of no batch; None if it shows none.

    A batch that may run or ran is adopted whichever of the attempt's tries made it, the oldest first. One that failed is
    looked at only if it answers the present try: it never ran, and earlier create calls are dealt with.
    """
    shown = [(ticket, batches[ticket]) for ticket in shard.attempt.tickets if ticket in batches]
    for ticket, batch in shown:
        if batch.status != STATUS_FAILED:
            return on.BatchFound(batch, ticket)
    for ticket, batch in shown:
        if ticket == shard.attempt.ticket:
            return on.InputMissed(shard.attempt.ticket) if _missed_input(batch.errors) else on.BatchFound(batch, ticket)
    return None


def read_refusal(declined: Declined, shard: Shard, now: int, limits: Limits, *, is_idle: bool) -> on.ShardEvent:
    """Return what a definite refusal of the create call means. None of these is uncertain: no batch exists."""
    code, message = declined.code, declined.message
    if is_token_limit(code, message):
        return _no_quota(shard, message, is_idle=is_idle)
    is_account = is_account_refused(declined.status, code)
    if is_account or declined.status == _TOO_MANY:
        return _turned_away(declined, shard, limits, is_account=is_account)
    reason = Reason(code or f"http_{declined.status}", message)
    if is_about_model(declined.status, code):
        return on.ModelRefused(shard.attempt.ticket, Refusal(reason, 1, now, Scope.MODEL))
    return _refused_for_file(declined, shard, reason, now, limits) or on.CreateRefused(shard.attempt.ticket, reason)


def _turned_away(declined: Declined, shard: Shard, limits: Limits, *, is_account: bool) -> on.CreateTurnedAway:
    least_seconds, asked_seconds = limits.circuit_seconds if is_account else MINUTE, declined.retry_after_seconds
    wait_seconds = max(least_seconds, min(asked_seconds, limits.retry_after_seconds_max))
    if is_account:
        return on.CreateTurnedAway(shard.attempt.ticket, wait_seconds)
    cause = declined.message or declined.code
    return on.CreateTurnedAway(
        shard.attempt.ticket, wait_seconds, cause, asked_seconds if asked_seconds > wait_seconds else 0
    )


def _refused_for_file(
    declined: Declined, shard: Shard, reason: Reason, now: int, limits: Limits
) -> on.ShardEvent | None:
    """Return what a refusal means that is about the input file, or about the call itself; None where it is about the requests."""
    if declined.status in _OF_REQUESTS:
        return None
    if declined.status != _BAD_REQUEST:
        # As 404 or 405 of a wrong address: the requests were not looked at, so that they do not fail for it at once.
        return on.SendRefused(shard.attempt.ticket, reason)
    # By when it was asked: the answer may have been slow.
    is_fresh = (shard.attempt.file.intent_at or now) - shard.attempt.file.uploaded_at < limits.file_visible_seconds_max
    if is_input_missing(declined.code, declined.message, None):
        # A file may be invisible for a moment after its upload; later it is gone. One that follows such a file gets no time.
        is_waited_for = is_fresh and not _was_missing(shard)
        return (
            on.CreateTurnedAway(shard.attempt.ticket, MINUTE)
            if is_waited_for
            else on.SendRefused(shard.attempt.ticket, reason)
        )
    is_doubtful = is_fresh and not shard.attempt.file.is_doubted and names_input(shard, declined)
    return on.InputDoubted(shard.attempt.ticket) if is_doubtful else None


def _was_missing(shard: Shard) -> bool:
    """Whether the file that *shard* was given before was not found, either, for as long as a file may take to appear."""
    known = shard.attempt.refusal
    return known is not None and is_input_missing(known.reason.code, known.reason.message, None)


def read_upload_refusal(refused: ProviderRefused, shard: Shard) -> on.SendRefused:
    """Return what a definite refusal of the upload means."""
    reason = Reason(refused.code or f"http_{refused.status}", refused.message)
    return on.SendRefused(shard.attempt.ticket, reason, is_too_large=is_too_large(refused))


def is_too_large(refused: ProviderRefused) -> bool:
    """Whether a refusal of the upload says that fewer lines may do."""
    said = f"{refused.code} {refused.message}".lower().replace("_", " ")
    is_of_storage = any(word in said for word in _STORAGE_WORDS)  # all files together: a smaller one is one more
    return refused.status == _TOO_LARGE or (not is_of_storage and any(words in said for words in _TOO_LARGE_WORDS))
