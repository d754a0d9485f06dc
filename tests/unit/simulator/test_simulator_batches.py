import json
import typing
from typing import Any, Final, get_args

import openai
import pytest
from openai.types import Batch as SdkBatch
from openai.types.batch_create_params import BatchCreateParams

from openai_batch_simulator import Behaviour, Simulator, VirtualClock
from openai_batch_simulator.account.batches import TERMINAL, TRANSITIONS, Batch, Happening, Status
from openai_batch_simulator.answers.imitation import ENDPOINTS
from openai_batch_simulator.sdk import chat_file, connect, request_file

CHAT: Final = "/v1/chat/completions"
# A pace whose states last long enough to look at each of them.
SLOW = Behaviour(validate_seconds=10, run_seconds=100, finalize_seconds=10, cancel_seconds=60)
DAY_SECONDS = 24 * 3600


def account(behaviour: Behaviour = SLOW, seed: int = 0) -> tuple[Simulator, openai.OpenAI]:
    """Return a new account and the SDK connected to it."""
    simulator = Simulator(VirtualClock(), seed=seed, behaviour=behaviour)
    return simulator, connect(simulator)


def submit(client: openai.OpenAI, content: bytes, **changes: Any) -> SdkBatch:  # noqa: ANN401 - as the SDK's own parameters
    """Upload *content* and create its batch."""
    file = client.files.create(file=("requests.jsonl", content), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **changes}
    return client.batches.create(**asked)


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a file; of no file, none."""
    return [] if file_id is None else [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_statuses_are_those_of_the_sdk() -> None:
    """The table of states has every status of the API and no other."""
    known = get_args(SdkBatch.model_fields["status"].annotation)

    assert {status.value for status in Status} == set(known)


def test_endpoints_are_those_of_the_sdk() -> None:
    """Every endpoint that a batch may name is answered."""
    known = get_args(typing.get_type_hints(BatchCreateParams)["endpoint"])

    assert set(ENDPOINTS) == set(known)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("happening", list(Happening))
def test_illegal_moves_fail_and_change_nothing(status: Status, happening: Happening) -> None:
    """A pair that the table does not have leaves the batch as it was."""
    batch = Batch(
        id="batch_1",
        project="p",
        endpoint=CHAT,
        input_file_id="file-1",
        metadata=None,
        output_expires_seconds=3600,
        created_at=0,
        expires_at=1,
        status=status,
    )
    is_legal = (status, happening) in TRANSITIONS

    if is_legal:
        batch.move(happening, 5.0)
    else:
        with pytest.raises(KeyError):
            batch.move(happening, 5.0)

    assert batch.status is TRANSITIONS.get((status, happening), status)
    assert bool(batch.entered_at) is is_legal
    assert not (is_legal and status in TERMINAL)


def test_life_of_a_batch_passes_every_state_at_its_time() -> None:
    """A batch is validated, runs, is finalized and completes, and stamps each state with the second of its beginning."""
    simulator, client = account()
    batch = submit(client, chat_file(20))
    seen = [batch.status]

    for _ in range(26):
        simulator.clock.advance(5)
        batch = client.batches.retrieve(batch.id)
        seen.append(batch.status)

    assert list(dict.fromkeys(seen)) == ["validating", "in_progress", "finalizing", "completed"]
    times = [batch.in_progress_at, batch.finalizing_at, batch.completed_at, batch.expires_at]
    assert [time and time - batch.created_at for time in times] == [10, 110, 120, DAY_SECONDS]


def test_times_do_not_depend_on_who_looks() -> None:
    """A batch that nobody looked at for a day has the times of one that was watched."""
    simulator, client = account()
    batch = submit(client, chat_file(20))

    simulator.clock.advance(DAY_SECONDS)

    batch = client.batches.retrieve(batch.id)
    assert batch.completed_at == batch.created_at + 120


def test_new_batch_has_nothing_of_its_results() -> None:
    """The answer to a create has no counts, no model, no usage and no files."""
    _, client = account()

    batch = submit(client, chat_file(3), metadata={"ticket": "1"})

    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    assert (batch.model, batch.usage, batch.output_file_id, batch.error_file_id) == (None, None, None, None)
    assert batch.metadata == {"ticket": "1"}


def test_completed_batch_answers_every_line_once() -> None:
    """The output file holds each custom_id once, in an order that is not the input's."""
    simulator, client = account()
    batch = submit(client, chat_file(50))

    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    answered = [line["custom_id"] for line in lines_of(client, batch.output_file_id)]
    asked = [str(number) for number in range(1, 51)]
    assert sorted(answered) == sorted(asked)
    assert answered != asked
    assert batch.error_file_id is None


