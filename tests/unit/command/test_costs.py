"""What `batchdrop costs` adds up, from summaries that the stack's own code wrote."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import cast

import pytest
from click.testing import CliRunner
from fakes.prices import TABLE
from fakes.shards import new_shard
from rich.console import Console

from batchdrop.core.collection.outcome_groups import run_of
from batchdrop.core.delivery.receipt import open_bill
from batchdrop.core.delivery.summary import Results, status_document, summary_document
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys, Upload
from batchdrop.core.model.outcomes import Outcome, Usage
from batchdrop.core.model.reasons import NotificationEvent
from batchdrop.core.model.shard import Shard
from batchdrop_cli.jobs.costs import Costs, read_costs, totals
from batchdrop_cli.jobs.status import all_statuses
from batchdrop_cli.main import main
from batchdrop_cli.stack import Connection
from batchdrop_cli.views.costs import COLUMNS, left_out, show_costs, write_csv

NOVEMBER = 1_795_305_600  # 2026-11-22
DECEMBER = 1_796_083_200  # 2026-12-01
MINI = "gpt-4.1-mini"


@dataclass
class Bucket:
    """The results bucket, as far as the command reads it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    results_bucket: str = "results"
    listed: list[str] = field(default_factory=list)

    def read(self, _bucket: str, key: str) -> bytes | None:
        """Return the object whole."""
        return self.objects.get(key)

    def folders(self, _bucket: str, prefix: str) -> Iterator[str]:
        """Yield the folders directly below *prefix*."""
        self.listed.append(prefix)
        below = (key.removeprefix(prefix) for key in sorted(self.objects) if key.startswith(prefix))
        yield from dict.fromkeys(f"{prefix}{rest.partition('/')[0]}/" for rest in below if "/" in rest)

    def connection(self) -> Connection:
        """Return the bucket as the command knows it."""
        return cast(Connection, self)

    def end(self, key: str, *answers: tuple[str, Usage | None], ended_at: int = NOVEMBER, **changes: int) -> Job:
        """Write the summary of a job whose batch gave *answers*, by model."""
        job, shard = job_of(key), batch(key, ended_at)
        bill = open_bill(
            job,
            [replace(shard, duplicates=("batch_9",) * changes.get("duplicates", 0))],
            lambda model, _: TABLE.get(model),
        )
        for model, usage in answers:
            answer = Outcome(
                name="a", row=1, status="succeeded", model=model, usage=usage, batch_id=shard.attempt.batch, status_code=200
            )  # fmt: skip
            bill.add(run_of([answer]))
        self.write(job, "summary", summary_document(job, [shard], Results(receipt=bill.receipt())))
        return job

    def write(self, job: Job, name: str, content: bytes) -> None:
        """Write a document of *job*."""
        self.objects[f"{Keys(job.id, job.key).results}{name}.json"] = content


def job_of(key: str) -> Job:
    """The job of a drop."""
    upload = Upload("inbox", key, "v1")
    return Job(id=upload.job_id, bucket="inbox", key=key, version="v1", task=upload.task, created_at=NOVEMBER - 60)


def batch(key: str, ended_at: int) -> Shard:
    """Its one shard."""
    return new_shard(
        job=job_of(key).id, number=0, account="a", endpoint="/v1/chat/completions", model=MINI, group=0, batch="batch_1",
        batches=("batch_1",), base_url="https://x/v1", batch_ended_at=ended_at,
    )  # fmt: skip


def shown(costs: Costs, month: str | None = None) -> str:
    """What a person sees."""
    console = Console(file=io.StringIO(), width=200, highlight=False)
    show_costs(console, costs, month)
    return cast(io.StringIO, console.file).getvalue()


def rows(costs: Costs) -> list[dict[str, str]]:
    """What a spreadsheet reads."""
    written = io.StringIO(newline="")
    write_csv(written, costs.entries)
    return list(csv.DictReader(io.StringIO(written.getvalue(), newline="")))


def test_all_jobs_are_added_up_by_model() -> None:
    """Each job has a row for each model, the latest first; the totals are theirs."""
    bucket = Bucket()
    bucket.end("inbox/sentiment/a.csv", (MINI, Usage(1_000_000, 500_000, cached_tokens=200_000)))
    bucket.end("inbox/sentiment/deep/er/b.csv", (MINI, Usage(1_000_000, 0)), ended_at=NOVEMBER + 60)

    costs = read_costs(bucket.connection(), None)

    assert [entry.summary.upload.key for entry in costs.entries] == [
        "inbox/sentiment/deep/er/b.csv",
        "inbox/sentiment/a.csv",
    ]
    mini, everything = totals(costs.entries)
    assert (mini.model, mini.jobs, mini.known) == (MINI, 2, Decimal("0.2") + Decimal("0.57"))
    assert (everything.known, everything.is_complete) == (mini.known, True)
    assert "1,800,000" not in shown(costs)
    assert "2,000,000" in shown(costs)
    assert "$0.770000" in shown(costs)


