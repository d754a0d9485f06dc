import json
from collections.abc import Callable
from typing import Any, Final, Literal

import httpx2
import openai
import pytest
from openai.types import Batch as SdkBatch

from openai_batch_simulator import FAULTS, OPERATIONS, Behaviour, Simulator, UnknownSwitchError, VirtualClock
from openai_batch_simulator.http.server import SimulatorServer
from openai_batch_simulator.profiles import PROFILES
from openai_batch_simulator.sdk import chat_file, connect, request_file

CHAT: Final = "/v1/chat/completions"
LINES = 10


@pytest.fixture
def simulator() -> Simulator:
    """An account whose batches are done a few seconds after they were created."""
    return Simulator(VirtualClock())


@pytest.fixture
def client(simulator: Simulator) -> openai.OpenAI:
    """The SDK, connected to that account, with its retries off."""
    return connect(simulator)


def upload(client: openai.OpenAI) -> str:
    """Upload an input file of `LINES` lines and return its id."""
    return client.files.create(file=("requests.jsonl", chat_file(LINES)), purpose="batch").id


def create(client: openai.OpenAI, file_id: str) -> SdkBatch:
    """Create the batch of an input file."""
    return client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")


def run_to_end(simulator: Simulator, client: openai.OpenAI) -> SdkBatch:
    """Upload, create, and return the batch a minute later."""
    batch = create(client, upload(client))
    simulator.clock.advance(60)
    return client.batches.retrieve(batch.id)


def output_of(client: openai.OpenAI, batch: SdkBatch) -> list[dict[str, Any]]:
    """Return the lines of a batch's output file, blank ones left out."""
    text = client.files.content(str(batch.output_file_id)).text
    return [json.loads(line) for line in text.splitlines() if line]


def errors_of(client: openai.OpenAI, batch: SdkBatch) -> list[dict[str, Any]]:
    """Return the lines of a batch's error file."""
    return [json.loads(line) for line in client.files.content(str(batch.error_file_id)).text.splitlines()]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("dropped_after", openai.APIConnectionError),
        ("delayed", openai.APITimeoutError),
        ("failed_after", openai.InternalServerError),
    ],
)
def test_create_is_done_although_the_client_is_not_told(
    simulator: Simulator, client: openai.OpenAI, fault: str, error: type[openai.APIError]
) -> None:
    """A create whose answer is lost, late or an error has created its batch, which runs and is charged."""
    file_id = upload(client)
    simulator.faults.switch(fault, times=1)

    with pytest.raises(error):
        create(client, file_id)
    simulator.clock.advance(60)

    assert [batch.status for batch in client.batches.list()] == ["completed"]
    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES


@pytest.mark.parametrize("fault", ["dropped_after", "delayed", "failed_after"])
def test_retries_of_the_sdk_pay_twice(simulator: Simulator, fault: str) -> None:
    """The SDK's own retry after such a create makes a second batch, and the ledger shows each line charged twice."""
    client = connect(simulator, max_retries=1)
    file_id = upload(client)
    simulator.faults.switch(fault, times=1)

    create(client, file_id)
    simulator.clock.advance(60)

    assert len(client.batches.list().data) == 2
    assert len(simulator.ledger.charged_more_than_once()) == LINES


def test_garbled_create_is_done(simulator: Simulator, client: openai.OpenAI) -> None:
    """A create that is answered with something else than JSON has created its batch."""
    file_id = upload(client)
    simulator.faults.switch("garbled", times=1)

    answer = client.batches.with_raw_response.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h"
    ).http_response

    assert not answer.text.startswith("{")
    assert len(client.batches.list().data) == 1


def test_redirected_create_is_done_twice(simulator: Simulator, client: openai.OpenAI) -> None:
    """A client that follows a 307 posts again, even with its retries off."""
    file_id = upload(client)
    simulator.faults.switch("redirected", times=1)

    create(client, file_id)

    assert len(client.batches.list().data) == 2


def test_dripping_answer_outlasts_the_time_out(simulator: Simulator) -> None:
    """An answer that drips never lets the read time-out pass, however long it takes."""
    client = connect(simulator, timeout_seconds=5)
    file_id = upload(client)
    simulator.faults.switch("dripped", value=900, times=1)
    started = simulator.clock.now()

    batch = create(client, file_id)

    assert batch.id
    assert simulator.clock.now() - started == 900