def test_counts_and_usage_add_up() -> None:
    """The batch counts its lines and its usage is the sum of theirs."""
    simulator, client = account()
    good = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    batch = submit(client, request_file(CHAT, [good, {"model": "m"}, good]))

    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}
    usages = [line["response"]["body"]["usage"] for line in lines_of(client, batch.output_file_id)]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages)
    assert batch.usage.output_tokens == sum(usage["completion_tokens"] for usage in usages)
    assert batch.usage.total_tokens == sum(usage["total_tokens"] for usage in usages) > 0


def test_failed_line_stands_in_the_error_file_with_its_response() -> None:
    """A line that the endpoint refuses has a response with its status, and no error of its own."""
    simulator, client = account()
    batch = submit(client, request_file(CHAT, [{"model": "m"}]))

    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    line = lines_of(client, batch.error_file_id)[0]
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("1", None, 400)
    assert line["response"]["body"]["error"]["param"] == "messages"


def test_invalid_file_fails_in_the_background() -> None:
    """A create of a bad file succeeds; the batch fails later, with every fault, and runs nothing."""
    simulator, client = account()
    batch = submit(client, b"x\n" + chat_file(1) + b"y\n")

    simulator.clock.advance(10)

    failed = client.batches.retrieve(batch.id)
    assert (batch.status, failed.status, failed.failed_at) == ("validating", "failed", batch.created_at + 10)
    assert failed.errors is not None
    assert [(error.code, error.line) for error in failed.errors.data or []] == [
        ("invalid_json_line", 1),
        ("invalid_json_line", 3),
    ]
    assert failed.request_counts is not None
    assert failed.request_counts.total == 0
    assert list(simulator.ledger.charges()) == []


def test_expired_batch_delivers_what_ran_and_names_the_rest() -> None:
    """At the end of its window the finished lines are in the output and the others in the error file; counts do not add up."""
    simulator, client = account(Behaviour(run_seconds=2 * DAY_SECONDS))
    batch = submit(client, chat_file(20))

    simulator.clock.advance(DAY_SECONDS)

    batch = client.batches.retrieve(batch.id)
    output, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert (batch.status, batch.expired_at) == ("expired", batch.expires_at)
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert all(line["response"] is None for line in errors)
    assert sorted(int(line["custom_id"]) for line in output + errors) == list(range(1, 21))
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (len(output), 0)
    assert 0 < len(output) < 20


def test_pace_by_requests_per_second_can_outlast_the_window() -> None:
    """A rate of requests makes a large batch take longer than the fixed time of a run."""
    simulator, client = account(Behaviour(run_seconds=1, requests_per_second=2))
    batch = submit(client, chat_file(20))

    simulator.clock.advance(10.4)
    before = client.batches.retrieve(batch.id).status
    simulator.clock.advance(0.2)

    assert (before, client.batches.retrieve(batch.id).status) == ("in_progress", "finalizing")


