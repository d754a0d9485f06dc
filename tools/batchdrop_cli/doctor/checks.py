"""What an operator asks first of a stack: is the key good, does it tick, is anything stuck, does anybody hear of it.

Rule: looking changes nothing. Each finding says that all is well or what to do, and what may not be looked at counts as
something to do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

from batchdrop import __version__
from batchdrop.core.model.dialects import BY_HOST, Dialects
from batchdrop.core.model.errors import KeyMissing, KeyRefused, ProviderError, ProviderRefused
from batchdrop.core.model.install import Circuit, circuit_key
from batchdrop.core.model.job import Job
from batchdrop.core.operations.backlog import backlog
from batchdrop.edge.aws.dynamodb import DynamoLedger
from batchdrop.edge.clock import SystemClock
from batchdrop.edge.openai.opening import SecretProviders
from batchdrop.edge.openai.provider import OpenAIProvider
from batchdrop_cli.doctor.account_checks import check_concurrency, check_subscriptions
from batchdrop_cli.doctor.finding import Check, Finding
from batchdrop_cli.doctor.standstill import hang_of, progress_of, waits_of
from batchdrop_cli.stack import Site

# Poll runs every five minutes at most (PollMinutes), and CloudWatch shows an invocation two minutes later at most.
TICK_WINDOW = timedelta(minutes=15)
SHOWN_MAX = 3  # jobs that are named
# Later than this a worker has failed: a wake-up message is received in seconds and delivered again after 16 minutes.
LATE_SECONDS = 1_800
LIST_TIMEOUT_SECONDS = 60

FIRST_RELEASE = "0.1.0"  # its stacks have no output that says so

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})


class NoLog:
    """Hears nothing: the person reads the findings."""

    def info(self, event: str, **fields: object) -> None:
        """Do nothing."""

    def warning(self, event: str, **fields: object) -> None:
        """Do nothing."""


def examine(site: Site) -> Iterator[Finding]:
    """Yield what is found, in the order in which to act."""
    for subject, check in CHECKS.items():
        try:
            yield check(site)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in DENIED:
                raise
            message = error.response.get("Error", {}).get("Message", "")
            yield Finding(subject, f"may not be looked at: {message}", "Use the keys of an administrator.")


@contextmanager
def opened_provider(site: Site) -> Iterator[OpenAIProvider]:
    """Open the provider with the key that the functions have. Raises KeyMissing."""
    provider = SecretProviders(
        lambda: boto3.client("secretsmanager", **site.options),
        site.named("SecretArn"),
        site.parameters["OpenAIBaseUrl"],
        SystemClock(),
        dialect=site.parameters.get("ProviderDialect", BY_HOST),
        create_timeout_seconds=LIST_TIMEOUT_SECONDS,
    ).open()
    assert isinstance(provider, OpenAIProvider)  # noqa: S101  # there is no other
    try:
        yield provider
    finally:
        provider.close()


def open_ledger(site: Site) -> DynamoLedger:
    """Return the stack's ledger."""
    return DynamoLedger(boto3.client("dynamodb", **site.options), site.named("Table"), SystemClock(), NoLog())


def check_release(site: Site) -> Finding:
    """Look whether this command is of the release that is deployed."""
    deployed = site.outputs.get("Release", FIRST_RELEASE)
    if deployed == __version__:
        return Finding("release", f"{deployed}, as this command")
    advice = "Use the command of that release, or deploy this one: docs/upgrading.md."
    return Finding("release", f"the stack is of {deployed}, this command of {__version__}", advice)


def check_key(site: Site) -> Finding:
    """Ask the provider for its list of batches, as poll does; it costs nothing."""
    address = site.parameters["OpenAIBaseUrl"]
    try:
        with opened_provider(site) as provider:
            provider.list_batches(None)
    except KeyMissing as error:
        return Finding("key", f"{error} Everything waits for it. ({error.code})", "Put it there: batchdrop key set")
    except KeyRefused as error:
        advice = (
            "Put a good one there: batchdrop key set. If it is the account: its limits and billing at the provider."
        )
        return Finding("key", f"refused by {address}: {error.code}", advice)
    except ProviderRefused as error:
        advice = (
            "Without it batches are looked at one by one, an uncertain create is parked. Put it right at the provider."
        )
        return Finding("key", f"accepted by {address}, which refuses its list of batches: {error}", advice)
    except ProviderError as error:
        return Finding("key", f"{address} did not answer from here: {error}", "Try again; see the log of poll as well.")
    return Finding("key", f"accepted by {address}")


