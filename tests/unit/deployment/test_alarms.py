"""What an operator hears of: each alarm, the page that it names, and the metrics that alarms and dashboard show."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchdrop.core.operations.metrics import COUNTED, NAMESPACE
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import Template

type Resource = dict[str, Any]

RUNBOOKS = REPOSITORY / "docs" / "runbooks"
# Pages that no alarm leads to: the list itself, and what an operator sets out to do.
PROCEDURES = {"README.md", "restore.md"}
OUR_METRICS = {metric.name for fields in COUNTED.values() for metric in fields}
# What AWS itself counts, by namespace, as its own pages name it.
AWS_METRICS = {
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {"Duration", "Errors", "Invocations", "Throttles"},
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
}


@pytest.fixture(scope="module")
def alarms(resources: dict[str, Resource]) -> dict[str, Resource]:
    """The properties of each alarm."""
    return {name: found["Properties"] for name, found in resources.items() if found["Type"] == "AWS::CloudWatch::Alarm"}


@pytest.fixture(scope="module")
def widgets(resources: dict[str, Resource]) -> list[Resource]:
    """The properties of each widget of the dashboard."""
    body = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    return [widget["properties"] for widget in body["widgets"]]


def page_of(alarm: Resource) -> str:
    """Return the page that the alarm's description names."""
    (page,) = re.findall(r"\$\{RunbooksUrl\}/([a-z-]+\.md)$", alarm["AlarmDescription"]["Fn::Sub"])
    return str(page)


def shown(widgets: list[Resource]) -> Iterator[tuple[str, str, str, str]]:
    """Yield namespace, name, dimension and its value of each metric on the dashboard."""
    for widget in widgets:
        for namespace, name, dimension, value, _ in widget.get("metrics", []):
            yield namespace, name, dimension, value


def test_every_alarm_has_a_page_and_every_page_an_alarm(alarms: dict[str, Resource]) -> None:
    """Whoever is woken reads what it means; no page describes what cannot happen any more."""
    pages = {path.name for path in RUNBOOKS.glob("*.md")} - PROCEDURES

    assert {page_of(alarm) for alarm in alarms.values()} == pages


def test_the_list_of_runbooks_names_each(alarms: dict[str, Resource]) -> None:
    """The list has the page of every alarm, and the alarm by the name that it has in the template."""
    listed = (RUNBOOKS / "README.md").read_text()

    assert all(f"({page_of(alarm)})" in listed for alarm in alarms.values())
    assert all(f"`{name}`" in listed for name in alarms)


@pytest.mark.parametrize(
    "path", sorted(set(RUNBOOKS.glob("*.md")) - {RUNBOOKS / n for n in PROCEDURES}), ids=lambda p: p.stem
)
def test_a_page_answers_three_questions(path: Path) -> None:
    """What it means, what to look at, what is safe to do."""
    headings = re.findall(r"(?m)^## (.+)$", path.read_text())

    assert headings == ["What it means", "What to look at", "What is safe to do"]


def test_alarms_reach_their_own_topic(alarms: dict[str, Resource]) -> None:
    """A subscriber to notifications never receives an alarm."""
    assert all(alarm["AlarmActions"] == [{"Ref": "AlarmsTopic"}] for alarm in alarms.values())