def test_cancelled_batch_keeps_what_ran() -> None:
    """A cancellation takes its time, lets the lines in flight finish, delivers them and names the others."""
    simulator, client = account()
    batch = submit(client, chat_file(20))
    simulator.clock.advance(60)

    cancelling = client.batches.cancel(batch.id)
    simulator.clock.advance(60)

    batch = client.batches.retrieve(batch.id)
    assert (cancelling.status, cancelling.output_file_id) == ("cancelling", None)
    assert (batch.status, batch.cancelling_at, batch.cancelled_at) == (
        "cancelled",
        batch.created_at + 60,
        batch.created_at + 120,
    )
    output, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert {line["error"]["code"] for line in errors} == {"batch_cancelled"}
    assert sorted(int(line["custom_id"]) for line in output + errors) == list(range(1, 21))
    assert cancelling.request_counts is not None
    assert cancelling.request_counts.completed < len(output) < 20


def test_batch_cancelled_before_it_ran_has_no_files() -> None:
    """A cancellation while validating runs nothing and charges nothing."""
    simulator, client = account()
    batch = submit(client, chat_file(5))

    client.batches.cancel(batch.id)
    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert list(simulator.ledger.charges()) == []


def test_batch_cancelled_while_finalizing_delivers_everything() -> None:
    """A cancellation that comes after the last line loses nothing."""
    simulator, client = account()
    batch = submit(client, chat_file(5))
    simulator.clock.advance(115)

    cancelling = client.batches.cancel(batch.id)
    simulator.clock.advance(60)

    batch = client.batches.retrieve(batch.id)
    assert (cancelling.status, batch.status) == ("cancelling", "cancelled")
    assert len(lines_of(client, batch.output_file_id)) == 5


def test_cancelling_twice_changes_nothing() -> None:
    """A second cancellation answers as the first and moves no time."""
    simulator, client = account()
    batch = submit(client, chat_file(5))
    first = client.batches.cancel(batch.id)
    simulator.clock.advance(1)

    second = client.batches.cancel(batch.id)

    assert second == first


def test_ended_batch_cannot_be_cancelled() -> None:
    """A cancellation of a batch that has ended is refused with 409."""
    simulator, client = account()
    batch = submit(client, chat_file(5))
    simulator.clock.advance(1_000)

    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        client.batches.cancel(batch.id)


def test_batches_are_listed_in_pages_newest_first() -> None:
    """Following `after` visits every batch once, even when new ones appear meanwhile."""
    _, client = account()
    created = [submit(client, chat_file(1)).id for _ in range(5)]
    page = client.batches.list(limit=2)

    submit(client, chat_file(1))

    assert [batch.id for batch in page] == created[::-1]


@pytest.mark.parametrize("limit", [0, 101])
def test_limit_of_a_batch_list_has_bounds(limit: int) -> None:
    """A page holds 1 to 100 batches, 20 unless asked otherwise."""
    _, client = account()
    for _ in range(21):
        submit(client, chat_file(1))

    with pytest.raises(openai.BadRequestError) as refusal:
        client.batches.list(limit=limit)

    assert refusal.value.param == "limit"
    assert len(client.batches.list().data) == 20


def test_other_projects_see_no_batch() -> None:
    """A batch and its file belong to a project; to another key they do not exist."""
    simulator = Simulator(VirtualClock(), behaviour=Behaviour(projects={"key-a": "a", "key-b": "b"}))
    owner, stranger = connect(simulator, key="key-a"), connect(simulator, key="key-b")
    batch = submit(owner, chat_file(1))

    assert stranger.batches.list().data == []
    with pytest.raises(openai.NotFoundError):
        stranger.batches.retrieve(batch.id)
    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        stranger.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input_file_id": "file-nobody"}, "file_id"),
        ({"input_file_id": None}, "input_file_id"),
        ({"endpoint": "/v1/poems"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata." + "k" * 55),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"metadata": {"k": 7}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "midnight", "seconds": 3600}}, "output_expires_after.anchor"),
        ({"extra_body": {"priority": "high"}}, "priority"),
    ],
)
def test_bad_create_is_refused_and_creates_nothing(changes: dict[str, Any], param: str) -> None:
    """What is wrong with the call itself is told at once, by parameter."""
    simulator, client = account()

    with pytest.raises(openai.BadRequestError) as refusal:
        submit(client, chat_file(1), **changes)

    assert refusal.value.param == param
    assert simulator.account.batches == {}


