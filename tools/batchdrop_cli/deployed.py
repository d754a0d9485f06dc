"""A stack that was deployed: what it is called, and the names of its parts from CloudFormation's outputs.

Rule: the outputs are read each time they are needed, by one DescribeStacks, and kept nowhere. The account is the one that
every AWS client finds in the person's environment: no key is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from batchdrop_cli.account import person_options
from batchdrop_cli.connection import StackPlace, described
from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.deployment import STACK_NAME
from batchdrop_cli.local.emulator import ClientOptions

# What CloudFormation says of a stack that is not there
# (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html, 2026-11-22).
NO_STACK = "ValidationError"


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack by its CloudFormation name, in the account and region of the person's environment."""

    name: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where a stack runs: what a boto3 client needs for its AWS, and the names of what was deployed there."""

    options: ClientOptions
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    is_local: bool

    def named(self, output: str) -> str:
        """Return one output. Raises CommandFailed where the stack has none of that name."""
        if output not in self.outputs:
            raise CommandFailed(f"The stack has no output {output}: it is no Batchdrop, or one of another release.")
        return self.outputs[output]


def site_of(stack: StackPlace) -> Site:
    """Return where *stack* runs. Raises NoStack, and CommandFailed where there is none of that name."""
    if isinstance(stack, Path):
        return read_site(described(stack).client_options(), STACK_NAME, is_local=True)
    return read_site(person_options(), stack.name, is_local=False)


def read_site(options: ClientOptions, name: str, *, is_local: bool) -> Site:
    """Return the site of the stack called *name*. Raises CommandFailed where there is none."""
    cloudformation = boto3.client("cloudformation", **options)
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != NO_STACK:
            raise
        region = cloudformation.meta.region_name
        raise CommandFailed(f"There is no stack {name} in {region}. Deploy it: make deploy") from error
    return Site(
        options,
        {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
        {given["ParameterKey"]: given.get("ParameterValue", "") for given in found.get("Parameters", [])},
        is_local=is_local,
    )