def test_delay_within_the_time_out_is_waited_for(simulator: Simulator, client: openai.OpenAI) -> None:
    """An answer that comes before the time-out is an answer."""
    simulator.faults.switch("delayed", operation="batches.list", value=30)

    assert client.batches.list().data == []


@pytest.mark.parametrize("is_deleted", [False, True])
def test_late_create_is_done_unless_its_file_was_deleted(
    simulator: Simulator, client: openai.OpenAI, *, is_deleted: bool
) -> None:
    """A create that the provider takes up minutes later runs, unless its input file is gone by then."""
    file_id = upload(client)
    simulator.faults.switch("accepted_late", value=300, times=1)

    with pytest.raises(openai.APIConnectionError):
        create(client, file_id)
    simulator.clock.advance(299)
    before = client.batches.list().data
    if is_deleted:
        client.files.delete(file_id)
    simulator.clock.advance(60)

    assert before == []
    assert [batch.status for batch in client.batches.list()] == ([] if is_deleted else ["completed"])


def test_dropped_call_is_not_done(simulator: Simulator, client: openai.OpenAI) -> None:
    """A call whose connection closes before it is done changes nothing."""
    file_id = upload(client)
    simulator.faults.switch("dropped_before", operation="batches.create", times=1)

    with pytest.raises(openai.APIConnectionError):
        create(client, file_id)

    assert client.batches.list().data == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_call_can_be_refused_with_any_status(
    simulator: Simulator, client: openai.OpenAI, operation: str, status: int, error: type[openai.APIStatusError]
) -> None:
    """Each status on each call is the error class that the SDK has for it, and nothing was done."""
    simulator.faults.switch("refused", operation=operation, value=status)
    calls: dict[str, Callable[[], object]] = {
        "files.create": lambda: upload(client),
        "files.list": client.files.list,
        "files.retrieve": lambda: client.files.retrieve("x"),
        "files.delete": lambda: client.files.delete("x"),
        "files.content": lambda: client.files.content("x"),
        "batches.create": lambda: create(client, "x"),
        "batches.list": client.batches.list,
        "batches.retrieve": lambda: client.batches.retrieve("x"),
        "batches.cancel": lambda: client.batches.cancel("x"),
    }

    with pytest.raises(error, match=f"configured to answer {status}"):
        calls[operation]()

    assert simulator.account.files.by_id == {}


FORMS: Final = {
    "error": b'{"error":{"message":"No such thing.","type":"invalid_request_error","param":null,"code":"odd"}}',
    "detail": b'{"detail":"No such thing."}',
    "details": b'{"detail":[{"loc":["body"],"msg":"No such thing.","type":"value_error"}]}',
    "html": b"<html><head><title>410</title></head><body><h1>No such thing.</h1></body></html>",
    "empty": b"",
}


@pytest.mark.parametrize("operation", ["files.create", "files.content", "batches.list"])
@pytest.mark.parametrize("form", FORMS)
def test_refusal_has_the_words_and_the_form_that_were_asked(
    simulator: Simulator, client: openai.OpenAI, form: str, operation: str
) -> None:
    """Status, code, message and the body's form are as asked, for good, and nothing is done."""
    options: Any = {"code": "odd", "message": "No such thing.", "form": form}
    simulator.faults.switch("refused", operation=operation, value=410, **options)
    calls: dict[str, Callable[[], object]] = {
        "files.create": lambda: upload(client),
        "files.content": lambda: client.files.content("x"),
        "batches.list": client.batches.list,
    }

    for _ in range(5):
        with pytest.raises(openai.APIStatusError) as refusal:
            calls[operation]()
        assert (refusal.value.status_code, refusal.value.response.content) == (410, FORMS[form])

    assert refusal.value.code == ("odd" if form == "error" else None)
    assert simulator.account.files.by_id == {}


def test_done_and_refused_in_its_own_words(simulator: Simulator, client: openai.OpenAI) -> None:
    """A create that was done can be answered with any words, too."""
    file_id = upload(client)
    simulator.faults.switch("failed_after", value=504, form="html", message="Gateway time-out", times=1)

    with pytest.raises(openai.InternalServerError) as refusal:
        create(client, file_id)

    assert b"<h1>Gateway time-out</h1>" in refusal.value.response.content
    assert len(client.batches.list().data) == 1


