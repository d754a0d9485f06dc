"""What a look at the provider means."""

from typing import get_args

import pytest
from fakes.shards import changed, new_shard
from openai.types import Batch as SdkBatch

from batchdrop.core.model.batches import Batch, BatchError, Declined
from batchdrop.core.model.errors import ProviderRefused
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop.core.model.reasons import Reason, Refusal, Scope
from batchdrop.core.model.shard import ShardState
from batchdrop.core.submission import shard_events as on
from batchdrop.core.submission.batch_signals import (
    STATUS_FAILED,
    STATUSES_UNDER_WAY,
    STATUSES_WITH_ANSWERS,
    find_batch,
    observe,
    read_refusal,
    read_upload_refusal,
)
from batchdrop.core.submission.refusals import is_account_refused
from batchdrop.core.submission.shard_lifecycle import Now, advance

NOW = 1_000_000
REFUSED = on.SendRefused("t2", Reason("invalid_request", "Cannot find file file-1"))
LIMITS = Limits()
SHARD = new_shard(
    job="j", number=0, account="a", endpoint="/v1/embeddings", model="m", group=0, state=ShardState.CREATING,
    ticket="t2", tickets=("t1", "t2"), file_uploaded_at=NOW - 60,
)  # fmt: skip
TOKEN_MESSAGE = (
    "Enqueued token limit reached for gpt-4.1-mini in organization org-1. Limit: 2000000 enqueued tokens. "
    "Please try again once some in_progress batches have been completed."
)
INPUT_MESSAGE = "Enqueued embedding request limit reached in organization org-1. Limit: 1,000,000 enqueued requests."


def batch(status: str, *errors: BatchError, ticket: str = "t2") -> Batch:
    """A batch of ours."""
    return Batch("batch-1", status, NOW, errors=errors, metadata={"ticket": ticket})


def test_every_status_of_the_sdk_is_known() -> None:
    """The statuses are those of the SDK's own Literal, not of anybody's memory."""
    literal = set(get_args(SdkBatch.model_fields["status"].annotation))

    assert STATUSES_UNDER_WAY | STATUSES_WITH_ANSWERS | {STATUS_FAILED} == literal


@pytest.mark.parametrize("status", sorted(STATUSES_UNDER_WAY | {"paused", ""}))
def test_what_is_under_way_or_unknown_is_waited_on(status: str) -> None:
    """A status that nobody knows is not an end."""
    assert observe(SHARD, batch(status), is_idle=True) is None


@pytest.mark.parametrize("status", sorted(STATUSES_WITH_ANSWERS))
def test_every_end_that_may_hold_answers_is_harvested(status: str) -> None:
    """Expired and cancelled batches carry paid answers, as completed ones do."""
    assert observe(SHARD, batch(status), is_idle=True) == on.BatchEnded("t2", batch(status))


@pytest.mark.parametrize(
    "error",
    [
        BatchError("token_limit_exceeded", "", None),
        BatchError("TOKEN_LIMIT_EXCEEDED", "", None),
        BatchError("unknown", TOKEN_MESSAGE, None),
    ],
)
def test_a_full_queue_is_waiting_and_not_a_failure(error: BatchError) -> None:
    """By code in any case, or by its words where the code is another."""
    stated = 2_000_000 if error.message else 0

    assert observe(SHARD, batch("failed", error), is_idle=False) == on.NoQuota("t2", is_idle=False, stated=stated)


@pytest.mark.parametrize(
    "error",
    [
        BatchError("invalid_request", "Cannot find file file-1", None),
        BatchError("invalid_request", "", None, "input_file_id"),
        BatchError("file_not_found", "", None),
    ],
)
def test_a_batch_without_its_input_never_ran(error: BatchError) -> None:
    """It gets a new file and no attempt is used."""
    assert isinstance(observe(SHARD, batch("failed", error), is_idle=False), on.InputMissed)


@pytest.mark.parametrize(
    "error",
    [
        BatchError("token_limit_exceeded", "", None),
        BatchError("file_not_found", "", None),
        BatchError("invalid_json", "", 1),
    ],
)
def test_a_failed_batch_of_an_earlier_try_answers_nothing(error: BatchError) -> None:
    """A list that is behind can show it as alive. It never ran, and the present create is as uncertain as before."""
    adopted = changed(SHARD, state=ShardState.RUNNING, batch="batch-1", intent_at=NOW - 9)

    found = observe(adopted, batch("failed", error, ticket="t1"), is_idle=True)

    assert found == on.EarlierFailed("t2")
    back = advance(adopted, found, Now(NOW, "install", LIMITS))
    assert (back.state, back.attempt.ticket, back.attempt.file.intent_at, back.attempt.batch) == (
        ShardState.CREATING,
        "t2",
        NOW - 9,
        "",
    )


