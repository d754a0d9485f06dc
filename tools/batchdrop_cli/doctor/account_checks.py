"""What `doctor` asks of the account around a stack: may its functions run, and does anybody confirm that they want to hear of it.

Rule: as in `doctor`, looking changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

import boto3

from batchdrop_cli.doctor.finding import Finding
from batchdrop_cli.stack import Site

# What tells a Batchdrop among an account's stacks; other programs have an inbox, too, but not all of these.
OUR_OUTPUTS: Final = frozenset({"InboxBucket", "ResultsBucket", "SubmissionsQueueUrl", "PollFunction"})
# Poll's time-out: rounds that take long run beside the next ones. A test compares it with the template.
POLL_TIMEOUT_MINUTES: Final = 2

# What SNS lists in place of an ARN while an address has not confirmed, and after it left
# (https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html, read 2026-11-30).
PENDING: Final = frozenset({"PendingConfirmation", "pending confirmation"})
LEFT: Final = "Deleted"


def check_concurrency(site: Site) -> Finding:
    """Look whether the account lets as many functions run as all Batchdrop stacks of this region may start together."""
    settings = boto3.client("lambda", **site.options).get_account_settings()
    free = settings["AccountLimit"]["UnreservedConcurrentExecutions"]
    stacks = list(stacks_here(site)) or [site.parameters]
    needed = sum(side_by_side(parameters) for parameters in stacks)
    whose = "the stack" if len(stacks) == 1 else f"its {len(stacks)} Batchdrop stacks"
    seen = f"the account runs {free:,} functions side by side, {whose} up to {needed:,}"
    advice = (
        "Ask AWS for a higher quota of Lambda's concurrent executions (Service Quotas, L-B99A9384; it costs nothing),"
        " or lower MaximumConcurrency. Until then functions wait for each other: docs/runbooks/throttles.md."
    )
    return Finding("concurrency", seen, "" if free >= needed else advice)


def side_by_side(parameters: Mapping[str, str]) -> int:
    """Return how many functions a stack with these parameters may run at one time: submit, complete and poll."""
    rounds = ceil(POLL_TIMEOUT_MINUTES / int(parameters.get("PollMinutes", "1")))
    return 2 * int(parameters["MaximumConcurrency"]) + rounds


def stacks_here(site: Site) -> Iterator[Mapping[str, str]]:
    """Yield the parameters of each Batchdrop stack of the site's account and region."""
    for page in boto3.client("cloudformation", **site.options).get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            outputs = {output.get("OutputKey", "") for output in stack.get("Outputs", [])}
            parameters = {
                given.get("ParameterKey", ""): given.get("ParameterValue", "") for given in stack.get("Parameters", [])
            }
            if outputs >= OUR_OUTPUTS and "MaximumConcurrency" in parameters:
                yield parameters


def check_subscriptions(site: Site) -> Finding:
    """Look whether a person hears of jobs, and of alarms where there are any."""
    given = site.parameters.get("NotificationEmail", "")
    topics = [Topic("notifications", site.named("TopicArn"), given)]
    if not site.is_local:
        topics.append(Topic("alarms", site.named("AlarmsTopicArn"), site.parameters.get("AlarmEmail", "") or given))
    problems = [problem for topic in topics if (problem := subscription_problem(site, topic))]
    advice = " ".join(dict.fromkeys(problem.advice for problem in problems))
    return Finding("subscriptions", "; ".join(problem.seen for problem in problems) or "confirmed", advice)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, what it tells of, and the address that the stack was given for it, if any."""

    name: str
    arn: str
    address: str


def subscription_problem(site: Site, topic: Topic) -> Finding | None:
    """Return what is wrong with the subscriptions of a topic, None if nothing is."""
    pages = (
        boto3.client("sns", **site.options).get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic.arn)
    )
    listed = [found for page in pages for found in page["Subscriptions"] if found.get("SubscriptionArn") != LEFT]
    pending = [found.get("Endpoint", "") for found in listed if found.get("SubscriptionArn") in PENDING]
    if pending:
        seen = f"not confirmed for {topic.name}: {', '.join(pending)}"
        return Finding(
            topic.name,
            seen,
            "Confirm by the link in the mail that SNS sent; it is valid for 48 hours. Look among spam.",
        )
    if topic.address and topic.address not in {found.get("Endpoint") for found in listed}:
        # SNS deletes what is not confirmed (https://aws.amazon.com/about-aws/whats-new/2023/05/, 2023-05-10), and CloudFormation
        # does not know that it did.
        again = f"aws sns subscribe --topic-arn {topic.arn} --protocol email --notification-endpoint {topic.address}"
        seen = f"{topic.address} hears of no {topic.name}: it never confirmed, or left"
        return Finding(topic.name, seen, f"Subscribe it again, and confirm the mail: {again}")
    if not listed:
        return Finding(
            topic.name,
            f"{topic.name} reach no subscriber",
            "Subscribe, and confirm by the link in the mail that SNS sends.",
        )
    return None