def test_only_cloudwatch_of_this_account_raises_alarms(resources: dict[str, Resource]) -> None:
    """Nobody else can wake an operator, and nobody can in the clear."""
    policy = resources["AlarmsTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in policy if statement["Effect"] == "Allow"]
    (denied,) = [statement for statement in policy if statement["Effect"] == "Deny"]

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_alarms_watch_is_counted(alarms: dict[str, Resource]) -> None:
    """No alarm waits for a metric that nothing writes, and ours is read under the stack's name alone."""
    for alarm in alarms.values():
        if alarm["Namespace"] == NAMESPACE:
            assert alarm["MetricName"] in OUR_METRICS
            assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
        else:
            assert alarm["MetricName"] in AWS_METRICS[alarm["Namespace"]]


def test_what_the_dashboard_shows_is_counted(widgets: list[Resource]) -> None:
    """No line of the dashboard stays empty for ever, and every metric of ours is on it."""
    metrics = list(shown(widgets))

    for namespace, name, dimension, value in metrics:
        if namespace == NAMESPACE:
            assert (dimension, value) == ("service", "${AWS::StackName}")
        else:
            assert name in AWS_METRICS[namespace]
    assert {name for namespace, name, _, _ in metrics if namespace == NAMESPACE} == OUR_METRICS


def test_the_dashboard_begins_with_every_alarm(alarms: dict[str, Resource], widgets: list[Resource]) -> None:
    """What is wrong stands first."""
    assert set(widgets[0]["alarms"]) == {f"${{{name}.Arn}}" for name in alarms}


def test_the_dashboard_stays_small(widgets: list[Resource]) -> None:
    """A dashboard of at most 50 metrics is free as one of the first three (https://aws.amazon.com/cloudwatch/pricing/)."""
    assert len(list(shown(widgets))) <= 50


def test_silence_of_poll_is_an_alarm_and_any_other_silence_is_not(alarms: dict[str, Resource]) -> None:
    """Ten minutes without a round wake somebody, even if nothing writes metrics any more; an idle system wakes nobody."""
    heartbeat = alarms["NoTickAlarm"]
    others = [alarm for name, alarm in alarms.items() if name != "NoTickAlarm"]

    assert (heartbeat["MetricName"], heartbeat["TreatMissingData"]) == ("Ticks", "breaching")
    assert heartbeat["Period"] * heartbeat["EvaluationPeriods"] == 600
    assert all(alarm["TreatMissingData"] == "notBreaching" for alarm in others)


def test_a_round_of_poll_that_comes_late_ends_no_alarm(alarms: dict[str, Resource], template: Template) -> None:
    """Where a round writes a value each time, two of three periods decide.

    With PollMinutes at 5 a period of 300 s is empty now and then: the alarm would end and begin anew, with a mail for each.
    What is told once in a metric's life, like a duplicate batch, must not wait for a second value.
    """
    each_round = {metric.name for event in ("tick.done", "ledger.row_skipped") for metric in COUNTED[event]} - {"Ticks"}
    watched = {name: alarm for name, alarm in alarms.items() if alarm["MetricName"] in each_round}

    assert watched.keys() >= {"OldestDueAlarm", "UncertainCreatesAlarm", "CircuitOpenAlarm", "RowsSkippedAlarm"}
    for alarm in watched.values():
        assert alarm["Period"] >= 60 * max(template["Parameters"]["PollMinutes"]["AllowedValues"])
        assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)
    assert alarms["DuplicateBatchAlarm"]["EvaluationPeriods"] == 1


def test_a_function_that_lambda_refuses_to_run_is_an_alarm(alarms: dict[str, Resource]) -> None:
    """Each function has one: where an account's executions are used up no error is counted, and nothing moves."""
    throttled = {
        alarm["Dimensions"][0]["Value"]["Ref"]: alarm for alarm in alarms.values() if alarm["MetricName"] == "Throttles"
    }

    assert set(throttled) == {"Submit", "Poll", "Complete"}
    for alarm in throttled.values():
        assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == ("AWS/Lambda", "Sum", 0)
        assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (2, 3)


def test_an_upload_that_nobody_takes_is_an_alarm(alarms: dict[str, Resource]) -> None:
    """The oldest message of the submissions queue is watched: until it is taken an upload is no job in the ledger."""
    alarm = alarms["SubmissionsAgeAlarm"]

    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["SubmissionsQueue", "QueueName"]}}]
    assert alarm["Threshold"] == 3_600


def test_there_is_no_metric_math(resources: dict[str, Resource], alarms: dict[str, Resource]) -> None:
    """Every alarm watches one metric, so that the template can be deployed as it stands where it is tested."""
    assert not [name for name, alarm in alarms.items() if "Metrics" in alarm]
    assert "AWS::CloudWatch::CompositeAlarm" not in {resource["Type"] for resource in resources.values()}


def test_both_addresses_are_optional(resources: dict[str, Resource]) -> None:
    """Alarms go to their own address, to the notifications' where there is none, and to nobody where neither is given."""
    subscription = resources["AlarmsByEmail"]

    assert subscription["Condition"] == "AlarmsByEmail"
    assert subscription["Properties"]["Endpoint"] == {
        "Fn::If": ["HasAlarmEmail", {"Ref": "AlarmEmail"}, {"Ref": "NotificationEmail"}]
    }


def test_a_mail_that_does_not_come_is_explained() -> None:
    """Until somebody confirms, an address that was given hears nothing: the page for users says so, with the mail's subject."""
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| no notification by e-mail")]

    assert all(
        word in row
        for word in ("`NotificationEmail`", "`AlarmEmail`", "Confirm the mail", "batchdrop doctor", "48 hours")
    )
