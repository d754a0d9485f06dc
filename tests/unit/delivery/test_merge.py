import csv
import hashlib
import io
import json

import pytest
from fakes.answered import CHAT, AnsweredJob, answer_line, chat_job, chat_request, error_line, json_lines, success

from batchdrop.core.delivery.summary import WrittenFile
from batchdrop.core.model.errors import BrokenState
from batchdrop.core.model.outcomes import Outcome, encode_outcome
from batchdrop.flow.delivery.merge import merge

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages:
    - {role: user, content: "{{ review }}"}
id: review_id
"""


def result_names(job: AnsweredJob) -> set[str]:
    """Return the names of the job's result files."""
    folder = job.keys.results
    names = {key.removeprefix(folder) for key in job.storage.objects if key.startswith(folder)}
    return {name for name in names if not name.startswith("items/")}


def test_a_table_comes_back_with_its_answers() -> None:
    """A CSV comes back with the same rows in the same order, failed ones too; its failures can be dropped as they are."""
    upload = b"review_id,review\r\nR-1,good\r\nR-2,\r\nR-3,bad\r\n"
    job = AnsweredJob("inbox/sentiment/r.csv", upload, TASK)
    job.harvest(
        job.shard(), success(3, "negative") + success(1, "positive"), answer_line(2, {"error": {"code": "e"}}, 400)
    )

    results = merge(job.ports, job.planned, [job.shard()])

    rows = list(csv.DictReader(io.StringIO(job.storage.objects[job.keys.merged("csv")].decode(), newline="")))
    assert [(row["review_id"], row["output"], row["status"]) for row in rows] == [
        ("R-1", "positive", "succeeded"),
        ("R-2", "", "failed"),
        ("R-3", "negative", "succeeded"),
    ]
    assert job.storage.objects[job.keys.failures("csv")] == b"review_id,review\r\nR-2,\r\n"
    assert [outcome.name for outcome in job.outcomes()] == ["R-1", "R-2", "R-3"]
    assert (results.succeeded, results.failed) == (2, 1)


def test_models_and_refused_records_find_their_rows() -> None:
    """Shards of several models and records that were never sent interleave by row."""
    lines: list[object] = [chat_request(str(row), f"model-{row % 3}") for row in range(1, 10)]
    lines[3] = {"no": "request"}
    lines[8] = chat_request("9", "")
    job = AnsweredJob("inbox/mixed.jsonl", json_lines(lines))
    shards = [job.shard(number + 1, number) for number in range(3)]
    for shard, rows in zip(shards, ((1, 7), (2, 5, 8), (3, 6)), strict=True):
        job.harvest(shard, b"".join(success(row, f"answer {row}") for row in reversed(rows)))

    results = merge(job.ports, job.planned, shards)

    assert [outcome.row for outcome in job.outcomes()] == list(range(1, 10))
    assert [outcome.row for outcome in job.outcomes() if outcome.error] == [4, 9]
    assert (results.items, results.failed) == (9, 2)


@pytest.mark.parametrize(
    ("key", "upload"),
    [
        ("inbox/t/a.csv", b"review_id,review\n" + b"".join(b"R-%d,x\n" % row for row in range(1, 41))),
        ("inbox/t/a.json", json.dumps([{"review_id": f"R-{row}", "review": "x"} for row in range(1, 41)]).encode()),
    ],
)
def test_long_answers_come_back_whole(key: str, upload: bytes) -> None:
    """More than is held at once goes by in pieces: rows, results and failures are the same as of short answers."""
    job = AnsweredJob(key, upload, TASK)
    job.harvest(
        job.shard(),
        b"".join(success(row, f"{row} " + "x" * 30_000) for row in range(1, 41) if row % 7),
        b"".join(answer_line(row, {"error": {"code": "e"}}, 400) for row in range(7, 41, 7)),
    )

    results = merge(job.ports, job.planned, [job.shard()])

    extension = key.rpartition(".")[2]
    written, failed = (job.storage.objects[name(extension)].decode() for name in (job.keys.merged, job.keys.failures))
    rows = list(csv.DictReader(io.StringIO(written, newline=""))) if extension == "csv" else json.loads(written)
    assert [int((row["output"] or "0").partition(" ")[0]) for row in rows] == [
        row if row % 7 else 0 for row in range(1, 41)
    ]
    assert [outcome.row for outcome in job.outcomes()] == list(range(1, 41))
    assert (failed.count("R-"), results.succeeded, results.failed) == (5, 35, 5)


def test_native_lines_come_back_as_the_provider_writes_them() -> None:
    """Ready-made lines give result lines with the user's own custom_id."""
    lines = [{"custom_id": f"R{n}", "method": "POST", "url": CHAT, "body": chat_request()} for n in (1, 2)]
    job = AnsweredJob("inbox/native.jsonl", json_lines(lines))
    job.harvest(job.shard(), success(2, "b") + success(1, "a"))

    merge(job.ports, job.planned, [job.shard()])

    written = [json.loads(line) for line in job.storage.objects[job.keys.merged("jsonl")].splitlines()]
    assert [(line["custom_id"], line["response"]["status_code"]) for line in written] == [("R1", 200), ("R2", 200)]


def test_without_failures_there_is_no_file_of_failures() -> None:
    """Whoever sees a failures file has something to look at."""
    job = chat_job(2)
    job.harvest(job.shard(), success(1) + success(2))

    merge(job.ports, job.planned, [job.shard()])

    assert result_names(job) == {"outcomes.jsonl", "results.jsonl", "report.html", "summary.json"}


