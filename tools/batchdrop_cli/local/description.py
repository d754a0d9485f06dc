"""What another process must know to use a running local stack: the file `.local/stack.json`, and `aws.env` beside it.

Rule: the files exist while the stack runs, whole or not at all, and only the one who started it may read them.
"""

import json
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from batchdrop_cli.local.emulator import Address, ClientOptions, is_healthy
from batchdrop_cli.local.private import write_private

STACK_NAME = "batchdrop"  # CloudFormation's, at the embedded AWS


class NoStack(Exception):
    """No local stack runs. The person should start one: `batchdrop local`."""


@dataclass(frozen=True, slots=True)
class StackDescription:
    """A running stack: where its AWS and its provider answer, and the names of what was deployed."""

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str
    inbox_bucket: str
    results_bucket: str
    table: str
    topic_arn: str
    notifications_queue_url: str
    openai_base_url: str
    simulated: bool
    simulator_token: str  # of its control calls; empty where another provider answers
    secret_arn: str
    submissions_queue_url: str
    completions_queue_url: str
    submissions_dead_letter_queue_url: str
    completions_dead_letter_queue_url: str
    submit_function: str
    poll_function: str
    complete_function: str
    logs: str  # the folder of the logs, one file a function

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return what the file at *path* describes. Raises NoStack if there is none, or its stack does not answer any more."""
        try:
            described = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise NoStack(
                f"No local stack runs in {Path.cwd()}: there is no {path}. Go to the folder where one runs, or start one: "
                "batchdrop local"
            ) from None
        description = cls(**{field.name: described[field.name] for field in fields(cls)})
        if not is_healthy(description.address):
            raise NoStack(f"The local stack at {description.endpoint_url} does not answer. Start one: batchdrop local")
        return description

    def write(self, path: Path) -> None:
        """Write the file at *path*, and beside it what a shell needs; only their owner may read them, for they hold keys."""
        variables = "unset AWS_SESSION_TOKEN\n" + "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in self.environment().items()
        )
        write_private(keys_file_beside(path), variables)
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def address(self) -> Address:
        """Where the stack's AWS answers."""
        return Address(self.endpoint_url, self.region, self.access_key_id, self.secret_access_key)

    def client_options(self) -> ClientOptions:
        """Return the keyword arguments of a `boto3.client` for the stack's AWS."""
        return self.address.client_options()

    def environment(self) -> dict[str, str]:
        """Return the variables by which any S3 or AWS client finds the stack."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


def keys_file_beside(path: Path) -> Path:
    """Return where the variables of the stack that *path* describes lie, for any S3 client: a shell reads the file."""
    return path.with_name("aws.env")


def remove(path: Path) -> None:
    """Remove what `write` wrote at *path*. May be repeated."""
    path.unlink(missing_ok=True)
    keys_file_beside(path).unlink(missing_ok=True)


def is_running(path: Path) -> bool:
    """Say whether the stack that the file at *path* describes answers."""
    try:
        StackDescription.from_file(path)
    except (NoStack, KeyError, json.JSONDecodeError):
        return False
    return True