def test_a_batch_that_failed_for_want_of_money_never_ran() -> None:
    """Whatever else it says: it waits for the account, and no attempt is used."""
    failed = batch("failed", BatchError("x", "", 3), BatchError("INSUFFICIENT_QUOTA", "No money.", None))

    found = observe(SHARD, failed, is_idle=False)

    assert found == on.MoneyMissed("t2", Reason("INSUFFICIENT_QUOTA", "No money."))
    running = changed(SHARD, state=ShardState.RUNNING, batch="b", attempt=2, file="f", quota_tokens=5)
    waiting = advance(running, found, Now(NOW, "install", LIMITS))
    assert (waiting.state, waiting.attempt.number, waiting.attempt.batch, waiting.attempt.file.id, waiting.quota_tokens) == (
        ShardState.WAITING, 2, "", "", 0,
    )  # fmt: skip


def test_lines_that_were_refused_are_harvested() -> None:
    """A failed validation says which items fail."""
    failed = batch("failed", BatchError("invalid_json_line", "This line is not parseable.", 4))

    assert observe(SHARD, failed, is_idle=False) == on.BatchEnded("t2", failed)


def test_a_batch_of_an_earlier_try_is_adopted() -> None:
    """Whatever bears one of the attempt's tickets and did not fail is the attempt's batch, the oldest try's first."""
    first, second = batch("in_progress", ticket="t1"), batch("validating")

    assert find_batch(SHARD, {"t1": first, "t2": second}) == on.BatchFound(first, "t1")
    assert find_batch(SHARD, {"t2": second}) == on.BatchFound(second, "t2")
    assert find_batch(SHARD, {"t3": batch("in_progress", ticket="t3")}) is None


def test_a_failed_batch_answers_only_the_present_try() -> None:
    """An earlier try's failure was dealt with; the present one's is the answer, or asks for a new file."""
    missing = BatchError("file_not_found", "", None)

    assert find_batch(SHARD, {"t1": batch("failed", missing, ticket="t1")}) is None
    assert find_batch(SHARD, {"t2": batch("failed", missing)}) == on.InputMissed("t2")
    invalid = batch("failed", BatchError("empty_file", "", None))
    assert find_batch(SHARD, {"t2": invalid}) == on.BatchFound(invalid, "t2")


@pytest.mark.parametrize(
    ("declined", "expected"),
    [
        (Declined(400, "bad_url", "no such endpoint"), on.CreateRefused("t2", Reason("bad_url", "no such endpoint"))),
        (Declined(413, "", "too large"), on.CreateRefused("t2", Reason("http_413", "too large"))),
        (Declined(422, "bad", "no"), on.CreateRefused("t2", Reason("bad", "no"))),
        (Declined(404, "", "not found"), on.SendRefused("t2", Reason("http_404", "not found"))),
        (
            Declined(403, "model_not_found", "no"),
            on.ModelRefused("t2", Refusal(Reason("model_not_found", "no"), 1, NOW, Scope.MODEL)),
        ),
        (Declined(429, "rate_limit_exceeded", "slow down"), on.CreateTurnedAway("t2", MINUTE, "slow down")),
        (Declined(429, "rate_limit_exceeded", "slow down", 121), on.CreateTurnedAway("t2", 121, "slow down")),
        (Declined(429, "insufficient_quota", "no money"), on.CreateTurnedAway("t2", LIMITS.circuit_seconds)),
        (Declined(401, "invalid_api_key", "who"), on.CreateTurnedAway("t2", LIMITS.circuit_seconds)),
        (Declined(403, "", "no"), on.CreateTurnedAway("t2", LIMITS.circuit_seconds)),
        (Declined(429, "token_limit_exceeded", ""), on.NoQuota("t2", is_idle=True)),
        (Declined(400, "", TOKEN_MESSAGE), on.NoQuota("t2", is_idle=True, stated=2_000_000)),
        (Declined(429, "", INPUT_MESSAGE), on.NoQuota("t2", is_idle=True, stated=1_000_000, is_inputs=True)),
    ],
)  # fmt: skip
def test_each_definite_refusal_means_one_thing(declined: Declined, expected: on.ShardEvent) -> None:
    """None of them is uncertain: the provider said that there is no batch."""
    assert read_refusal(declined, SHARD, NOW, LIMITS, is_idle=True) == expected


