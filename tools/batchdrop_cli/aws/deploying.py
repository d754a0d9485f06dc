"""From a checkout to a stack in the person's account, by the SAM CLI: looked at first, built for the right processor, deployed.

Rule: what would stop a deployment is asked before anything is built, and before anything is made a person reads where it
will be and what. SAM shows the change set then, and asks.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import ClientError

from batchdrop.core.model.money import money
from batchdrop_cli.account import AwsAccount, explained
from batchdrop_cli.aws.cost_model import idle_lines, total
from batchdrop_cli.aws.layer import MACHINES, check_layer
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.local.environments import Report, prepare_tool
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse
from batchdrop_cli.stack import NO_STACK

DEFAULT_ARCHITECTURE: Final = "arm64"
# The template's parameters.
ARCHITECTURE: Final = "Architecture"
KMS_KEY, FORMER_KMS_KEYS = "KmsKeyArn", "FormerKmsKeyArns"
PLAN_LINES_MAX: Final = 10

# A stack that is begun by a change set which no person agreed to has nothing in it yet.
EMPTY = "REVIEW_IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for. *parameters* are the template's, as `Name=Value`; *options* are sam's own.

    *builds* is the folder of what is built, a folder below it for each processor: SAM's cache does not know that the
    variable ARCHITECTURE changes what the layer's Makefile makes.
    """

    stack: str
    architecture: str | None = None
    parameters: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    builds: Path = REPOSITORY / ".aws-sam"
    repository: Path = REPOSITORY


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: the wish, the account, what is there of the stack now, and the processor."""

    wish: Wish
    account: AwsAccount
    status: str | None  # the stack's, None where there is none
    architecture: str
    architecture_source: str

    @property
    def build(self) -> Path:
        """Where this processor's build and cache are."""
        return self.wish.builds / self.architecture

    @property
    def overrides(self) -> list[str]:
        """The template's parameters that are given; SAM keeps the stack's for all others."""
        others = [given for given in self.wish.parameters if not given.startswith(f"{ARCHITECTURE}=")]
        return [f"{ARCHITECTURE}={self.architecture}", *others]


def make_plan(wish: Wish, account: AwsAccount) -> Plan:
    """Return what would be done. Raises CommandFailed for a stack that cannot be deployed to, MisusedCommand for a wrong wish."""
    asked = asked_architecture(wish)
    refuse_second_names(wish.options)
    status, parameters = read_stack(wish.stack, account.region)
    if status is None:
        return Plan(wish, account, None, asked or DEFAULT_ARCHITECTURE, "as asked" if asked else "the default")
    before = parameters.get(ARCHITECTURE)
    if before is None:
        raise CommandFailed(
            f"The stack {wish.stack} in {account.region} isn't a Batchdrop stack. Choose another name: make deploy STACK=name"
        )
    refuse_forgotten_key(wish, parameters)
    if asked is None or asked == before:
        return Plan(wish, account, status, before, "as the stack has it")
    return Plan(wish, account, status, asked, f"as asked; the stack has {before} now")


def asked_architecture(wish: Wish) -> str | None:
    """Return the processor that is asked for, by the option or as a parameter. Raises MisusedCommand for two or another one."""
    names = [given.partition("=") for given in wish.parameters]
    unnamed = [given for given, (name, sign, _) in zip(wish.parameters, names, strict=True) if not name or not sign]
    if unnamed:
        raise MisusedCommand(f"A parameter is Name=Value, and this is none: {unnamed[0]}")
    asked = {value for name, _, value in names if name == ARCHITECTURE} | ({wish.architecture} - {None, ""})
    if len(asked) > 1:
        raise MisusedCommand(f"Two processors are asked for: {', '.join(sorted(filter(None, asked)))}. Name one.")
    found = next(iter(asked), None)
    if found is not None and found not in MACHINES:
        raise MisusedCommand(f"ARCHITECTURE is {' or '.join(MACHINES)}, not {found}.")
    return found


def refuse_forgotten_key(wish: Wish, before: Mapping[str, str]) -> None:
    """Raise MisusedCommand where the stack's KMS key is replaced or removed and not named as a former one.

    What it encrypted would be unreadable to the functions from then on, and every job under way would stop.
    """
    given = dict(parameter.split("=", 1) for parameter in wish.parameters)
    key = before.get(KMS_KEY, "")
    if not key or given.get(KMS_KEY, key) == key:
        return
    former = given.get(FORMER_KMS_KEYS, before.get(FORMER_KMS_KEYS, ""))
    if key not in former.split(","):
        named = ",".join(filter(None, [former, key]))
        raise MisusedCommand(
            f"The stack {wish.stack} encrypted with {key} until now, and could not read that any more. Add to PARAMETERS:"
            f" {FORMER_KMS_KEYS}={named}"
        )


# What would lead sam elsewhere than where was looked, and what says the same here.
ELSEWHERE: Final = {
    "--profile": "AWS_PROFILE in the environment",
    "--region": "AWS_REGION in the environment",
    "--stack-name": "STACK",
    "--parameter-overrides": "PARAMETERS",
    "--template-file": "nothing: the template is this checkout's",
}