def circuit_of(site: Site) -> Circuit | None:
    """Return why creating is held back under the key as it is now, None where it is not."""
    install = open_ledger(site).install()
    try:
        with opened_provider(site) as provider:
            name = circuit_key(provider.base_url, provider.fingerprint)
    except KeyMissing:
        return None
    return install.circuits.get(name) if install else None


def check_circuit(site: Site) -> Finding:
    """Look whether batches are created, or held back because the provider refused the last one."""
    circuit = circuit_of(site)
    if circuit is None:
        install = open_ledger(site).install()
        return hang_of(install.hang if install else None)
    advice = "Repair the key or the account; a single create is tried every few minutes, and the rest follows it."
    return Finding("circuit", f"open: {circuit.reason.message} ({circuit.reason.code})", advice)


def check_schedule(site: Site) -> Finding:
    """Look whether the schedule is on."""
    schedules: Any = boto3.client("scheduler", **site.options)
    state = schedules.get_schedule(Name=site.named("Schedule"))["State"]
    advice = "" if state == "ENABLED" else "Enable it: nothing moves without it, and nothing is lost meanwhile."
    return Finding("schedule", state.lower(), advice)


def check_ticks(site: Site) -> Finding:
    """Look whether poll ran of late, and without errors."""
    runs, errors = (count_of_poll(site, metric) for metric in ("Invocations", "Errors"))
    window = f"in the last {TICK_WINDOW.total_seconds() / 60:.0f} minutes"
    if not runs:
        advice = "After a deployment wait for three minutes; else see docs/runbooks/no-tick.md."
        return Finding("ticks", f"none {window}", advice)
    if errors:
        return Finding("ticks", f"{errors:,} of {runs:,} failed {window}", "See docs/runbooks/function-errors.md.")
    return Finding("ticks", f"{runs:,} {window}")


def count_of_poll(site: Site, metric: str) -> int:
    """Return the sum of one of Lambda's metrics of poll over the last minutes."""
    now = datetime.now(UTC)
    metrics: Any = boto3.client("cloudwatch", **site.options)
    points = metrics.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": "FunctionName", "Value": site.named("PollFunction")}],
        StartTime=now - TICK_WINDOW,
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(point["Sum"] for point in points))


def check_readers(site: Site) -> Finding:
    """Look whether both queues are read by their functions."""
    functions = boto3.client("lambda", **site.options)
    stopped = [
        name
        for name in ("Submit", "Complete")
        for mapping in functions.list_event_source_mappings(FunctionName=site.named(f"{name}Function"))[
            "EventSourceMappings"
        ]
        if mapping.get("State") not in {"Enabled", "Enabling", "Creating", "Updating"}
    ]
    advice = "Enable their event source mappings: messages are kept for four days." if stopped else ""
    return Finding("readers", f"not reading: {', '.join(stopped)}" if stopped else "both queues are read", advice)