def test_refusal_can_be_about_one_model(simulator: Simulator, client: openai.OpenAI) -> None:
    """Creates, retrieves and cancels of that model are refused; those of another are not, nor what names no model."""
    ours, other = (
        client.files.create(file=("a.jsonl", chat_file(2, model)), purpose="batch").id for model in ("good", "denied")
    )
    running, denied = create(client, ours), create(client, other)
    simulator.faults.switch("refused", value=403, code="model_not_found", model="denied")

    for call in (
        lambda: create(client, other),
        lambda: client.batches.retrieve(denied.id),
        lambda: client.batches.cancel(denied.id),
        lambda: client.files.delete(other),
    ):
        with pytest.raises(openai.PermissionDeniedError) as refusal:
            call()
        assert refusal.value.code == "model_not_found"

    assert client.batches.retrieve(running.id).id == running.id
    assert create(client, ours).input_file_id == ours
    assert len(client.batches.list().data) == 3


def test_hung_call_is_never_answered(simulator: Simulator) -> None:
    """A client waits for its whole time-out, and nothing was done."""
    client = connect(simulator, timeout_seconds=45)
    file_id = upload(client)
    simulator.faults.switch("hung", operation="batches.create")
    started = simulator.clock.now()

    with pytest.raises(openai.APITimeoutError):
        create(client, file_id)

    assert simulator.clock.now() - started == 45
    assert client.batches.list().data == []


def test_hung_call_is_never_answered_on_a_socket(simulator: Simulator) -> None:
    """The connection stays open until the client closes it, and other calls are answered meanwhile."""
    simulator.faults.switch("hung", operation="batches.list")
    with SimulatorServer(simulator) as server:
        client = openai.OpenAI(api_key="key", base_url=server.url, max_retries=0, timeout=0.3)

        with pytest.raises(openai.APITimeoutError):
            client.batches.list()
        assert client.files.list().data == []


@pytest.mark.parametrize(("status", "form"), [(None, None), (413, "html"), (400, "error")])
def test_large_upload_is_refused(
    simulator: Simulator, client: openai.OpenAI, status: int | None, form: str | None
) -> None:
    """An upload beyond a gateway's limit is refused each time; a smaller one is taken."""
    size_bytes = len(chat_file(LINES))
    simulator.faults.switch(
        "file_too_large", value=size_bytes - 1, status=status, form=form, message="File is too large"
    )

    for _ in range(2):
        with pytest.raises(openai.APIStatusError) as refusal:
            upload(client)
        assert refusal.value.status_code == (status or 413)
        assert b"File is too large" in refusal.value.response.content

    assert client.files.create(file=("requests.jsonl", chat_file(LINES - 1)), purpose="batch").id


def test_new_file_is_pending_for_a_while(simulator: Simulator, client: openai.OpenAI) -> None:
    """A file that is not processed is there, says so, cannot be used for a batch, and then can."""
    simulator.faults.switch("file_unprocessed", value=30, message="The file is not processed.", times=1)
    file_id = upload(client)

    before = client.files.retrieve(file_id).status
    with pytest.raises(openai.BadRequestError, match="not processed"):
        create(client, file_id)
    simulator.clock.advance(30)

    assert (before, client.files.retrieve(file_id).status) == ("pending", "processed")
    assert create(client, file_id).status == "validating"


def test_batch_can_be_gone_and_run_on(simulator: Simulator, client: openai.OpenAI) -> None:
    """A batch that is gone is answered 404 and is in no list, and its lines are charged all the same."""
    simulator.faults.switch("batch_gone", value=1, times=1)
    batch = create(client, upload(client))
    there = client.batches.retrieve(batch.id).id
    simulator.clock.advance(60)

    for call in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call(batch.id)

    assert there == batch.id
    assert client.batches.list().data == []
    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (None, [("server_error", "It broke.")]),
        ("list", [("server_error", "It broke.")]),
        ("empty", []),
        ("null", None),
        ("codeless", [(None, None)]),
    ],
)
def test_batch_can_fail_with_errors_of_every_form(
    simulator: Simulator, client: openai.OpenAI, form: str | None, told: list[tuple[str | None, str | None]] | None
) -> None:
    """A failed batch names its errors as asked, or does not; nothing of it ran, and the next one is good."""
    simulator.faults.switch("fails", message="It broke.", form=form, times=1)

    batch = run_to_end(simulator, client)

    found = batch.errors and [(error.code, error.message) for error in batch.errors.data or []]
    assert (batch.status, found) == ("failed", told)
    assert list(simulator.ledger.charges()) == []
    again = create(client, batch.input_file_id)
    simulator.clock.advance(60)
    assert client.batches.retrieve(again.id).status == "completed"