def refuse_second_names(options: tuple[str, ...]) -> None:
    """Raise MisusedCommand where *options* of sam would deploy something else, or elsewhere, than what is shown."""
    for option, instead in ELSEWHERE.items():
        if any(given == option or given.startswith(f"{option}=") for given in options):
            raise MisusedCommand(f"SAM_OPTIONS takes no {option}. Use {instead}.")


def read_stack(name: str, region: str) -> tuple[str | None, Mapping[str, str]]:
    """Return a stack's status and parameters, None where there is no stack. Raises CommandFailed where it cannot be changed."""
    try:
        (found,) = boto3.client("cloudformation", region_name=region).describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == NO_STACK:
            return None, {}
        raise CommandFailed(explained(error) or f"The stack {name} may not be looked at: {error}") from error
    status = found["StackStatus"]
    if status == EMPTY:
        return None, {}
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        raise CommandFailed(
            f"The stack {name} in {region} is in {status}, and can only be deleted: its first deployment failed, or its"
            f" deletion did. Delete it: aws cloudformation delete-stack --region {region} --stack-name {name}"
        )
    if status.endswith("_IN_PROGRESS"):
        raise CommandFailed(f"The stack {name} in {region} is being changed ({status}). Wait until that has ended.")
    return status, {given["ParameterKey"]: given.get("ParameterValue", "") for given in found.get("Parameters", [])}


def plan_lines(plan: Plan) -> list[str]:
    """Return what a person reads before anything is built, in ten lines at most."""
    account = plan.account
    counts = resource_counts(plan.wish.repository)
    idle = total(idle_lines())
    given = [shlex.quote(parameter) for parameter in plan.wish.parameters]
    others = "the stack's" if plan.status else "the template's defaults"
    return [
        f"Account     {account.id}, as {account.caller}",
        f"Region      {account.region} (from {account.region_source})",
        f"Stack       {plan.wish.stack}: {f'changed ({plan.status})' if plan.status else 'new'}",
        f"Processor   {plan.architecture}, {plan.architecture_source}",
        f"Parameters  {' '.join(given) or 'none given'}; for all others {others}",
        f"Kept        {counts['bucket']} S3 buckets and {counts['table']} DynamoDB table, also when the stack is deleted",
        f"Made        {counts['function']} functions with a layer, roles and log groups, a schedule, {counts['queue']} queues",
        f"            {counts['topic']} topics, {counts['alarm']} alarms, a dashboard, a secret (empty until `key set`)",
        f"Costs       about {money(idle)} a month while nothing is dropped, at list prices (batchdrop cost-model 0)",
        "Next        It is built here; SAM then shows each change and asks. Its own bucket for code is made once a region.",
    ]


COUNTED: Final = {
    "AWS::S3::Bucket": "bucket",
    "AWS::DynamoDB::Table": "table",
    "AWS::Serverless::Function": "function",
    "AWS::SQS::Queue": "queue",
    "AWS::SNS::Topic": "topic",
    "AWS::CloudWatch::Alarm": "alarm",
}


def resource_counts(repository: Path) -> Counter[str]:
    """Return how many resources of each kind the template of *repository* has."""
    resources = parse((repository / "template.yaml").read_text())["Resources"].values()
    return Counter(COUNTED.get(resource["Type"], resource["Type"]) for resource in resources)


def carry_out(plan: Plan, report: Report) -> None:
    """Build for the plan's processor, look at what was built, and deploy. Raises CommandFailed where one of them fails."""
    sam = prepare_tool("sam", plan.wish.repository / ".local", plan.wish.repository / "requirements", report) / "sam"
    for leftover in (plan.wish.repository / "functions").rglob("__pycache__"):
        shutil.rmtree(leftover)  # it would be uploaded
    build, region = plan.build, plan.account.region
    run_sam(
        plan, [str(sam), "build", "--cached", "--build-dir", str(build / "build"), "--cache-dir", str(build / "cache"),
               "--parameter-overrides", f"{ARCHITECTURE}={plan.architecture}"],
    )  # fmt: skip
    check_layer(build / "build" / "Layer", plan.architecture)
    run_sam(
        plan, [str(sam), "deploy", "--config-file", str(plan.wish.repository / "samconfig.toml"),
               "--template-file", str(build / "build" / "template.yaml"), "--region", region,
               "--stack-name", plan.wish.stack, "--parameter-overrides", *plan.overrides, *plan.wish.options],
    )  # fmt: skip


def run_sam(plan: Plan, command: list[str]) -> None:
    """Run one of sam's commands where the person sees it and can answer. Raises CommandFailed with its name if it fails."""
    region = plan.account.region
    environment = os.environ | {
        "ARCHITECTURE": plan.architecture,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "PYTHON": sys.executable,
        "SAM_CLI_TELEMETRY": "0",
    }
    done = subprocess.run(command, cwd=plan.wish.repository, env=environment, check=False)  # noqa: S603  # ours
    if done.returncode:
        raise CommandFailed(f"`sam {command[1]}` failed; what it said is above.")
