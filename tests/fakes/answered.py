"""A planned job in memory whose batches the test answers: what harvesting and merging are tried on."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from fakes.memory import FakeClock, MemoryLedger, MemoryLog, MemoryNotifications, MemoryStorage, MemoryWakeups
from fakes.prices import TablePrices
from fakes.shards import changed, new_shard

from batchdrop.core.model.batches import Batch, BatchError, BatchPage, CreateAnswer, FilePage
from batchdrop.core.model.dialects import CAUTIOUS, Dialect, Dialects
from batchdrop.core.model.errors import DownloadCut, NotAtProvider
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.outcomes import Outcome, decode_outcome
from batchdrop.core.model.shard import Shard
from batchdrop.core.planning.plan import Chunk
from batchdrop.flow.collection.collect import Harvest, archive, derive
from batchdrop.flow.planned_job import PlannedJob
from batchdrop.flow.planning.plan import pin_task, plan_pages
from batchdrop.flow.ports import ByteSink, Ports

CHAT = "/v1/chat/completions"


def chat_request(text: str = "Hello", model: str = "gpt-4.1-mini", **options: object) -> dict[str, object]:
    """Return a bare chat body, as it may be dropped below inbox/."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **options}


def json_lines(values: Iterable[object]) -> bytes:
    """Return *values* as JSON, one a line."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def chat_body(text: str | None, finish: str = "stop", **message: object) -> dict[str, object]:
    """Return a chat completion that answers *text*."""
    return {
        "id": "chatcmpl-1",
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [{"index": 0, "message": {"content": text, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
    }


def answer_line(row: object, body: object, status: object = 200) -> bytes:
    """Return a line with an HTTP response, as the provider writes it."""
    response = {"status_code": status, "request_id": f"req-{row}", "body": body}
    return json_lines([{"id": f"batch_req_{row}", "custom_id": str(row), "response": response, "error": None}])


def success(row: int, text: str = "positive") -> bytes:
    """Return the line of a chat answer."""
    return answer_line(row, chat_body(text))


def error_line(row: object, code: str, message: str = "It did not work.") -> bytes:
    """Return a line without an HTTP response."""
    error = {"code": code, "message": message}
    return json_lines([{"id": f"batch_req_{row}", "custom_id": str(row), "response": None, "error": error}])


@dataclass
class AnsweringProvider:
    """The provider as far as harvesting knows it: files to download. Anything else is an error of the test."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: int = 0  # downloads that end early before one is whole
    downloads: int = 0
    base_url: str = "https://provider.test/v1"
    dialects: Dialects = field(default_factory=Dialects)
    dialect: Dialect = CAUTIOUS
    fingerprint: str = "abc"

    def hurried(self, left_seconds: Callable[[], float]) -> "AnsweringProvider":
        """Return the provider: it takes no time."""
        assert left_seconds() > 0
        return self

    def open(self) -> "AnsweringProvider":
        """Return the provider."""
        return self

    def download(self, file: str, target: ByteSink) -> int:
        """Write the file, or a part of it where a cut is due."""
        self.downloads += 1
        if file not in self.files:
            raise NotAtProvider(file)
        content = self.files[file]
        if self.cuts:
            self.cuts -= 1
            target.write(content[: len(content) // 2])
            raise DownloadCut(file)
        return target.write(content)

    def upload_input(
        self, name: str, lines: BinaryIO, lifetime_seconds: int, *, answer_seconds: int = 180, total_seconds: int = 180
    ) -> str:
        """Refuse: harvesting sends nothing."""
        raise NotImplementedError

    def create_batch(self, *, file: str, endpoint: str, metadata: Mapping[str, str]) -> CreateAnswer:
        """Refuse: harvesting sends nothing."""
        raise NotImplementedError

    def list_batches(self, after: str | None) -> BatchPage:
        """Refuse: harvesting knows its batch."""
        raise NotImplementedError

    def batch(self, batch: str) -> Batch:
        """Refuse: the flow gives the batch."""
        raise NotImplementedError

    def cancel_batch(self, batch: str) -> None:
        """Refuse: harvesting comes when the batch has ended."""
        raise NotImplementedError

    def list_files(self, after: str | None) -> FilePage:
        """Refuse: harvesting knows its files."""
        raise NotImplementedError

    def file_status(self, file: str) -> str:
        """Refuse: what is made is there."""
        raise NotImplementedError

    def file_exists(self, file: str) -> bool:
        """Refuse: harvesting downloads."""
        raise NotImplementedError

    def delete_file(self, file: str) -> None:
        """Refuse: harvesting deletes nothing."""
        raise NotImplementedError


class AnsweredJob:
    """One upload, planned, with as many shards and attempts as the test asks for."""

    def __init__(self, key: str, content: bytes, task: bytes | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.storage = MemoryStorage()
        self.provider = AnsweringProvider()
        self.log = MemoryLog()
        self.ports = Ports(
            FakeClock(), MemoryLedger(self.log), MemoryWakeups(), self.storage, self.provider, MemoryNotifications(),
            TablePrices(), self.log, "inbox", "results", "worker-1",
        )  # fmt: skip
        self.upload = self.storage.drop(key, content)
        job = Job(
            id=self.upload.job_id, bucket="inbox", key=key, version=self.upload.version, created_at=1_795_305_600,
            task=self.upload.task,
        )  # fmt: skip
        if task is not None:
            pinned = pin_task(PlannedJob(self.storage, job), task)
            job = replace(job, snapshot=pinned.digest, options=pinned.options)
        self.job = self._planned(job)
        self.keys = Keys(job.id, job.key)

    def _planned(self, job: Job) -> Job:
        for page in plan_pages(PlannedJob(self.storage, job, self.limits), lambda: False):
            job = replace(job, plan=page.cursor, groups=page.groups, items=page.items, refused=page.refused)
        return job

    @property
    def planned(self) -> PlannedJob:
        """The job, opened anew, as an invocation opens it."""
        return PlannedJob(self.ports.storage, self.job, self.limits)

    @property
    def chunks(self) -> list[Chunk]:
        """The chunks of the plan."""
        return self.planned.chunks

    def shard(self, number: int = 1, group: int = 0, lines: tuple[int, int] | None = None) -> Shard:
        """Return a shard of the plan at its first attempt, with a batch; all lines of its group unless told."""
        of_group = self.job.groups[group]
        first, end = lines or (0, of_group.lines)
        return new_shard(
            job=self.job.id, number=number, account="abc", endpoint=of_group.endpoint, model=of_group.model, group=group,
            first_line=first, end_line=end, batch=f"batch_{number}_1", batches=(f"batch_{number}_1",), tokens=100,
        )  # fmt: skip

    def harvest(
        self,
        shard: Shard,
        output: bytes | None = None,
        errors: bytes | None = None,
        *,
        status: str = "completed",
        counts: tuple[int | None, int | None, int | None] | None = None,
        batch_errors: tuple[BatchError, ...] = (),
        give_up: bool = False,
    ) -> Harvest:
        """Archive and derive *shard*'s attempt as a batch with these files; *counts* are total, completed and failed."""
        batch = self.batch(shard, output, errors, status=status, counts=counts, batch_errors=batch_errors)
        with archive(self.ports, self.limits, self.job, shard, batch) as answers:
            return derive(self.ports, self.planned, shard, answers, batch, give_up_missing=give_up)

    def batch(
        self,
        shard: Shard,
        output: bytes | None,
        errors: bytes | None,
        *,
        status: str = "completed",
        counts: tuple[int | None, int | None, int | None] | None = None,
        batch_errors: tuple[BatchError, ...] = (),
    ) -> Batch:
        """Return the batch, its files put at the provider. Counts are what the files hold unless told."""
        names = []
        for name, content in (("out", output), ("err", errors)):
            names.append(None if content is None else f"{name}-{shard.attempt.batch}")
            if content is not None:
                self.provider.files[f"{name}-{shard.attempt.batch}"] = content
        held = len((output or b"").splitlines()), len((errors or b"").splitlines())
        total, completed, failed = counts or (sum(held), *held)
        return Batch(
            shard.attempt.batch, status, 1, output_file=names[0], error_file=names[1], total=total, completed=completed,
            failed=failed, errors=batch_errors,
        )  # fmt: skip

    def next_attempt(self, shard: Shard, harvest: Harvest) -> Shard:
        """Return *shard* as the lifecycle sends it again."""
        attempt = shard.attempt.number + 1
        return changed(
            shard, attempt=attempt, source_shard=shard.number, source_attempt=attempt, first_line=0,
            end_line=harvest.again_lines, batch=f"batch_{shard.number}_{attempt}",
            batches=(*shard.batches, f"batch_{shard.number}_{attempt}"),
        )  # fmt: skip

    def part(self, number: int = 1) -> list[Outcome]:
        """Return the outcomes of a shard's part."""
        return [decode_outcome(line) for line in self.storage.objects[self.keys.part(number)].splitlines()]

    def outcomes(self) -> list[Outcome]:
        """Return the merged outcomes."""
        return [decode_outcome(line) for line in self.storage.objects[self.keys.outcomes].splitlines()]

    def items(self) -> dict[str, Outcome]:
        """Return the item objects by name."""
        prefix = self.keys.item("").removesuffix(".json")
        return {
            key.removeprefix(prefix).removesuffix(".json"): decode_outcome(content)
            for key, content in self.storage.objects.items()
            if key.startswith(prefix)
        }


def chat_job(items: int, **options: Mapping[str, object]) -> AnsweredJob:
    """Return a job of *items* bare chat bodies."""
    requests = [chat_request(f"Question {number}") | options for number in range(1, items + 1)]
    return AnsweredJob("inbox/questions.jsonl", json_lines(requests))