def test_queue_can_be_full_in_any_words(simulator: Simulator, client: openai.OpenAI) -> None:
    """A refusal for want of quota may name its limit in another way than OpenAI does."""
    words = "Exceeded the enqueued token limit of 30K"
    simulator.faults.switch("queue_full", message=words, times=1)
    simulator.faults.switch("queue_full_at_create", message=words, skip=1)

    batch = run_to_end(simulator, client)
    with pytest.raises(openai.BadRequestError, match=words):
        create(client, batch.input_file_id)

    assert batch.errors is not None
    assert [error.message for error in batch.errors.data or []] == [words]


def test_money_can_be_wanting_by_any_code(simulator: Simulator, client: openai.OpenAI) -> None:
    """A create is refused for want of money with the code that was asked for."""
    file_id = upload(client)
    simulator.faults.switch("quota_exhausted", code="billing_hard_limit_reached", message="Billing hard limit reached")

    with pytest.raises(openai.RateLimitError, match="hard limit") as refusal:
        create(client, file_id)

    assert refusal.value.code == "billing_hard_limit_reached"


@pytest.mark.parametrize(("share", "lines"), [(0.5, LINES // 2), (0.0, 0)])
def test_batch_can_run_past_its_window(simulator: Simulator, client: openai.OpenAI, share: float, lines: int) -> None:
    """A batch that never ends stays in progress; when its window is over it names the files of what ran."""
    simulator.faults.switch("never_ends", value=share)
    batch = run_to_end(simulator, client)
    simulator.clock.advance(3 * 24 * 3600)

    stuck = client.batches.retrieve(batch.id)

    assert (batch.status, batch.output_file_id, stuck.status) == ("in_progress", None, "in_progress")
    assert (stuck.output_file_id is not None) == (lines > 0)
    assert len(output_of(client, stuck) if lines else []) == lines
    client.batches.cancel(batch.id)
    simulator.clock.advance(60)
    assert client.batches.retrieve(batch.id).status == "cancelled"


def test_cancel_can_be_ignored(simulator: Simulator, client: openai.OpenAI) -> None:
    """A cancel that is answered well changes nothing: the batch goes on to its end."""
    simulator.faults.switch("cancel_ignored")
    batch = create(client, upload(client))

    said = client.batches.cancel(batch.id).status
    after = client.batches.retrieve(batch.id).status
    simulator.clock.advance(60)

    assert (said, after, client.batches.retrieve(batch.id).status) == ("cancelling", "validating", "completed")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (
            None,
            {
                "error": {
                    "message": "Nothing left.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "insufficient_quota",
                }
            },
        ),
        ("detail", {"detail": "Nothing left."}),
        ("details", {"detail": [{"loc": ["body"], "msg": "Nothing left.", "type": "value_error"}]}),
    ],
)
def test_line_is_refused_in_the_words_that_were_asked(
    simulator: Simulator, client: openai.OpenAI, form: str | None, body: dict[str, object]
) -> None:
    """A line bears the status, the code and the words of the switch, and is not charged."""
    options: Any = {"status": 429, "code": "insufficient_quota", "message": "Nothing left.", "form": form}
    simulator.faults.switch("line_refused", value=1, **options)

    batch = run_to_end(simulator, client)

    (line,) = errors_of(client, batch)
    assert (line["response"]["status_code"], line["response"]["body"]) == (429, body)
    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES - 1


@pytest.mark.parametrize("seconds", [1, 119, 121])
def test_rate_limit_says_when_to_come_again(simulator: Simulator, client: openai.OpenAI, seconds: int) -> None:
    """A 429 bears the retry-after that was asked for."""
    simulator.faults.switch("rate_limited", value=seconds)

    with pytest.raises(openai.RateLimitError) as refusal:
        client.batches.list()

    assert refusal.value.response.headers["retry-after"] == str(seconds)


def test_forbidden_retry_is_not_tried(simulator: Simulator) -> None:
    """The SDK does not retry where the answer forbids it."""
    simulator.faults.switch("retry_forbidden")

    with pytest.raises(openai.RateLimitError):
        connect(simulator, max_retries=2).batches.list()

    assert simulator.ledger.calls["batches.list"] == 1


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("quota_exhausted", openai.RateLimitError, "insufficient_quota"),
        ("queue_full_at_create", openai.BadRequestError, "token_limit_exceeded"),
    ],
)
def test_create_can_be_refused_by_code(
    simulator: Simulator, client: openai.OpenAI, fault: str, error: type[openai.APIStatusError], code: str
) -> None:
    """Refusals that a client tells apart by their code bear it, and nothing is created."""
    file_id = upload(client)
    simulator.faults.switch(fault)

    with pytest.raises(error) as refusal:
        create(client, file_id)

    assert refusal.value.code == code
    assert client.batches.list().data == []


