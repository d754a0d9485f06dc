"""Deploys the template to the embedded AWS, the functions on the real Lambda runtime client.

Rule: a function's package holds its own folder alone. The layer and the runtime client are found by path, as Lambda
finds them in /opt and /var/runtime: packed into each function they would cost 2 s a start and 3 s a cold invocation.
"""

import io
import json
import shlex
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from batchdrop_cli.local.description import STACK_NAME
from batchdrop_cli.local.emulator import Address
from batchdrop_cli.local.environments import Environments
from batchdrop_cli.local.template import FUNCTION, Template, code_locations, localized, parse

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

RUNTIME = Path(__file__).with_name("runtime.py")

ARTIFACTS_BUCKET = "batchdrop-artifacts"
DEPLOY_TIMEOUT_SECONDS = 60.0  # it takes 2 s at most
LOOK_SECONDS = 0.03  # between two looks at the stack

# Zip entries need a time; a fixed one makes equal folders equal bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
EXECUTABLE = 0o755 << 16


class DeploymentFailed(Exception):
    """The emulator rolled the stack back. A person who changed the template should read which resource failed, and why."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where on this machine the functions' code comes from."""

    repository: Path
    environments: Environments
    logs: Path


def deploy(
    address: Address, sources: Sources, parameters: Mapping[str, str], stack: str = STACK_NAME
) -> dict[str, str]:
    """Deploy the template of *sources* as *stack* and return the stack's outputs. Raises DeploymentFailed."""
    template = parse((sources.repository / "template.yaml").read_text())
    body = json.dumps(localized(template, upload(address, sources, template)))
    cloudformation = boto3.client("cloudformation", **address.client_options())
    given: list[ParameterTypeDef] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
    ]
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=body,
        Parameters=given,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    return outputs_when_complete(cloudformation, stack)


def upload(address: Address, sources: Sources, template: Template) -> dict[str, str]:
    """Put a package for each function and layer into the artifacts bucket; return their addresses by the resource's name."""
    storage = boto3.client("s3", **address.client_options())
    storage.create_bucket(Bucket=ARTIFACTS_BUCKET)
    addresses = {}
    for name, folder in code_locations(template).items():
        is_function = template["Resources"][name]["Type"] == FUNCTION
        package = function_package(name, folder, sources) if is_function else zipped({"python/by-path.txt": b"\n"})
        storage.put_object(Bucket=ARTIFACTS_BUCKET, Key=f"{name}.zip", Body=package)
        addresses[name] = f"s3://{ARTIFACTS_BUCKET}/{name}.zip"
    return addresses


def function_package(name: str, folder: str, sources: Sources) -> bytes:
    """Return the zip of one function: the files of its folder, and a bootstrap that runs it."""
    root = sources.repository / folder
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return zipped(files | {"bootstrap": bootstrap(sources, sources.logs / f"{name.lower()}.log").encode()})


def bootstrap(sources: Sources, log: Path) -> str:
    """Return the shell script that the emulator starts a function with.

    -S keeps this machine's site-packages out, so that what the layer lacks is missing here too; -P keeps out the folder
    of the script.
    """
    environments = sources.environments
    packages = (environments.layer, sources.repository / "layers/batchdrop", environments.runtime_client)
    path = ":".join(["$LAMBDA_TASK_ROOT", *(shlex.quote(str(package)) for package in packages)])
    command = shlex.join([sys.executable, "-S", "-P", str(RUNTIME), str(log)])
    return f"#!/bin/sh\nexport AWS_LAMBDA_LOG_FORMAT=JSON\nexport PYTHONPATH={path}\nexec {command}\n"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of *files*, executable all of them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.external_attr = EXECUTABLE
            archive.writestr(entry, content)
    return buffer.getvalue()


def outputs_when_complete(cloudformation: "CloudFormationClient", name: str) -> dict[str, str]:
    """Wait until the stack called *name* is complete; return its outputs. Raises DeploymentFailed."""
    deadline = time.monotonic() + DEPLOY_TIMEOUT_SECONDS
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS" or time.monotonic() > deadline:
            raise DeploymentFailed(
                f"{stack['StackStatus']}: {failures(cloudformation, name) or stack.get('StackStatusReason')}"
            )
        time.sleep(LOOK_SECONDS)


def failures(cloudformation: "CloudFormationClient", stack: str) -> str:
    """Return which resources of *stack* failed, and why."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return "; ".join(
        f"{event['LogicalResourceId']} ({event.get('ResourceStatusReason', 'no reason given')})"
        for event in events
        if event.get("ResourceStatus") == "CREATE_FAILED" and "LogicalResourceId" in event
    )