def test_metadata_at_its_limits_is_echoed() -> None:
    """Sixteen pairs of 64 and 512 characters are kept as they were given."""
    _, client = account()
    metadata = {f"{number:064}": "ü" * 512 for number in range(16)}

    batch = submit(client, chat_file(1), metadata=metadata)

    assert client.batches.retrieve(batch.id).metadata == metadata


def test_input_file_must_have_the_purpose_of_a_batch() -> None:
    """A file of another purpose cannot be a batch's input."""
    _, client = account()
    file = client.files.create(file=("a.jsonl", chat_file(1)), purpose="evals")

    with pytest.raises(openai.BadRequestError, match="purpose 'evals'"):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


@pytest.mark.parametrize("deleted_after_seconds", [0, 9, 11])
def test_deleted_input_fails_the_batch_until_it_was_read(deleted_after_seconds: int) -> None:
    """A batch whose input is deleted before validation fails unbilled; after it, the deletion changes nothing."""
    simulator, client = account()
    batch = submit(client, chat_file(3))
    simulator.clock.advance(deleted_after_seconds)

    client.files.delete(batch.input_file_id)
    simulator.clock.advance(1_000)

    batch = client.batches.retrieve(batch.id)
    charged = sum(charge.charged for charge in simulator.ledger.charges())
    assert (batch.status, charged) == (("failed", 0) if deleted_after_seconds < 10 else ("completed", 3))
    if batch.status == "failed":
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.errors.data[0].code, batch.errors.data[0].param) == ("invalid_request", "input_file_id")


def test_missing_input_may_be_found_out_in_validation() -> None:
    """Where an account does not look at create, a create of a missing file succeeds and its batch fails."""
    simulator, client = account(Behaviour(input_checked_at_create=False))

    batch = client.batches.create(input_file_id="file-nobody", endpoint=CHAT, completion_window="24h")
    simulator.clock.advance(1)

    assert client.batches.retrieve(batch.id).status == "failed"


def test_output_expires_as_it_was_asked() -> None:
    """Output files expire so many seconds after they were written, 30 days by default."""
    simulator, client = account()
    batches = [
        submit(client, chat_file(1), output_expires_after={"anchor": "created_at", "seconds": 3600}),
        submit(client, chat_file(1)),
    ]
    simulator.clock.advance(120)

    files = [client.files.retrieve(str(client.batches.retrieve(batch.id).output_file_id)) for batch in batches]
    simulator.clock.advance(3600)

    assert [file.expires_at and file.expires_at - file.created_at for file in files] == [3600, 30 * DAY_SECONDS]
    assert [file.purpose for file in files] == ["batch_output", "batch_output"]
    with pytest.raises(openai.NotFoundError):
        client.files.content(files[0].id)


def test_creates_are_limited_per_hour() -> None:
    """One create too many is answered 429 and creates nothing; an hour after the first there is quota for one."""
    simulator, client = account(Behaviour(creates_per_hour=2))
    submit(client, chat_file(1))
    simulator.clock.advance(600)
    submit(client, chat_file(1))

    with pytest.raises(openai.RateLimitError) as refusal:
        submit(client, chat_file(1))

    assert refusal.value.response.headers["retry-after"] == "3000"
    assert len(simulator.account.batches) == 2
    simulator.clock.advance(3000)
    submit(client, chat_file(1))
    with pytest.raises(openai.RateLimitError):
        submit(client, chat_file(1))