def test_new_file_is_unseen_for_a_while(simulator: Simulator, client: openai.OpenAI) -> None:
    """A file that was just uploaded is unknown to every call, creates among them, and then is there."""
    simulator.faults.switch("file_unseen", value=30)
    file_id = upload(client)

    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id)
    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        create(client, file_id)

    simulator.clock.advance(30)
    assert create(client, file_id).status == "validating"


def test_new_batch_is_unseen_for_a_while(simulator: Simulator, client: openai.OpenAI) -> None:
    """A batch that was just created is answered 404, although it is listed."""
    simulator.faults.switch("batch_unseen", value=30)
    batch = create(client, upload(client))

    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve(batch.id)

    assert [listed.id for listed in client.batches.list()] == [batch.id]
    simulator.clock.advance(30)
    assert client.batches.retrieve(batch.id).id == batch.id


def test_list_lags_behind_creates(simulator: Simulator, client: openai.OpenAI) -> None:
    """A list misses the batches of the last seconds, which a retrieve finds."""
    simulator.faults.switch("list_lags", value=60)
    batch = create(client, upload(client))

    before = client.batches.list().data
    simulator.clock.advance(60)

    assert before == []
    assert [listed.id for listed in client.batches.list()] == [batch.id]


def test_reordered_list_still_visits_every_batch_once(simulator: Simulator, client: openai.OpenAI) -> None:
    """A list without order in time is consistent from page to page."""
    file_id = upload(client)
    created = [create(client, file_id).id for _ in range(12)]
    simulator.faults.switch("list_reordered")

    listed = [batch.id for batch in client.batches.list(limit=5)]

    assert sorted(listed) == sorted(created)
    assert listed not in (created, created[::-1])


@pytest.mark.parametrize(("fault", "delay_seconds"), [("deletion_ignored", 10_000), ("deletion_delayed", 100)])
def test_deleted_file_can_still_be_used(
    simulator: Simulator, client: openai.OpenAI, fault: str, delay_seconds: int
) -> None:
    """Where a deletion is ignored or takes its time, a create after it succeeds and is charged; reads are refused at once."""
    simulator.faults.switch(fault)
    file_id = upload(client)
    client.files.delete(file_id)
    simulator.clock.advance(delay_seconds)

    create(client, file_id)
    simulator.clock.advance(60)

    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id)


def test_delayed_deletion_takes_effect(simulator: Simulator, client: openai.OpenAI) -> None:
    """After its delay a deletion is as good as any."""
    simulator.faults.switch("deletion_delayed", value=100)
    file_id = upload(client)
    client.files.delete(file_id)
    simulator.clock.advance(100)

    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        create(client, file_id)


def test_output_files_can_expire_before_the_harvest(simulator: Simulator, client: openai.OpenAI) -> None:
    """An ended batch names a file that is already gone."""
    simulator.faults.switch("files_expire_early", value=10)

    batch = run_to_end(simulator, client)

    with pytest.raises(openai.NotFoundError):
        client.files.content(str(batch.output_file_id))


def test_output_ids_come_late(simulator: Simulator, client: openai.OpenAI) -> None:
    """A completed batch with counts names no file for a while."""
    simulator.faults.switch("output_ids_late", value=600)

    early = run_to_end(simulator, client)
    simulator.clock.advance(600)

    assert (early.status, early.output_file_id) == ("completed", None)
    assert early.request_counts is not None
    assert early.request_counts.completed == LINES
    assert client.batches.retrieve(early.id).output_file_id is not None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("queue_full", "token_limit_exceeded"),
        ("foreign_tokens", "token_limit_exceeded"),
        ("internal_error", "internal_error"),
        ("unknown_error", "simulated_unknown_code"),
    ],
)
def test_batch_fails_unbilled_for_reasons_that_are_not_its_own(fault: str, code: str) -> None:
    """A good file can fail in validation, is not charged, and succeeds when it is sent again later."""
    simulator = Simulator(VirtualClock(), behaviour=Behaviour(enqueued_tokens_default=10_000))
    client = connect(simulator)
    simulator.faults.switch(fault, times=1)

    batch = run_to_end(simulator, client)

    assert batch.status == "failed"
    assert batch.errors is not None
    assert [error.code for error in batch.errors.data or []] == [code]
    assert list(simulator.ledger.charges()) == []
    again = create(client, batch.input_file_id)
    simulator.clock.advance(60)
    assert client.batches.retrieve(again.id).status == "completed"