def count_of_messages(site: Site, queue: str) -> int:
    """Return how many messages of *queue* no function has received yet."""
    queues = boto3.client("sqs", **site.options)
    found = queues.get_queue_attributes(
        QueueUrl=site.named(f"{queue}Url"), AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def check_dead_letters(site: Site) -> Finding:
    """Look for messages that could not be taken five times over."""
    counts = {name: count_of_messages(site, f"{name}DeadLetterQueue") for name in ("Submissions", "Completions")}
    if not any(counts.values()):
        return Finding("dead letters", "none")
    seen = ", ".join(f"{count:,} of {name.lower()}" for name, count in counts.items() if count)
    return Finding("dead letters", seen, "See docs/runbooks/dead-letters.md. Redriving them is safe.")


def check_queues(site: Site) -> Finding:
    """Look how many wake-up messages wait. A few are normal: the oldest due work tells whether they are taken."""
    waiting = {name: count_of_messages(site, f"{name}Queue") for name in ("Submissions", "Completions")}
    return Finding("queues", ", ".join(f"{count:,} in {name.lower()}" for name, count in waiting.items()))


def check_due_work(site: Site) -> Finding:
    """Look whether something should have been done long ago."""
    found = backlog(list(open_ledger(site).active()), SystemClock().now(), is_open=circuit_of(site) is None)
    if found.oldest_due_seconds > LATE_SECONDS:
        seen = f"the oldest of {found.due:,} is late by {found.oldest_due_seconds // 60:,} minutes"
        return Finding("due work", seen, "See docs/runbooks/oldest-due-work.md.")
    if found.uncertain:
        seen = f"{found.uncertain:,} creates are uncertain for more than an hour"
        return Finding("due work", seen, "See docs/runbooks/uncertain-creates.md.")
    return Finding("due work", "nothing is late")


def check_attempts(site: Site) -> Finding:
    """Look whether a job kills the functions that plan or finish it."""
    return attempts_of([row for row in open_ledger(site).active() if isinstance(row, Job)])


def attempts_of(jobs: Sequence[Job]) -> Finding:
    """Return what the attempts of *jobs* show: a second one without a checkpoint isn't an accident any more."""
    stalled = sorted((job for job in jobs if job.stalled.attempts > 1), key=lambda job: -job.stalled.attempts)
    if not stalled:
        return Finding("attempts", "each job gets further")
    shown = ", ".join(
        f"{job.id} ({job.state.value.lower()}, attempt {job.stalled.attempts})" for job in stalled[:SHOWN_MAX]
    )
    more = f" and {len(stalled) - SHOWN_MAX:,} more" if len(stalled) > SHOWN_MAX else ""
    advice = "Look for time-outs and memory in the logs of submit and complete; such a job ends after five attempts."
    return Finding("attempts", f"without getting any further: {shown}{more}", advice)


def check_waits(site: Site) -> Finding:
    """Look what holds up jobs of the whole installation."""
    ledger = open_ledger(site)
    return waits_of(ledger.install(), list(ledger.active()))


def check_progress(site: Site) -> Finding:
    """Look which jobs get no further, whatever their due times."""
    address = site.parameters["OpenAIBaseUrl"]
    dialect = Dialects(address, site.parameters.get("ProviderDialect", BY_HOST)).of(address)
    return progress_of(list(open_ledger(site).active()), SystemClock().now(), dialect)


def check_versions(site: Site) -> Finding:
    """Look whether both buckets keep versions: a job is one version of an object."""
    storage = boto3.client("s3", **site.options)
    without = [
        bucket
        for bucket in (site.named("InboxBucket"), site.named("ResultsBucket"))
        if storage.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled"
    ]
    advice = "Switch versioning on again: a drop without a version is rejected." if without else ""
    return Finding("versions", f"not kept by {', '.join(without)}" if without else "kept by both buckets", advice)


def check_announcements(site: Site) -> Finding:
    """Look whether S3 announces what is dropped."""
    storage = boto3.client("s3", **site.options)
    found = storage.get_bucket_notification_configuration(Bucket=site.named("InboxBucket"))
    announced = {
        rule.get("Value")
        for configuration in found.get("QueueConfigurations", [])
        for rule in configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    }
    missing = [prefix for prefix in ("inbox/", "control/") if prefix not in announced]
    advice = "Deploy the stack again: the bucket's notifications were changed." if missing else ""
    return Finding("announcements", f"not made of {', '.join(missing)}" if missing else "made of every drop", advice)


CHECKS: dict[str, Check] = {
    "release": check_release,
    "key": check_key,
    "circuit": check_circuit,
    "waits": check_waits,
    "schedule": check_schedule,
    "ticks": check_ticks,
    "readers": check_readers,
    "concurrency": check_concurrency,
    "dead letters": check_dead_letters,
    "queues": check_queues,
    "due work": check_due_work,
    "attempts": check_attempts,
    "progress": check_progress,
    "versions": check_versions,
    "announcements": check_announcements,
    "subscriptions": check_subscriptions,
}
