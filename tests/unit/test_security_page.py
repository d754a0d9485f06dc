"""What docs/security.md says of folders, times and names is what the template and the code have."""

import json
import re
from dataclasses import fields
from typing import Any

import click
import pytest

from batchdrop.core.model.limits import DAY, Limits
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse
from batchdrop_cli.main import main

PAGE = (REPOSITORY / "docs" / "security.md").read_text()
TEMPLATE = parse((REPOSITORY / "template.yaml").read_text())
LIMITS = Limits()


def row(beginning: str) -> str:
    """Return the one row of a table that begins so."""
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {beginning}")]
    return found


def rules(bucket: str) -> dict[str, Any]:
    """Return the lifecycle rules of a bucket by their ids."""
    found = TEMPLATE["Resources"][bucket]["Properties"]["LifecycleConfiguration"]["Rules"]
    return {rule["Id"]: rule for rule in found}


def test_every_threat_names_what_shows_that_it_is_held_off() -> None:
    """A row of the threat model has who, what, the defence, and tests that exist."""
    sources = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    section = PAGE.partition("## Threat model")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]

    assert len(rows) >= 15
    for threat in rows:
        named = re.findall(r"`(test_\w+)`", threat[-1])
        assert len(threat) >= 3
        assert named, threat
        assert set(named) <= tests, threat
    whom = set(re.findall(r"^\| \*\*(\w+)", section, re.MULTILINE))
    assert whom == {"dropper", "author", "operator", "provider", "neighbour", "page"}


def test_times_are_the_template_s() -> None:
    """What is said to go after so many days goes then."""
    default = {name: parameter.get("Default") for name, parameter in TEMPLATE["Parameters"].items()}
    superseded = rules("Inbox")["expire-noncurrent-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"]
    replaced = rules("Results")["expire-superseded-results"]["NoncurrentVersionExpiration"]["NoncurrentDays"]
    dead_letters = TEMPLATE["Resources"]["SubmissionsDeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]

    assert f"{superseded} days" in row("uploads")
    assert f"{replaced} days" in row("results: ")
    assert f"{rules('Inbox')['expire-control']['ExpirationInDays']} day |" in row("words to jobs")
    assert f"`InternalRetentionDays` ({default['InternalRetentionDays']})" in row("request lines and the")
    assert f"`LogRetentionDays` ({default['LogRetentionDays']})" in row("logs: ")
    assert f"{dead_letters // DAY} days" in row("wake-up messages: ")


def test_times_are_the_code_s() -> None:
    """The ledger forgets, and files at the provider expire, when the page says."""
    assert f"{LIMITS.ended_rows_kept_seconds // DAY} days" in row("the ledger: ")
    assert f"{LIMITS.input_file_lifetime_seconds // DAY} days" in row("request lines: ")


def test_every_folder_is_told() -> None:
    """There is no folder in which something could lie that the page does not name."""
    written = set(re.findall(r"\$\{(?:Inbox|Results)\.Arn\}/(\w+/)\*", (REPOSITORY / "template.yaml").read_text()))

    assert written
    assert all(f"`{folder}`" in PAGE for folder in written)


def test_what_outlives_the_stack_is_told() -> None:
    """Whoever takes it down knows what is left to delete, and where to read its name."""
    kept = {name for name, resource in TEMPLATE["Resources"].items() if "Retain" in resource.get("DeletionPolicy", "")}
    taking_down = PAGE.partition("## Taking it down")[2]

    assert kept == {"Inbox", "InboxPolicy", "Results", "ResultsPolicy", "Table"}
    assert all(f"`{name}`" in taking_down for name in kept)
    assert {"Ref": "Table"} in [output["Value"] for output in TEMPLATE["Outputs"].values()]


def test_parameters_and_outputs_that_are_named_exist() -> None:
    """Nobody looks for a name that is not there."""
    declared = set(TEMPLATE["Parameters"]) | set(TEMPLATE["Outputs"]) | set(TEMPLATE["Resources"])
    named = set(re.findall(r"`([A-Z]\w+)`", PAGE))

    assert named <= declared


def test_services_that_need_a_key_are_in_its_policy() -> None:
    """What reaches an encrypted queue, topic or log group by itself may use the key."""
    (policy,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    principals = json.dumps([statement["Principal"] for statement in json.loads(policy)["Statement"]])

    # S3 announces drops to a queue, CloudWatch publishes alarms, and log groups are encrypted by the service.
    assert all(service in principals for service in ("s3.amazonaws.com", "cloudwatch.amazonaws.com", "logs."))


@pytest.mark.parametrize("words", re.findall(r"`batchdrop ([a-z ]+?)(?: [0-9a-f]{20})?`", PAGE))
def test_commands_exist(words: str) -> None:
    """Every command that the page names is one."""
    group: click.Command = main
    for word in words.split():
        assert isinstance(group, click.Group)
        found = group.commands.get(word)
        assert found is not None, words
        group = found


def test_limits_that_are_named_exist() -> None:
    """Every limit has the variable that the page calls it by."""
    variables = {f"BATCHDROP_{limit.name.upper()}" for limit in fields(Limits)}

    assert set(re.findall(r"BATCHDROP_\w+", PAGE)) <= variables
