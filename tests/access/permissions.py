"""The permissions of a policy, each for itself, and copies of roles that lack one of them.

Rule: a deployed role is left alone. A copy is trimmed instead, so that no test meets a role that another one trimmed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3

from batchdrop_cli.local.emulator import Address, ClientOptions

type Statement = dict[str, Any]

LOG_STREAMS = ":*"


@dataclass(frozen=True, slots=True)
class Permission:
    """The smallest part of a statement: one action on one resource, with one prefix where a listing is limited to some."""

    action: str
    resource: str  # as the template names it: `Table.Arn`, `${Inbox.Arn}/inbox/*`
    prefix: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.action, self.resource, self.prefix]))


def listed(value: Any) -> list[Any]:  # noqa: ANN401  # a policy's
    """Return *value* as the list that it stands for."""
    return value if isinstance(value, list) else [value]


def split(statement: Statement) -> Iterator[Statement]:
    """Yield statements that allow one action on one resource with one prefix each, and together what *statement* allows."""
    for action in listed(statement["Action"]):
        for resource in listed(statement["Resource"]):
            for prefix in prefixes(statement):
                condition = {"Condition": {"StringLike": {"s3:prefix": prefix}}} if prefix else {}
                yield {**statement, "Action": action, "Resource": resource, **condition}


def prefixes(statement: Statement) -> list[str]:
    """Return the prefixes that a listing is limited to; an empty one where there is no limit."""
    limits = statement.get("Condition", {}).get("StringLike", {})
    return listed(limits.get("s3:prefix", ""))


def permission(single: Statement) -> Permission:
    """Return what a statement of the template allows that was split."""
    resource = single["Resource"]
    resource = resource["Fn::If"][1] if "Fn::If" in resource else resource  # of a choice, the stack's own
    name = resource.get("Fn::Sub") or resource.get("Ref") or ".".join(resource["Fn::GetAtt"])
    return Permission(single["Action"], name, prefixes(single)[0])


def without(statements: Sequence[Statement], index: int, part: int) -> list[Statement]:
    """Return *statements* but for one permission: *part* of the one at *index*, as `split` counts them."""
    kept = [single for number, single in enumerate(split(statements[index])) if number != part]
    return [*statements[:index], *kept, *statements[index + 1 :]]


class Copy:
    """A role of the test's own with the permissions of another, and the keys of a session under it."""

    def __init__(self, address: Address, name: str) -> None:
        self._iam = boto3.client("iam", **address.client_options())
        self._name = name
        sts = boto3.client("sts", **address.client_options())
        account = sts.get_caller_identity()["Account"]
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
        role = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document([trust]))["Role"]
        keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
        self.environment = {
            "AWS_ENDPOINT_URL": address.endpoint_url,
            "AWS_REGION": address.region,
            "AWS_DEFAULT_REGION": address.region,
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }

    def allow(self, statements: Sequence[Statement]) -> None:
        """Allow what *statements* do, and nothing else; holds for the next call of the session."""
        self._iam.put_role_policy(RoleName=self._name, PolicyName="all", PolicyDocument=_document(statements))

    def attach(self, policy_arn: str) -> None:
        """Allow what a managed policy does."""
        self._iam.attach_role_policy(RoleName=self._name, PolicyArn=policy_arn)


def deployed_statements(options: ClientOptions, stack: str, role: str) -> list[Statement]:
    """Return the statements of the role with the logical id *role*, as CloudFormation deployed them.

    But for a log group's address: AWS's ends in `:*` and counts for the group and its streams, the emulator's has no end.
    """
    iam = boto3.client("iam", **options)
    detail = boto3.client("cloudformation", **options).describe_stack_resource(StackName=stack, LogicalResourceId=role)
    name = detail["StackResourceDetail"]["PhysicalResourceId"]
    statements: list[Statement] = []
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        # boto3 decodes the document, which its stubs do not say.
        document: Any = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        statements += document["Statement"]
    return [
        {**statement, "Resource": statement["Resource"].removesuffix(LOG_STREAMS)}
        if str(statement["Resource"]).endswith(LOG_STREAMS)
        else statement
        for statement in statements
    ]


def _document(statements: Sequence[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