def test_full_queue_fails_a_batch_after_it_was_accepted() -> None:
    """A batch that does not fit beside what is enqueued fails with token_limit_exceeded, and fits once that has ended."""
    simulator, client = account(Behaviour(enqueued_tokens={"gpt-4.1-mini": 100}))
    content = chat_file(3)
    first = submit(client, content)
    simulator.clock.advance(0.6)

    second = submit(client, content)
    other_model = submit(client, chat_file(3, model="gpt-4.1"))
    simulator.clock.advance(0.6)

    failed = client.batches.retrieve(second.id)
    assert (second.status, failed.status) == ("validating", "failed")
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert failed.errors.data[0].code == "token_limit_exceeded"
    assert "Limit: 100 enqueued tokens." in str(failed.errors.data[0].message)
    simulator.clock.advance(60)
    again = client.batches.create(input_file_id=second.input_file_id, endpoint=CHAT, completion_window="24h")
    simulator.clock.advance(60)
    for batch in (first, other_model, again):
        assert client.batches.retrieve(batch.id).status == "completed"


@pytest.mark.parametrize("ending", ["completed", "cancelled", "expired"])
def test_every_end_gives_the_quota_back(ending: str) -> None:
    """Whatever ends a batch, none of its tokens stays enqueued."""
    behaviour = Behaviour(run_seconds=2 * DAY_SECONDS if ending == "expired" else 100)
    simulator, client = account(behaviour)
    batch = submit(client, chat_file(5))
    simulator.clock.advance(50)
    enqueued = sum(simulator.account.lifecycle.quota.tokens.values())

    if ending == "cancelled":
        client.batches.cancel(batch.id)
    simulator.clock.advance(DAY_SECONDS)

    assert client.batches.retrieve(batch.id).status == ending
    assert enqueued > 0
    assert sum(simulator.account.lifecycle.quota.tokens.values()) == 0


def test_projects_share_the_queue_of_their_organization() -> None:
    """What one project has enqueued is quota that another does not have."""
    behaviour = Behaviour(projects={"key-a": "a", "key-b": "b"}, enqueued_tokens_default=100)
    simulator = Simulator(VirtualClock(), behaviour=behaviour)
    submit(connect(simulator, key="key-a"), chat_file(3))
    client = connect(simulator, key="key-b")

    batch = submit(client, chat_file(3))
    simulator.clock.advance(0.6)

    assert client.batches.retrieve(batch.id).status == "failed"


def test_embedding_inputs_are_limited_over_all_batches() -> None:
    """Embedding inputs of every batch count against one limit of the account."""
    simulator, client = account(Behaviour(enqueued_embedding_inputs=5))
    content = request_file("/v1/embeddings", [{"model": "text-embedding-3-small", "input": ["a", "b", "c"]}])

    batches = [submit(client, content, endpoint="/v1/embeddings") for _ in range(2)]
    simulator.clock.advance(0.6)

    assert [client.batches.retrieve(batch.id).status for batch in batches] == ["in_progress", "failed"]


def test_one_file_may_serve_several_batches() -> None:
    """A create is not idempotent: the same file twice is two batches, and both are charged."""
    simulator, client = account()
    first = submit(client, chat_file(2))

    second = client.batches.create(input_file_id=first.input_file_id, endpoint=CHAT, completion_window="24h")
    simulator.clock.advance(1_000)

    assert first.id != second.id
    repeated = simulator.ledger.charged_more_than_once()
    assert {request[0]: batches for request, batches in repeated.items()} == {
        "1": [first.id, second.id],
        "2": [first.id, second.id],
    }


def test_same_seed_gives_the_same_world() -> None:
    """Two accounts of one seed that are asked the same answer byte for byte the same; another seed does not."""
    outputs = []
    for seed in (1, 1, 2):
        simulator, client = account(seed=seed)
        batch = submit(client, chat_file(30))
        simulator.clock.advance(1_000)
        outputs.append((batch.id, client.files.content(str(client.batches.retrieve(batch.id).output_file_id)).content))

    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]
