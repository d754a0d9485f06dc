"""A stack that was deployed: what it is called, and the names of its parts from CloudFormation's outputs.

Rule: the outputs are read each time they are needed, by one DescribeStacks, and kept nowhere. The account is the one that
every AWS client finds in the person's environment: no key is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import boto3
from botocore.exceptions import ClientError

from batchdrop_cli.failures import CommandFailed
from batchdrop_cli.local.emulator import ClientOptions

# What CloudFormation says of a stack that is not there
# (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html, 2026-11-22).
NO_STACK = "ValidationError"


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack by its CloudFormation name, in the account and region of the person's environment."""

    name: str


def outputs_of(options: ClientOptions, name: str) -> Mapping[str, str]:
    """Return the outputs of the stack called *name*. Raises CommandFailed where there is none."""
    cloudformation = boto3.client("cloudformation", **options)
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != NO_STACK:
            raise
        region = cloudformation.meta.region_name
        raise CommandFailed(f"There is no stack {name} in {region}. Deploy it: make deploy") from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def named(outputs: Mapping[str, str], name: str) -> str:
    """Return one output. Raises CommandFailed where the stack has none of that name."""
    if name not in outputs:
        raise CommandFailed(f"The stack has no output {name}: it is no Batchdrop, or one of another release.")
    return outputs[name]
