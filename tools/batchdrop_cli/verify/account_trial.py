"""A stack of its own in a real account, looked at and deleted again: does AWS do what the template and the code assume?

Rule: a verdict says what was seen, never what is likely. Whatever a look did, the stack and all that it keeps are deleted at the
end, and what could not be deleted is named.
"""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from batchdrop.core.model.keys import Upload
from batchdrop.core.operations.metrics import NAMESPACE, TICKS
from batchdrop_cli.aws.key import set_key
from batchdrop_cli.doctor.checks import examine
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.jobs.status import COMPLETED, status_of
from batchdrop_cli.jobs.tasks import put_tasks
from batchdrop_cli.jobs.upload import drop_files
from batchdrop_cli.jobs.waiting import wait_for
from batchdrop_cli.local.emulator import ClientOptions
from batchdrop_cli.stack import Connection, Site, read_site
from batchdrop_cli.verify.account_cleaning import delete_buckets, delete_queues, delete_stack, delete_tables, kept_parts
from batchdrop_cli.verify.assumptions import Looked
from batchdrop_cli.verify.seen import Seen, SeenVerdict

REQUESTS: Final = 5  # that are sent to the provider: two ready-made and three rows
ANSWER_TOKENS: Final = 20
ANNOUNCED_SECONDS_MAX: Final = 60.0  # S3 says "typically within seconds"; the search for lost events starts much later
MESSAGE_SECONDS_MAX: Final = 120.0
GONE_SECONDS_MAX: Final = 120.0
METRICS_SECONDS_MAX: Final = 300.0  # CloudWatch shows a metric within minutes


@dataclass(slots=True)
class Trial:
    """One run. *deploy* makes the stack called *name*, or raises CommandFailed; *options* lead boto3 to the account."""

    name: str
    options: ClientOptions
    deploy: Callable[[], None]
    key: str
    model: str
    patience_seconds: float
    metrics_seconds: float = METRICS_SECONDS_MAX
    gone_seconds: float = GONE_SECONDS_MAX
    look_seconds: float = 2.0
    site_found: Site | None = None
    queues: dict[str, str] = field(default_factory=dict)  # addresses by what their topic tells of
    uploads: list[Upload] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)  # what the deleted stack leaves, by kind

    def client(self, service: str) -> Any:  # noqa: ANN401  # boto3's, of any service
        """Return a client of the account's."""
        return boto3.client(service, **self.options)  # type: ignore[call-overload]  # any service

    @property
    def site(self) -> Site:
        """The deployed stack. Raises Looked where there is none."""
        if self.site_found is None:
            raise Looked("there is no stack to look at")
        return self.site_found

    @property
    def connection(self) -> Connection:
        """The way to its buckets. Raises Looked where there are none."""
        site = self.site
        return Connection(self.client("s3"), self.options, site.named("InboxBucket"), site.named("ResultsBucket"))

    def until[Found](self, look: Callable[[], Found | None], seconds: float) -> tuple[Found, float]:
        """Return what *look* found, and after how many seconds. Raises Looked where it found nothing in time."""
        start = monotonic()
        while (found := look()) is None:
            if monotonic() - start > seconds:
                raise Looked(f"not within {seconds:,.0f} s")
            sleep(self.look_seconds)
        return found, monotonic() - start


type Look = Callable[[Trial], tuple[str, bool]]


def look_at_all(trial: Trial) -> Generator[Seen]:
    """Yield what is seen of every assumption, each as soon as it is. The stack is gone afterwards, however this ends."""
    try:
        yield from _look(trial, BEFORE)
    finally:
        _take_down(trial)
    yield from _look(trial, AFTER)


def _look(trial: Trial, looks: dict[str, Look]) -> Iterator[Seen]:
    for assumption, look in looks.items():
        try:
            seen, holds = look(trial)
        except (Looked, CommandFailed) as error:
            yield Seen(assumption, str(error), SeenVerdict.NOT_SEEN)
        except (BotoCoreError, ClientError) as error:
            yield Seen(assumption, f"AWS answered: {error}", SeenVerdict.NOT_SEEN)
        else:
            yield Seen(assumption, seen, SeenVerdict.HOLDS if holds else SeenVerdict.BREACHED)


# --- while the stack exists ---------------------------------------------------------------------------------------------


def template_deploys(trial: Trial) -> tuple[str, bool]:
    """CloudFormation makes everything that the template names, in the order that it finds."""
    start = monotonic()
    trial.deploy()
    seconds = monotonic() - start
    (stack,) = trial.client("cloudformation").describe_stacks(StackName=trial.name)["Stacks"]
    if stack["StackStatus"] == "CREATE_COMPLETE":
        trial.site_found = read_site(trial.options, trial.name, is_local=False)
    return f"{stack['StackStatus']} after {seconds:,.0f} s", stack["StackStatus"] == "CREATE_COMPLETE"