def test_a_file_that_cannot_be_found_is_waited_for_a_while() -> None:
    """A fresh upload may be invisible for a moment; a quarter of an hour later it is gone."""
    declined = Declined(400, "invalid_request", "Cannot find file file-1")
    old = changed(SHARD, file_uploaded_at=NOW - LIMITS.file_visible_seconds_max)

    followed = changed(SHARD, refusal=Refusal(REFUSED.reason, 1, NOW))

    assert read_refusal(declined, SHARD, NOW, LIMITS, is_idle=False) == on.CreateTurnedAway("t2", MINUTE)
    assert read_refusal(declined, old, NOW, LIMITS, is_idle=False) == REFUSED
    assert read_refusal(declined, followed, NOW, LIMITS, is_idle=False) == REFUSED


def test_a_file_is_waited_for_although_an_upload_was_refused_before_it() -> None:
    """A refusal of another kind says nothing of how soon a file appears: items that a storm refused once would fail."""
    declined = Declined(400, "", "Cannot find file file-1")
    refused = changed(SHARD, refusal=Refusal(Reason("http_413", "File is too large"), 1, NOW))

    assert read_refusal(declined, refused, NOW, LIMITS, is_idle=False) == on.CreateTurnedAway("t2", MINUTE)


def test_a_file_is_as_old_as_when_it_was_asked_for() -> None:
    """An answer that took its time says that a fresh file was not seen, however old that is when it comes."""
    declined = Declined(400, "", "Cannot find file file-1")
    asked = changed(SHARD, file_uploaded_at=NOW - LIMITS.file_visible_seconds_max, intent_at=NOW - 200)

    assert read_refusal(declined, asked, NOW, LIMITS, is_idle=False) == on.CreateTurnedAway("t2", MINUTE)


@pytest.mark.parametrize(
    "declined",
    [
        Declined(400, "invalid_request", "The file is not in a processed state."),
        Declined(400, "", "Input file-9 is not ready."),
        Declined(400, "invalid_file", "No."),
        Declined(400, "x", "No.", param="input_file_id"),
        Declined(400, "x", "File is pending"),
    ],
)
def test_a_fresh_file_that_is_named_gets_one_more_look(declined: Declined) -> None:
    """By its id, as the parameter, or in words; once, and not when it has lain there for long."""
    shard = changed(SHARD, file="file-9")
    old = changed(shard, file_uploaded_at=NOW - LIMITS.file_visible_seconds_max)
    reason = Reason(declined.code or "http_400", declined.message)

    assert read_refusal(declined, shard, NOW, LIMITS, is_idle=False) == on.InputDoubted("t2")
    for later in (old, changed(shard, is_doubted=True)):
        assert read_refusal(declined, later, NOW, LIMITS, is_idle=False) == on.CreateRefused("t2", reason)


@pytest.mark.parametrize("message", ["no such endpoint", "Your profile is wrong.", "filed under x", ""])
def test_a_refusal_that_names_no_file_gets_no_second_look(message: str) -> None:
    """What is wrong with the request stays wrong."""
    assert isinstance(
        read_refusal(Declined(400, "x", message), changed(SHARD, file="file-9"), NOW, LIMITS, is_idle=False),
        on.CreateRefused,
    )


@pytest.mark.parametrize(
    ("status", "code", "message", "is_too_large"),
    [
        (413, "", "no", True), (400, "", "File is too large.", True), (400, "file_too_large", "no", True),
        (400, "", "The file exceeds the maximum allowed size of 100 MB.", True), (422, "", "Payload too big", True),
        (400, "", "`expires_after` is out of range", False), (400, "", "Your storage quota is exceeded: too large", False),
        (400, "storage_limit", "The organization's storage size limit is reached.", False),
    ],
)  # fmt: skip
def test_an_upload_is_refused_for_its_size_or_for_something_else(
    status: int,
    code: str,
    message: str,
    is_too_large: bool,  # noqa: FBT001 - a column
) -> None:
    """Only where fewer lines may do it is worth splitting."""
    event = read_upload_refusal(ProviderRefused(status, code, message), SHARD)

    assert event == on.SendRefused("t2", Reason(code or f"http_{status}", message), is_too_large=is_too_large)


def test_a_file_not_found_is_no_fault_of_the_account() -> None:
    """Only refusals of the key or of the account's money open the circuit."""
    assert all(is_account_refused(status, "") for status in (401, 403))
    assert is_account_refused(429, "INSUFFICIENT_QUOTA")
    assert not any(is_account_refused(status, "") for status in (400, 404, 413, 422, 429))