def test_batch_expires_with_a_share_of_its_lines(simulator: Simulator, client: openai.OpenAI) -> None:
    """An expiring batch delivers the share that ran, and only that is charged."""
    simulator.faults.switch("expires", value=0.3)

    batch = run_to_end(simulator, client)
    simulator.clock.advance(24 * 3600)

    ended = client.batches.retrieve(batch.id)
    assert (batch.status, ended.status, ended.expired_at) == ("in_progress", "expired", ended.expires_at)
    assert len(output_of(client, ended)) == 3
    assert len(errors_of(client, ended)) == 7
    assert sum(charge.charged for charge in simulator.ledger.charges()) == 3


def test_expiry_can_be_noticed_late(simulator: Simulator, client: openai.OpenAI) -> None:
    """A batch stays in progress past its expires_at, and expires an hour later."""
    simulator.faults.switch("expires")
    simulator.faults.switch("expiry_late", value=3600)
    batch = run_to_end(simulator, client)

    simulator.clock.advance(24 * 3600)
    late = client.batches.retrieve(batch.id)
    simulator.clock.advance(3600)

    ended = client.batches.retrieve(batch.id)
    assert late.status == "in_progress"
    assert (ended.status, ended.expired_at) == ("expired", ended.created_at + 25 * 3600)


def test_batch_stuck_in_finalizing_can_be_cancelled(simulator: Simulator, client: openai.OpenAI) -> None:
    """A batch that hangs past its window ends by cancellation, with everything that ran."""
    simulator.faults.switch("stuck_in_finalizing")
    batch = run_to_end(simulator, client)
    simulator.clock.advance(2 * 24 * 3600)
    stuck = client.batches.retrieve(batch.id)

    client.batches.cancel(batch.id)
    simulator.clock.advance(60)

    ended = client.batches.retrieve(batch.id)
    assert (stuck.status, ended.status) == ("finalizing", "cancelled")
    assert len(output_of(client, ended)) == LINES


def test_cancellation_can_take_ten_minutes(simulator: Simulator, client: openai.OpenAI) -> None:
    """A batch stays in cancelling as long as the fault says."""
    simulator.faults.switch("cancel_slow", value=600)
    batch = create(client, upload(client))
    client.batches.cancel(batch.id)

    simulator.clock.advance(599)
    before = client.batches.retrieve(batch.id).status
    simulator.clock.advance(2)

    assert (before, client.batches.retrieve(batch.id).status) == ("cancelling", "cancelled")


def test_batch_object_can_say_what_is_in_no_documentation(simulator: Simulator, client: openai.OpenAI) -> None:
    """Unknown statuses, unknown fields and null counts reach the client, once each, and change nothing."""
    batch = run_to_end(simulator, client)
    for fault in ("unknown_status", "unknown_fields", "counts_null"):
        simulator.faults.switch(fault, times=1)

    strange = client.batches.retrieve(batch.id)

    assert strange.status == "simulated_unknown_status"  # type: ignore[comparison-overlap]  # the point of the test
    assert (strange.model_extra or {}).keys() == {"simulated_field", "simulated_at"}
    assert strange.request_counts is None
    assert client.batches.retrieve(batch.id) == batch


def test_download_can_be_cut_in_spite_of_its_length(simulator: Simulator, client: openai.OpenAI) -> None:
    """A cut download promised more than it brought, and fails in the way of a closed connection."""
    batch = run_to_end(simulator, client)
    simulator.faults.switch("content_cut", value=100)
    received = b""

    with client.files.with_streaming_response.content(str(batch.output_file_id)) as response:
        promised = int(response.headers["content-length"])
        with pytest.raises(httpx2.RemoteProtocolError, match="peer closed connection"):  # noqa: PT012 - bytes come before it
            for piece in response.iter_bytes():
                received += piece

    assert (len(received), promised > 100) == (100, True)