def drop_is_announced(trial: Trial) -> tuple[str, bool]:
    """S3 tells the queue of two files, Lambda hands the messages to submit, and each becomes a job with a status."""
    site, connection = trial.site, trial.connection
    set_key(site, trial.key)
    for name in ("TopicArn", "AlarmsTopicArn"):
        trial.queues[name] = subscribe(trial, name)
    with TemporaryDirectory() as folder:
        ready, rows, task = write_files(Path(folder), trial.model)
        list(put_tasks(connection, [task]))
        trial.uploads = [*drop_files(connection, [ready], None), *drop_files(connection, [rows], task.stem)]

    def begun() -> bool | None:
        return all(status_of(connection, upload) is not None for upload in trial.uploads) or None

    _, seconds = trial.until(begun, ANNOUNCED_SECONDS_MAX)
    return f"both files were jobs after {seconds:,.0f} s", True


def files_are_answered(trial: Trial) -> tuple[str, bool]:
    """Both jobs go their whole way, under the roles that the template gives the functions."""
    if not trial.uploads:
        raise Looked("nothing was dropped")
    jobs = wait_for(
        trial.connection, trial.uploads, lambda _upload, _status: None, timeout_seconds=trial.patience_seconds,
        look_seconds=trial.look_seconds,
    )  # fmt: skip
    counts = ", ".join(f"{job.event}: {job.counts.succeeded} of {job.counts.items}" for job in jobs)
    return counts, all(job.event == COMPLETED for job in jobs)


def notifications_arrive(trial: Trial) -> tuple[str, bool]:
    """SNS delivers the notification of each job to a queue that subscribed."""
    wanted = {upload.job_id for upload in trial.uploads}
    if not wanted:
        raise Looked("nothing was dropped")
    told: dict[str, str] = {}

    def look() -> dict[str, str] | None:
        for message in received(trial, "TopicArn"):
            told[message.get("job") or ""] = str(message.get("event"))
        return told if wanted <= told.keys() else None

    try:
        trial.until(look, MESSAGE_SECONDS_MAX)
    except Looked:
        return f"{len(wanted & told.keys())} of {len(wanted)} notifications came", False
    return ", ".join(told[job] for job in sorted(wanted)), True


def alarms_are_sent(trial: Trial) -> tuple[str, bool]:
    """CloudWatch may publish to the topic of the alarms, by the topic's policy: one is made to sound."""
    name = alarm_names(trial)["DuplicateBatchAlarm"]
    trial.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="batchdrop verify-aws makes it sound"
    )

    def look() -> bool | None:
        return any(message.get("AlarmName") == name for message in received(trial, "AlarmsTopicArn")) or None

    try:
        _, seconds = trial.until(look, MESSAGE_SECONDS_MAX)
    except Looked as error:
        return f"{name} did not hear of: {error}", False
    return f"{name} heard of it after {seconds:,.0f} s", True


def alarms_are_silent(trial: Trial) -> tuple[str, bool]:
    """No alarm of a stack that is well sounds, but for the one that was made to."""
    names = alarm_names(trial)
    quiet = {physical: logical for logical, physical in names.items() if logical != "DuplicateBatchAlarm"}

    def look() -> dict[str, str] | None:
        found = trial.client("cloudwatch").describe_alarms(AlarmNames=list(quiet))["MetricAlarms"]
        loud = {quiet[alarm["AlarmName"]]: alarm["StateValue"] for alarm in found if alarm["StateValue"] == "ALARM"}
        return loud if len(found) == len(quiet) and not loud else None

    # Before the first round of poll there is no tick, and its alarm sounds until CloudWatch has seen one.
    _, seconds = trial.until(look, trial.metrics_seconds)
    return f"{len(quiet)} alarms, none sounded after {seconds:,.0f} s", True


def metrics_arrive(trial: Trial) -> tuple[str, bool]:
    """CloudWatch reads the metrics off the functions' logs, under the stack's name."""
    _ = trial.site
    metrics = trial.client("cloudwatch")

    def look() -> float | None:
        now = datetime.now(UTC)
        points = metrics.get_metric_statistics(
            Namespace=NAMESPACE, MetricName=TICKS.name, Dimensions=[{"Name": "service", "Value": trial.name}],
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1), Period=60, Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        return sum(point["Sum"] for point in points) or None

    ticks, _ = trial.until(look, trial.metrics_seconds)
    return f"{ticks:,.0f} rounds of poll were counted", True


def doctor_finds_all_well(trial: Trial) -> tuple[str, bool]:
    """What `doctor` asks is what AWS answers, and it finds nothing to do."""
    findings = list(examine(trial.site))
    to_do = [f"{finding.subject}: {finding.seen}" for finding in findings if finding.advice]
    return "; ".join(to_do) or f"{len(findings)} findings, all well", not to_do