@pytest.mark.parametrize(
    ("key", "content"), [("inbox/t/a.csv", b""), ("inbox/t/a.csv", b"review_id,review\n"), ("inbox/a.json", b"[]")]
)
def test_nothing_merges_to_nothing(key: str, content: bytes) -> None:
    """A job of 0 items ends with its files, empty."""
    job = AnsweredJob(key, content, TASK if "/t/" in key else None)

    results = merge(job.ports, job.planned, [])

    assert (results.items, results.failures) == (0, ())
    assert job.outcomes() == []
    assert job.keys.summary in job.storage.objects


def test_checksums_are_those_of_the_files() -> None:
    """The summary's sizes and checksums are of exactly what was written."""
    job = chat_job(3)
    job.harvest(job.shard(), success(1) + success(3), answer_line(2, {}, 400))

    results = merge(job.ports, job.planned, [job.shard()])

    names = ["outcomes.jsonl", "results.jsonl", "failures.jsonl", "report.html"]
    contents = [job.storage.objects[job.keys.results + name] for name in names]
    assert results.files == tuple(
        WrittenFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in zip(names, contents, strict=True)
    )


def test_merging_twice_writes_the_same() -> None:
    """A repeated merge changes no byte, the summary's included."""
    job = chat_job(3)
    job.harvest(job.shard(), success(1) + success(3), answer_line(2, {}, 400))
    first = merge(job.ports, job.planned, [job.shard()])
    before = dict(job.storage.objects)

    second = merge(job.ports, job.planned, [job.shard()])

    assert second == first
    assert job.storage.objects == before


def test_an_upload_that_is_gone_leaves_the_outcomes() -> None:
    """Where the upload cannot be read any more the outcomes are complete, and the summary says why there is no more."""
    job = chat_job(3)
    job.harvest(job.shard(), success(1) + success(3), answer_line(2, {}, 400))
    job.storage.uploads.clear()

    results = merge(job.ports, job.planned, [job.shard()])

    summary = json.loads(job.storage.objects[job.keys.summary])
    assert result_names(job) == {"outcomes.jsonl", "report.html", "summary.json"}
    assert (results.succeeded, results.failed) == (2, 1)
    assert summary["upload_unreadable"]["code"] == "unreadable"


def broken_twice(job: AnsweredJob) -> None:
    """Let two shards have the same row."""
    job.harvest(job.shard(1, lines=(0, 2)), success(1) + success(2))
    job.harvest(job.shard(2, lines=(1, 3)), success(2) + success(3))


def broken_gap(job: AnsweredJob) -> None:
    """Let one row be nobody's."""
    job.harvest(job.shard(1, lines=(0, 1)), success(1))
    job.harvest(job.shard(2, lines=(2, 3)), success(3))


def broken_end(job: AnsweredJob) -> None:
    """Let the last row be nobody's."""
    job.harvest(job.shard(1, lines=(0, 1)), success(1))
    job.harvest(job.shard(2, lines=(1, 2)), success(2))


def broken_part(job: AnsweredJob) -> None:
    """Let one part not be there."""
    job.harvest(job.shard(1, lines=(0, 2)), success(1) + success(2))


def broken_extra(job: AnsweredJob) -> None:
    """Let there be an outcome of a row that the upload does not have."""
    job.harvest(job.shard(1, lines=(0, 2)), success(1) + success(2))
    job.harvest(job.shard(2, lines=(2, 3)), success(3))
    job.storage.objects[job.keys.part(2)] += encode_outcome(Outcome(name="x", row=4, status="succeeded")) + b"\n"


@pytest.mark.parametrize("harm", [broken_extra, broken_twice, broken_gap, broken_end, broken_part])
@pytest.mark.parametrize("is_gone", [False, True])
def test_outcomes_that_do_not_add_up_are_not_published(harm: object, is_gone: bool) -> None:  # noqa: FBT001  a parameter
    """A row without an outcome, or with two, stops the merge, and no result file appears; with the upload or without."""
    job = chat_job(3)
    assert callable(harm)
    harm(job)
    if is_gone:
        job.storage.uploads.clear()

    with pytest.raises(BrokenState):
        merge(job.ports, job.planned, [job.shard(1, lines=(0, 2)), job.shard(2, lines=(2, 3))])

    assert result_names(job) == set()


def test_a_shard_that_was_sent_again_may_begin_anywhere() -> None:
    """Parts of shards that were sent again or split are looked into, because their lines say nothing about their rows."""
    job = chat_job(6)
    first, other = job.shard(1, lines=(0, 3)), job.shard(2, lines=(3, 6))
    harvest = job.harvest(first, success(2), error_line(1, "batch_expired") + error_line(3, "batch_expired"))
    second = job.next_attempt(first, harvest)
    job.harvest(second, success(3) + success(1))
    job.harvest(other, success(4) + success(5) + success(6))

    merge(job.ports, job.planned, [second, other])

    assert [outcome.row for outcome in job.outcomes()] == [1, 2, 3, 4, 5, 6]


def test_parts_are_opened_when_their_rows_come() -> None:
    """A job of many shards has no more streams open at a time than have rows in common."""
    job = chat_job(40)
    shards = [job.shard(number, lines=(number - 1, number)) for number in range(1, 41)]
    for shard in shards:
        job.harvest(shard, success(shard.number))
    opened: list[io.BytesIO] = []
    most_open = 0

    def counted(key: str, start: int = 0) -> io.BytesIO:
        nonlocal most_open
        opened.append(io.BytesIO(job.storage.objects[key][start:]))
        most_open = max(most_open, sum(not stream.closed for stream in opened))
        return opened[-1]

    job.storage.open = counted  # type: ignore[method-assign]  # the store, watched

    merge(job.ports, job.planned, shards)

    assert len(opened) >= 40
    assert most_open <= 2
    assert all(stream.closed for stream in opened)