def test_a_month_has_the_jobs_that_ended_in_it() -> None:
    """In UTC, by the end of the last batch: that is when it was paid."""
    bucket = Bucket()
    bucket.end("inbox/a.jsonl", (MINI, Usage(10, 1)), ended_at=DECEMBER - 1)
    bucket.end("inbox/b.jsonl", (MINI, Usage(10, 1)), ended_at=DECEMBER)

    november, december = (read_costs(bucket.connection(), month) for month in ("2026-11", "2026-12"))

    assert [entry.summary.upload.key for entry in november.entries] == ["inbox/a.jsonl"]
    assert [entry.summary.upload.key for entry in december.entries] == ["inbox/b.jsonl"]
    assert "in 2026-10" in shown(read_costs(bucket.connection(), "2026-10"), "2026-10")


def test_what_is_not_known_is_in_no_sum_and_is_said() -> None:
    """A price, a count of tokens, a second batch: the total says that it is not complete."""
    bucket = Bucket()
    bucket.end("inbox/a.jsonl", (MINI, Usage(1_000_000, 0)), ("tuned", Usage(5, 5)), (MINI, None), duplicates=1)

    costs = read_costs(bucket.connection(), None)

    assert [(row["model"], row["dollars"], row["unknown"]) for row in rows(costs)] == [
        ("tuned", "", "price"),
        (MINI, "0.20", ""),
        ("", "", "usage (1), duplicate_batches (1)"),
    ]
    assert totals(costs.entries)[-1].known == Decimal("0.2")
    assert "$0.200000 and unknown" in shown(costs)
    assert "What is unknown is in no sum" in shown(costs)


def test_what_is_not_counted_is_said() -> None:
    """Jobs that run, summaries of an older release, what is no summary; a rejected drop cost nothing and is no riddle."""
    bucket = Bucket()
    running, rejected, old, broken = (
        job_of(f"inbox/{name}.jsonl") for name in ("running", "rejected", "old", "broken")
    )
    bucket.write(running, "status", status_document(running, [], NOVEMBER))
    bucket.write(rejected, "status", status_document(replace(rejected, event=NotificationEvent.REJECTED), [], NOVEMBER))
    bucket.write(old, "summary", summary_document(old, [], Results()))
    bucket.write(broken, "summary", b"{")

    costs = read_costs(bucket.connection(), None)

    assert (costs.entries, costs.running, costs.without_receipt) == ([], 1, 1)
    assert [line.partition(":")[0] for line in left_out(costs)] == [
        "Not over yet, and not counted", "Without a receipt, from an older release", "Not readable",
    ]  # fmt: skip


def test_names_are_text_in_a_spreadsheet() -> None:
    """A file's name cannot be a formula, and every digit of an amount is there."""
    bucket = Bucket()
    bucket.end("inbox/=1+1/a,b.csv", (MINI, Usage(1, 1)))

    (row,) = rows(read_costs(bucket.connection(), None))

    assert tuple(row) == COLUMNS
    assert (row["task"], row["file"]) == ("'=1+1", "inbox/=1+1/a,b.csv")
    assert (row["input_tokens"], row["output_tokens"], row["list_dollars"], row["dollars"]) == (
        "1", "1", "0.0000020", "0.0000010",
    )  # fmt: skip


def test_a_job_s_items_are_not_listed() -> None:
    """A million of them cost nothing here: a job's folder is not entered."""
    bucket = Bucket()
    job = bucket.end("inbox/a/b.jsonl", (MINI, Usage(1, 1)))
    folder = Keys(job.id, job.key).results
    bucket.objects |= {f"{folder}items/{number}.json": b"{}" for number in range(100)}

    read_costs(bucket.connection(), None)

    assert folder not in bucket.listed


def test_many_jobs_are_walked_whole() -> None:
    """However many there are, side by side or not, each is seen once."""
    bucket = Bucket()
    jobs = [job_of(f"inbox/{number % 7}/{number}.jsonl") for number in range(200)]
    for job in jobs:
        bucket.write(job, "status", status_document(job, [], NOVEMBER))

    found = [status.job for status in all_statuses(bucket.connection())]

    assert sorted(found) == sorted(job.id for job in jobs)


@pytest.mark.parametrize("month", ["2026", "2026-13", "11-2026", "2026-11-01", "november"])
def test_what_is_no_month_is_refused(month: str) -> None:
    """A typing error adds up nothing."""
    result = CliRunner().invoke(main, ["costs", "--month", month])

    assert result.exit_code == 2
    assert "isn't a month" in result.stderr