# --- once it is deleted ---------------------------------------------------------------------------------------------------


def stack_is_deleted(trial: Trial) -> tuple[str, bool]:
    """CloudFormation deletes all that the stack does not keep."""
    try:
        found = trial.client("cloudformation").describe_stacks(StackName=trial.name)["Stacks"]
    except ClientError:
        return "the stack is gone", True
    statuses = [stack["StackStatus"] for stack in found]
    return ", ".join(statuses), statuses == ["DELETE_COMPLETE"]


def work_was_kept(trial: Trial) -> tuple[str, bool]:
    """The deleted stack left buckets with their policies and the table, as `RetainExceptOnCreate` says; now they are gone."""
    _ = trial.site
    buckets, policies, tables = (trial.kept.get(kind, []) for kind in ("buckets", "policies", "tables"))
    seen = f"{len(buckets)} buckets, {len(policies)} with a policy, and {len(tables)} table were left"
    return seen, (len(buckets), len(policies), len(tables)) == (2, 2, 1)


def nothing_is_left(trial: Trial) -> tuple[str, bool]:
    """Nothing that has the stack's name is paid for any more."""

    def left() -> list[str]:
        parts = [f"{kind}: {name}" for kind, names in kept_parts(trial.options, trial.name).items() for name in names]
        groups = trial.client("logs").describe_log_groups(logGroupNamePrefix=f"{trial.name}-")["logGroups"]
        return parts + [f"logs: {group['logGroupName']}" for group in groups]

    try:
        # SQS lists a queue for up to a minute after it was deleted.
        trial.until(lambda: None if left() else True, trial.gone_seconds)
    except Looked:
        return "; ".join(left()), False
    return "nothing", True


BEFORE: Final[dict[str, Look]] = {
    "the template deploys as it is": template_deploys,
    "S3 announces a drop, and submit takes it": drop_is_announced,
    "both files come back answered": files_are_answered,
    "each job's notification arrives": notifications_arrive,
    "metrics are read off the logs": metrics_arrive,
    "an alarm is sent to its topic": alarms_are_sent,
    "no alarm sounds on a stack that is well": alarms_are_silent,
    "doctor finds all well": doctor_finds_all_well,
}
AFTER: Final[dict[str, Look]] = {
    "the stack is deleted": stack_is_deleted,
    "what holds work outlives the stack": work_was_kept,
    "nothing is left after cleaning up": nothing_is_left,
}


def write_files(folder: Path, model: str) -> tuple[Path, Path, Path]:
    """Write two ready-made requests, three rows and the task that asks about them; return where."""
    ready, rows, task = folder / "ready.jsonl", folder / "rows.csv", folder / "verify.yaml"
    messages = [{"role": "user", "content": "Answer with the one word yes."}]
    body = {"model": model, "max_completion_tokens": ANSWER_TOKENS, "messages": messages}
    lines = [
        {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} for number in (1, 2)
    ]
    ready.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows.write_text("word\nferry\nswift\nhill\n")
    asked = {"role": "user", "content": "Answer with this word: {{ word }}"}
    task.write_text(json.dumps({"endpoint": "/v1/chat/completions", "body": body | {"messages": [asked]}}))
    return ready, rows, task


def subscribe(trial: Trial, output: str) -> str:
    """Make a queue that a topic of the stack's outputs sends to; return its address."""
    topic, queues = trial.site.named(output), trial.client("sqs")
    url: str = queues.create_queue(QueueName=f"{trial.name}-{output}")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    trial.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    return url


def received(trial: Trial, output: str) -> Iterator[dict[str, Any]]:
    """Yield the messages that came by now, taken out of their queue. Raises Looked where there is no queue."""
    if output not in trial.queues:
        raise Looked("nothing is subscribed")
    queues, url = trial.client("sqs"), trial.queues[output]
    for message in queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        content = json.loads(message["Body"])
        if isinstance(content, dict):
            yield content


def alarm_names(trial: Trial) -> dict[str, str]:
    """Return the name of each alarm of the stack, by what the template calls it."""
    _ = trial.site
    pages = trial.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=trial.name)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::CloudWatch::Alarm"
    }


def _take_down(trial: Trial) -> None:
    """Delete the stack, then all that it keeps. Nothing that fails keeps the rest from being deleted; the last look tells."""
    with suppress(BotoCoreError, ClientError):
        delete_stack(trial.options, trial.name)
    with suppress(BotoCoreError, ClientError):
        trial.kept.update(kept_parts(trial.options, trial.name))
    for delete in (delete_buckets, delete_tables, delete_queues):
        with suppress(BotoCoreError, ClientError):
            delete(trial.options, trial.name)