def test_download_can_be_unavailable_several_times(simulator: Simulator, client: openai.OpenAI) -> None:
    """A 502 comes as often as it was switched on, then the file is there."""
    batch = run_to_end(simulator, client)
    simulator.faults.switch("content_unavailable", times=2)

    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.files.content(str(batch.output_file_id))

    assert len(output_of(client, batch)) == LINES


@pytest.mark.parametrize(
    ("fault", "value", "lines", "different_ids"),
    [
        ("lines_missing", 2, LINES - 2, LINES - 2),
        ("lines_doubled", 0.3, LINES + 3, LINES),
        ("lines_foreign", 1, LINES + 1, LINES + 1),
        ("lines_blank", 4, LINES, LINES),
        ("final_newline_missing", None, LINES, LINES),
    ],
)
def test_output_file_can_have_the_wrong_lines(
    simulator: Simulator, client: openai.OpenAI, *, fault: str, value: float | None, lines: int, different_ids: int
) -> None:
    """Lines are missing, doubled, foreign or blank while counts and charges are those of a good batch."""
    simulator.faults.switch(fault, value=value)

    batch = run_to_end(simulator, client)

    found = output_of(client, batch)
    text = client.files.content(str(batch.output_file_id)).text
    assert (len(found), len({line["custom_id"] for line in found})) == (lines, different_ids)
    assert text.count("\n\n") + text.startswith("\n") == (4 if fault == "lines_blank" else 0)
    assert text.endswith("\n") is (fault != "final_newline_missing")
    assert batch.request_counts is not None
    assert batch.request_counts.completed == LINES
    charges = list(simulator.ledger.charges())
    assert sum(charge.charged for charge in charges) == LINES
    assert sum(charge.delivered for charge in charges) == (LINES - 2 if fault == "lines_missing" else LINES)


def test_lines_of_status_zero_stand_in_the_output(simulator: Simulator, client: openai.OpenAI) -> None:
    """A line with status 0 counts as completed, although it was not charged."""
    simulator.faults.switch("lines_status_zero", value=1)

    batch = run_to_end(simulator, client)

    statuses = [line["response"]["status_code"] for line in output_of(client, batch)]
    assert sorted(statuses) == [0] + [200] * (LINES - 1)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == LINES
    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES - 1


def test_body_of_a_line_can_be_a_string(simulator: Simulator, client: openai.OpenAI) -> None:
    """A body that is a string holds the JSON that should have been there."""
    simulator.faults.switch("lines_body_string", value=1)

    batch = run_to_end(simulator, client)

    bodies = [line["response"]["body"] for line in output_of(client, batch)]
    strings = [body for body in bodies if isinstance(body, str)]
    assert [json.loads(body)["object"] for body in strings] == ["chat.completion"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("line_refused", 400, None),
        ("line_rate_limited", 429, None),
        ("line_server_error", 500, None),
        ("line_timeout", None, "request_timeout"),
    ],
)
def test_lines_can_fail_in_every_shape(
    simulator: Simulator, client: openai.OpenAI, fault: str, status: int | None, code: str | None
) -> None:
    """A failed line has either a response with its status or an error with its code, and is not charged."""
    simulator.faults.switch(fault, value=0.2)

    batch = run_to_end(simulator, client)

    for line in errors_of(client, batch):
        assert (line["response"] and line["response"]["status_code"]) == status
        assert (line["error"] and line["error"]["code"]) == code
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (LINES - 2, 2)
    assert sum(charge.charged for charge in simulator.ledger.charges()) == LINES - 2


