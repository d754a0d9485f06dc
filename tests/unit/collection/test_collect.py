import json
from dataclasses import replace

import pytest
from fakes.answered import (
    CHAT,
    AnsweredJob,
    answer_line,
    chat_body,
    chat_job,
    chat_request,
    error_line,
    json_lines,
    success,
)
from fakes.shards import changed

from batchdrop.core.model.batches import BatchError
from batchdrop.core.model.errors import DownloadCut, NotAtProvider
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome, Usage
from batchdrop.core.model.reasons import Reason
from batchdrop.flow.collection.archive import DOWNLOADS_MAX, archive
from batchdrop.flow.collection.collect import Harvest, derive

SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


def fates(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    """Return each row with `succeeded`, or the code that it failed with."""
    return [(outcome.row, outcome.error.code if outcome.error else "succeeded") for outcome in outcomes]


def test_answers_join_their_items_in_the_order_of_the_upload() -> None:
    """Whatever the order of the provider's file, each item gets its own answer, and the part is sorted by row."""
    job = chat_job(3)

    harvest = job.harvest(job.shard(), success(3, "c") + b"\n" + success(1, "a") + success(2, "b").rstrip())

    assert harvest == Harvest(3, 0, 0, 0, 0, 0, Usage(60, 9), 3)
    assert [(item.row, bytes(item.output)) for item in job.part()] == [(1, b'"a"'), (2, b'"b"'), (3, b'"c"')]


def test_an_item_object_says_everything_about_its_item() -> None:
    """An item's object holds its name, record, answer and where the answer came from, and is its line in the part."""
    job = chat_job(1)

    job.harvest(job.shard(), success(1, "yes"))

    item = job.items()["000000001"]
    assert item == job.part()[0]
    assert (item.status, item.finish, item.attempts, item.batch_id) == ("succeeded", "stop", 1, "batch_1_1")
    assert (item.line_id, item.request_id, item.status_code) == ("batch_req_1", "req-1", 200)
    assert json.loads(bytes(item.record)) == chat_request("Question 1")
    assert json.loads(bytes(item.response)) == chat_body("yes")
    assert item.usage == Usage(20, 3)


def test_items_bear_the_name_that_the_user_gave() -> None:
    """Rows travel to the provider, the user's own ids come back."""
    lines = [{"custom_id": f"R/{n}", "method": "POST", "url": CHAT, "body": chat_request()} for n in (1, 2)]
    job = AnsweredJob("inbox/native.jsonl", json_lines(lines))

    job.harvest(job.shard(), success(2) + success(1))

    assert sorted(job.items()) == ["R%2F1", "R%2F2"]


def test_a_line_with_an_error_fails_its_item_wherever_it_lies() -> None:
    """A status that is not 2xx is a failure in the output file too."""
    job = chat_job(2)
    refused = answer_line(1, {"error": {"code": "context_length_exceeded", "message": "too long"}}, 400)

    harvest = job.harvest(job.shard(), refused + success(2))

    assert (harvest.succeeded, harvest.failed) == (1, 1)
    assert fates(job.part()) == [(1, "context_length_exceeded"), (2, "succeeded")]
    assert json.loads(bytes(job.part()[0].response))["error"]["message"] == "too long"


def test_a_batch_without_an_output_file_is_read_from_its_errors() -> None:
    """Completed may mean that nothing succeeded; an empty output file is none."""
    job = chat_job(2)
    errors = answer_line(1, {"error": {"code": "a"}}, 400) + answer_line(2, {"error": {"code": "b"}}, 400)

    without = job.harvest(job.shard(), None, errors)
    empty = job.harvest(job.shard(2), b"", errors)

    assert (without.failed, empty.failed) == (2, 2)


def test_what_may_be_sent_again_becomes_the_next_input() -> None:
    """Only what the provider reports as not done goes into the next attempt, line by line as it was sent."""
    job = chat_job(4)
    shard = job.shard()
    errors = error_line(2, "batch_expired") + answer_line(3, {}, 400) + answer_line(4, {}, 500)

    harvest = job.harvest(shard, success(1), errors, status="expired")

    sent = job.storage.objects[job.keys.chunk(0, 0)].splitlines()
    assert (harvest.succeeded, harvest.failed, harvest.again_lines) == (1, 1, 2)
    assert job.storage.objects[job.keys.input_lines(1, 2)].splitlines() == [sent[1], sent[3]]
    assert fates([*job.items().values()]) == [(1, "succeeded"), (3, "http_400")]
    assert job.keys.part(1) not in job.storage.objects


def test_the_part_holds_what_every_attempt_decided() -> None:
    """When nothing is left to send, the outcomes of all attempts are merged by row."""
    job = chat_job(4)
    first = job.shard()
    harvest = job.harvest(first, success(2), b"".join(error_line(row, "batch_expired") for row in (1, 3, 4)))

    second = job.next_attempt(first, harvest)
    again = job.harvest(second, success(4) + success(1), error_line(3, "batch_cancelled"))
    third = job.next_attempt(second, again)
    last = job.harvest(third, success(3))

    assert (harvest.again_lines, again.again_lines, last.again_lines) == (3, 1, 0)
    assert fates(job.part()) == [(1, "succeeded"), (2, "succeeded"), (3, "succeeded"), (4, "succeeded")]
    assert [item.attempts for item in job.part()] == [2, 1, 3, 2]
    assert job.part()[2].batch_id == "batch_1_3"


def test_attempts_end_with_the_provider_s_own_code() -> None:
    """After the last attempt an item fails with what the provider said, and nothing is sent any more."""
    job = chat_job(1)
    job.limits = Limits(attempts_max=2)
    first = job.shard()
    harvest = job.harvest(first, None, error_line(1, "batch_expired"))

    last = job.harvest(job.next_attempt(first, harvest), None, error_line(1, "batch_expired"))

    assert (last.failed, last.again_lines) == (1, 0)
    assert fates(job.part()) == [(1, "batch_expired")]
    assert job.keys.input_lines(1, 3) not in job.storage.objects


def test_a_success_wins_over_a_failure_and_the_first_over_the_second() -> None:
    """Lines that answer an item twice are counted; a paid answer is never overruled by a failure that may pass."""
    job = chat_job(2)

    harvest = job.harvest(
        job.shard(), success(1, "first") + success(1, "second") + success(2), error_line(2, "batch_expired")
    )

    assert (harvest.succeeded, harvest.again_lines, harvest.duplicates) == (2, 0, 2)
    assert bytes(job.part()[0].output) == b'"first"'


def test_answers_to_nothing_are_counted_and_kept_apart() -> None:
    """Lines that name no item of the attempt reach no result; the archive keeps them."""
    job = chat_job(1)
    strange = success(99) + b"garbage\n" + answer_line("id-1", chat_body("x"))

    harvest = job.harvest(job.shard(), strange + success(1), counts=(1, 1, 0))

    assert (harvest.succeeded, harvest.unknown) == (1, 3)
    assert fates(job.part()) == [(1, "succeeded")]
    assert strange in job.storage.objects[job.keys.raw_output(1, 1)]


def test_answers_of_other_shards_are_unknown_here() -> None:
    """A shard takes only the rows that it asked for, though they are rows of its job."""
    job = chat_job(3)

    harvest = job.harvest(job.shard(lines=(1, 2)), success(1) + success(2) + success(3), counts=(1, 1, 0))

    assert (harvest.succeeded, harvest.unknown) == (1, 2)
    assert fates(job.part()) == [(2, "succeeded")]


def test_missing_answers_are_waited_for_and_then_given_up() -> None:
    """An item of a completed batch in neither file is undecided for as long as it is waited for, then fails for good."""
    job = chat_job(2)
    shard = job.shard()

    waiting = job.harvest(shard, success(1), counts=(2, 2, 0))
    given_up = job.harvest(shard, success(1), counts=(2, 2, 0), give_up=True)

    assert (waiting.must_wait, waiting.missing, waiting.again_lines) == (True, 1, 0)
    assert (given_up.must_wait, given_up.failed, given_up.again_lines) == (False, 1, 0)
    assert fates(job.part()) == [(1, "succeeded"), (2, "answers_missing")]


def test_late_answers_are_fetched() -> None:
    """While a batch shows fewer answers than it counted its files are asked for anew, and the longer one is kept."""
    job = chat_job(3)
    shard = job.shard()
    job.harvest(shard, success(1), counts=(3, 3, 0))

    harvest = job.harvest(shard, success(1) + success(2) + success(3), counts=(3, 3, 0))

    assert (harvest.succeeded, harvest.must_wait) == (3, False)
    assert fates(job.part()) == [(1, "succeeded"), (2, "succeeded"), (3, "succeeded")]


def test_without_counts_what_lacks_lines_is_fetched_again() -> None:
    """A server that counts nothing owes a line for each request: its file is downloaded again while it has fewer."""
    job = chat_job(3)
    shard = job.shard()
    first = job.harvest(shard, success(1), counts=(None, None, None))
    downloads = job.provider.downloads

    harvest = job.harvest(shard, success(1) + success(2), error_line(3, "bad"), counts=(None, None, None))

    assert first.must_wait
    assert (harvest.succeeded, harvest.failed, harvest.must_wait) == (2, 1, False)
    assert job.provider.downloads > downloads


def test_an_empty_answer_is_paid_and_not_sent_again() -> None:
    """It fails its item, its tokens are counted, and the reason says so; also where only null came."""
    job = chat_job(3)

    harvest = job.harvest(
        job.shard(), success(1) + answer_line(2, chat_body("")) + answer_line(3, chat_body(None) | {"choices": []})
    )

    assert (harvest.succeeded, harvest.failed, harvest.again_lines) == (1, 2, 0)
    assert fates(job.part()) == [(1, "succeeded"), (2, "empty_answer"), (3, "empty_answer")]
    assert harvest.usage == Usage(60, 9)


def test_the_archive_is_never_replaced_by_less() -> None:
    """A download that comes back shorter than what is archived changes nothing."""
    job = chat_job(3)
    shard = job.shard()
    job.harvest(shard, success(1) + success(2), counts=(3, 3, 0))

    harvest = job.harvest(shard, success(3), counts=(3, 3, 0))

    assert harvest.succeeded == 2
    assert job.storage.objects[job.keys.raw_output(1, 1)] == success(1) + success(2)


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_a_cut_off_batch_did_not_list_is_sent_again(status: str) -> None:
    """Unlisted items of an expired or cancelled batch are sent again once all counted answers are there, not before."""
    job = chat_job(3)
    shard = job.shard()

    early = job.harvest(shard, None, None, status=status, counts=(3, 1, 0))
    complete = job.harvest(shard, success(2), None, status=status, counts=(3, 1, 0))

    assert (early.must_wait, early.missing, early.again_lines) == (True, 3, 0)
    assert (complete.succeeded, complete.again_lines, complete.missing) == (1, 2, 0)


def test_an_answer_that_comes_twice_does_not_hide_one_that_is_missing() -> None:
    """Lines are counted by item: a repeated line does not make an unseen paid answer look like one that never ran."""
    job = chat_job(3)
    shard = job.shard()

    harvest = job.harvest(shard, success(1) + success(1), None, status="expired", counts=(3, 2, 0))
    grown = job.harvest(shard, success(1) + success(1) + success(2), None, status="expired", counts=(3, 2, 0))

    assert (harvest.missing, harvest.again_lines, harvest.must_wait) == (2, 0, True)
    assert (grown.succeeded, grown.again_lines, grown.must_wait) == (2, 1, False)


def test_a_batch_that_failed_in_validation_names_its_lines() -> None:
    """Named items fail with their reason; the others, which never ran, are sent again without them."""
    job = chat_job(3)
    shard = job.shard()
    error = BatchError("invalid_url", "The URL is wrong.", 2)

    harvest = job.harvest(shard, status="failed", batch_errors=(error,))

    last = job.harvest(job.next_attempt(shard, harvest), success(1) + success(3))
    assert (harvest.failed, harvest.again_lines) == (1, 2)
    assert last.succeeded == 2
    assert fates(job.part()) == [(1, "succeeded"), (2, "invalid_url"), (3, "succeeded")]


def test_lines_are_named_by_their_place_in_the_attempt_s_input() -> None:
    """In a later attempt, or a shard that begins later, line 1 is the first line that was sent."""
    job = chat_job(4)
    error = BatchError("bad", "m", 1)

    job.harvest(job.shard(lines=(2, 4)), status="failed", batch_errors=(error,))

    assert list(job.items()) == ["000000003"]


def test_validation_that_never_passes_ends() -> None:
    """A batch that fails again and again, each time for another line, ends within the attempt cap."""
    job = chat_job(5)
    shard, error = job.shard(), BatchError("bad", "m", 1)
    harvests = [job.harvest(shard, status="failed", batch_errors=(error,))]
    for _ in range(2):
        shard = job.next_attempt(shard, harvests[-1])
        harvests.append(job.harvest(shard, status="failed", batch_errors=(error,)))

    again = [harvest.again_lines for harvest in harvests]

    assert again == [4, 3, 0]
    assert fates(job.part()) == [(row, "bad") for row in range(1, 6)]


def test_a_shard_without_a_batch_fails_with_its_reason() -> None:
    """Where no batch was made each item says why, and that it was never sent."""
    job = chat_job(2)
    shard = changed(job.shard(), batch="", batches=(), reason=Reason("submission_unknown", "Nobody knows."))

    with archive(job.ports, job.limits, job.job, shard, None) as answers:
        harvest = derive(job.ports, job.planned, shard, answers, None)

    assert harvest.failed == 2
    assert fates(job.part()) == [(1, "submission_unknown"), (2, "submission_unknown")]
    assert [(item.attempts, item.batch_id) for item in job.part()] == [(0, None), (0, None)]


def test_answers_that_are_archived_outlive_the_provider() -> None:
    """What was archived counts though the rest is gone: paid answers are kept, the others fail with the reason."""
    job = chat_job(2)
    shard = job.shard()
    job.harvest(shard, success(1), counts=(2, 2, 0))
    gone = replace(shard, reason=Reason("answers_gone", "m"))

    with archive(job.ports, job.limits, job.job, gone, None) as answers:
        harvest = derive(job.ports, job.planned, gone, answers, None)

    assert (harvest.succeeded, harvest.failed) == (1, 1)
    assert fates(job.part()) == [(1, "succeeded"), (2, "answers_gone")]


def test_harvesting_twice_changes_nothing_and_needs_no_provider() -> None:
    """Once archived, everything is derived again from the archive, byte for byte."""
    job = chat_job(3)
    shard = job.shard()
    files = success(2) + success(1), error_line(3, "batch_expired")
    first = job.harvest(shard, *files, status="expired")
    before, downloads = dict(job.storage.objects), job.provider.downloads
    batch = job.batch(shard, *files, status="expired")
    job.provider.files.clear()

    with archive(job.ports, job.limits, job.job, shard, batch) as answers:
        second = derive(job.ports, job.planned, shard, answers, batch)

    assert second == first
    assert job.storage.objects == before
    assert job.provider.downloads == downloads


def test_a_download_that_is_cut_begins_again() -> None:
    """Nothing of a cut download is kept; after a few the error goes out, and nothing was archived or derived."""
    job = chat_job(2)
    before = dict(job.storage.objects)
    job.provider.cuts = DOWNLOADS_MAX

    with pytest.raises(DownloadCut):
        job.harvest(job.shard(), success(1) + success(2))
    unchanged = job.storage.objects == before
    job.provider.cuts = DOWNLOADS_MAX - 1
    harvest = job.harvest(job.shard(), success(1) + success(2))

    assert unchanged
    assert (harvest.succeeded, harvest.unknown, harvest.duplicates) == (2, 0, 0)
    assert job.storage.objects[job.keys.raw_output(1, 1)] == success(1) + success(2)


def test_a_file_that_is_gone_is_an_error_of_the_provider() -> None:
    """Answers that cannot be had any more are reported, not taken for answers that never were."""
    job = chat_job(1)
    batch = job.batch(job.shard(), success(1), None)
    job.provider.files.clear()

    with pytest.raises(NotAtProvider), archive(job.ports, job.limits, job.job, job.shard(), batch):
        pass

    assert job.items() == {}


def test_an_upload_that_is_gone_costs_names_not_answers() -> None:
    """Without the upload the answers are kept under names that are nobody's."""
    lines = [{"custom_id": f"R{n}", "method": "POST", "url": CHAT, "body": chat_request()} for n in (1, 2)]
    job = AnsweredJob("inbox/native.jsonl", json_lines(lines))
    job.storage.uploads.clear()

    harvest = job.harvest(job.shard(), success(1, "a") + success(2, "b"))

    assert harvest.succeeded == 2
    assert [(item.name, bytes(item.output), bytes(item.record)) for item in job.part()] == [
        ("000000001~unreadable", b'"a"', b"null"),
        ("000000002~unreadable", b'"b"', b"null"),
    ]
    assert job.log.events.count("upload.unreadable") == 1


def test_structured_output_is_known_by_the_request() -> None:
    """An answer that is no whole object fails only where an object was asked for, and is not paid twice."""
    job = AnsweredJob(
        "inbox/mixed.jsonl",
        json_lines([chat_request(), chat_request(response_format=SCHEMA), chat_request(response_format=SCHEMA)]),
    )
    cut = [answer_line(row, chat_body('{"a": ', "length")) for row in (1, 2)]

    harvest = job.harvest(job.shard(), b"".join(cut) + answer_line(3, chat_body('{"a": 1}')))

    assert (harvest.succeeded, harvest.failed, harvest.again_lines) == (2, 1, 0)
    assert fates(job.part()) == [(1, "succeeded"), (2, "incomplete"), (3, "succeeded")]
    assert [bytes(item.output) for item in job.part()] == [b'"{\\"a\\": "', b"null", b'{"a":1}']
    assert harvest.usage == Usage(60, 9)


def test_a_passing_failure_in_the_output_file_is_sent_again() -> None:
    """A line that failed for a while is sent again from whichever file names it, and the part waits for it."""
    job = chat_job(2)
    shard = job.shard()

    harvest = job.harvest(shard, success(1) + answer_line(2, None, 0))
    last = job.harvest(job.next_attempt(shard, harvest), success(2))

    assert (harvest.succeeded, harvest.again_lines) == (1, 1)
    assert last.succeeded == 1
    assert fates(job.part()) == [(1, "succeeded"), (2, "succeeded")]


def test_half_of_a_split_shard_leaves_the_other_half_alone() -> None:
    """After a split each number has the outcomes of its own attempts, and together they have all."""
    job = chat_job(4)
    first = job.shard()
    harvest = job.harvest(first, success(2), b"".join(error_line(row, "batch_expired") for row in (1, 3, 4)))
    second = job.next_attempt(first, harvest)

    job.harvest(replace(second, end_line=1), success(1))
    job.harvest(changed(second, number=2, first_line=1, batch="batch_2_2"), success(4) + success(3))

    assert fates(job.part(1)) == [(1, "succeeded"), (2, "succeeded")]
    assert fates(job.part(2)) == [(3, "succeeded"), (4, "succeeded")]


def test_a_body_that_came_as_text_stays_one_line() -> None:
    """A response body that is a string of indented JSON does not break the lines of the results."""
    job = chat_job(1)

    job.harvest(job.shard(), answer_line(1, json.dumps(chat_body("yes"), indent=2)))

    assert job.storage.objects[job.keys.part(1)].count(b"\n") == 1
    assert bytes(job.part()[0].output) == b'"yes"'