@pytest.mark.parametrize(
    ("fault", "endpoint", "mark"),
    [
        ("answers_cut", CHAT, '"finish_reason": "length"'),
        ("answers_cut", "/v1/responses", '"status": "incomplete"'),
        ("answers_refused", CHAT, '"refusal": "[simulated] I cannot help with that."'),
        ("answers_refused", "/v1/responses", '"refusal": "[simulated] I cannot help with that."'),
    ],
)
def test_answers_can_be_cut_or_refused(
    simulator: Simulator,
    client: openai.OpenAI,
    *,
    fault: str,
    endpoint: Literal["/v1/chat/completions", "/v1/responses"],
    mark: str,
) -> None:
    """A cut or refused answer is a charged 200 whose body says what became of it."""
    content = request_file(endpoint, [{"model": "m", "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]}])
    file = client.files.create(file=("a.jsonl", content), purpose="batch")
    simulator.faults.switch(fault)

    batch = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    simulator.clock.advance(60)

    line = output_of(client, client.batches.retrieve(batch.id))[0]
    assert mark in json.dumps(line["response"]["body"])
    assert [charge.charged for charge in simulator.ledger.charges()] == [True]


def test_switch_strikes_as_often_as_it_was_told(simulator: Simulator, client: openai.OpenAI) -> None:
    """A switch skips, strikes and rests as asked, and counts its strikes."""
    switch = simulator.faults.switch("refused", operation="batches.list", skip=1, times=2)
    answers = []

    for _ in range(5):
        try:
            client.batches.list()
            answers.append(True)
        except openai.InternalServerError:
            answers.append(False)

    assert answers == [True, False, False, True, True]
    assert switch.struck == 2


def test_drawn_faults_repeat_with_their_seed() -> None:
    """A rate strikes the same calls for the same seed, and others for another."""

    def struck(seed: int) -> list[bool]:
        simulator = Simulator(VirtualClock(), seed=seed)
        simulator.faults.switch("refused", rate=0.5)
        return [is_refused(simulator) for _ in range(30)]

    runs = [struck(1), struck(1), struck(2)]

    assert runs[0] == runs[1] != runs[2]
    assert 5 < sum(runs[0]) < 25


def is_refused(simulator: Simulator) -> bool:
    """Return whether a list of batches is answered with an error."""
    try:
        connect(simulator).batches.list()
    except openai.InternalServerError:
        return True
    return False


@pytest.mark.parametrize(
    ("fault", "options", "problem"),
    [
        ("gremlins", {}, "there is no fault 'gremlins'"),
        ("dropped_after", {"value": 1.0}, "takes no value"),
        ("queue_full", {"operation": "batches.create"}, "takes no operation"),
        ("refused", {"operation": "batches.delete"}, "there is no operation"),
        ("accepted_late", {"operation": "files.create"}, "takes no uploads"),
        ("refused", {"rate": 2.0}, "between 0 and 1"),
        ("refused", {"value": 200}, "between 400 and 599"),
        ("delayed", {"value": -1.0}, "not below 0"),
        ("delayed", {"times": -1}, "not below 0"),
        ("delayed", {"code": "odd"}, "delayed takes no code"),
        ("refused", {"status": 404}, "refused takes no status"),
        ("refused", {"form": "yaml"}, "refused has no form 'yaml'"),
        ("fails", {"form": "html"}, "fails has no form 'html'"),
        ("file_too_large", {"status": 200}, "between 400 and 599"),
        ("refused", {"operation": "batches.list", "model": "gpt-4.1"}, "about no model"),
    ],
)
def test_switch_that_does_not_exist_is_refused(
    simulator: Simulator, fault: str, options: dict[str, Any], problem: str
) -> None:
    """A switch that could not strike is an error, and is not on."""
    with pytest.raises(UnknownSwitchError, match=problem):
        simulator.faults.switch(fault, **options)

    assert simulator.faults.switches == []


@pytest.mark.parametrize("profile", list(PROFILES))
def test_profiles_let_work_get_done(profile: str) -> None:
    """In every profile a patient client gets an answer to every line."""
    simulator = Simulator(VirtualClock(), seed=3, behaviour=PROFILES[profile].behaviour)
    client = connect(simulator, max_retries=0)
    PROFILES[profile].switch_on(simulator.faults)
    answered: set[str] = set()

    for _ in range(200):
        simulator.clock.advance(60)
        try:
            answered |= {str(line["custom_id"]) for line in output_of(client, run_to_end(simulator, client))}
        except (openai.APIError, httpx2.HTTPError, AttributeError, TypeError):
            continue
        if len(answered & {str(number) for number in range(1, LINES + 1)}) == LINES:
            break

    assert {str(number) for number in range(1, LINES + 1)} <= answered


def test_hostile_profile_knows_faults_of_every_kind() -> None:
    """What a client must survive is in the profile that is named for it, but for what takes days."""
    named = {rate.fault for rate in PROFILES["hostile"].rates}

    left_out = FAULTS.keys() - named
    assert left_out == {
        "hung",
        "file_too_large",
        "file_unprocessed",
        "batch_gone",
        "fails",
        "never_ends",
        "cancel_ignored",
        "retry_forbidden",
        "quota_exhausted",
        "queue_full_at_create",
        "deletion_ignored",
        "files_expire_early",
        "foreign_tokens",
        "unknown_error",
        "expires",
        "expiry_late",
        "cancel_slow",
    }
