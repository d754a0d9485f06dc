"""The command `batchdrop`.

Rule: what fails in an expected way ends in a line or two on standard error and an exit code: 1 where it could not be done or
not everything succeeded, 2 where it was asked wrongly.
"""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import click

from batchdrop.core.model.errors import UploadRejected
from batchdrop_cli.commands.adopt import adopt
from batchdrop_cli.commands.check import check
from batchdrop_cli.commands.control import approve, cancel, forget, retry
from batchdrop_cli.commands.cost_model import cost_model
from batchdrop_cli.commands.costs import costs
from batchdrop_cli.commands.demo import demo
from batchdrop_cli.commands.deploy import deploy
from batchdrop_cli.commands.doctor import doctor
from batchdrop_cli.commands.drop import drop
from batchdrop_cli.commands.key import key
from batchdrop_cli.commands.local import local
from batchdrop_cli.commands.restore import restore
from batchdrop_cli.commands.results import results
from batchdrop_cli.commands.status import status
from batchdrop_cli.commands.tasks import tasks
from batchdrop_cli.commands.verify_aws import verify_aws
from batchdrop_cli.commands.verify_provider import verify_provider
from batchdrop_cli.commands.wait import wait
from batchdrop_cli.failures import CommandFailed, MisusedCommand
from batchdrop_cli.local.description import NoStack
from batchdrop_cli.views.terminal import disarmed


class ExpectedFailures(click.Group):
    """A group whose commands end in a message, not in a traceback, for whatever is not a defect of ours.

    Whatever it says of what went wrong is text: names of files, words of a server and logs command no terminal.
    """

    def main(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # what click takes and returns
        """Run the command; even what a defect of ours has to say is disarmed."""
        sys.excepthook = _show_defect
        return super().main(*arguments, **named)

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:  # noqa: ANN401  # as above
        """Read the options."""
        with _disarmed_messages():
            return super().make_context(*arguments, **named)

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401  # as above
        """Run the command; translate what it raises."""
        with _disarmed_messages():
            try:
                return super().invoke(context)
            except (click.ClickException, click.Abort, click.exceptions.Exit):
                raise
            except MisusedCommand as error:
                raise click.UsageError(str(error)) from error
            except (CommandFailed, NoStack) as error:
                raise click.ClickException(str(error)) from error
            except UploadRejected as error:
                raise click.ClickException(error.message) from error
            except Exception as error:
                _translate(error)
                raise


@contextmanager
def _disarmed_messages() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = disarmed(error.message)  # type: ignore[misc]  # click shows no other
        raise


def _show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(disarmed("".join(traceback.format_exception(kind, error, trace))))


def _translate(error: Exception) -> None:
    """Raise what the stack and its AWS raise as a message; return where *error* is none of it."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # 0.2 s, needed only when something failed
    from obstore.exceptions import BaseError  # noqa: PLC0415  # as above

    from batchdrop_cli.account import explained  # noqa: PLC0415  # as above
    from batchdrop_cli.local.deployment import DeploymentFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.environments import InstallationFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.processes import ChildFailed  # noqa: PLC0415  # as above
    from batchdrop_cli.local.stack import StackRuns  # noqa: PLC0415  # as above

    if isinstance(error, (DeploymentFailed, InstallationFailed, ChildFailed, StackRuns)):
        raise click.ClickException(str(error)) from error
    if isinstance(error, (BotoCoreError, ClientError)) and (words := explained(error)):
        raise click.ClickException(words) from error
    if isinstance(error, (BotoCoreError, ClientError, BaseError)):
        raise click.ClickException(f"The stack did not do it: {error}") from error
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        where = f" for {error.filename}" if error.filename else ""
        raise click.ClickException(
            f"No space is left on the disk{where}. Free some, and run the command again."
        ) from error
    if isinstance(error, OSError) and error.filename is not None:
        raise click.FileError(str(error.filename), error.strerror) from error


@click.group(cls=ExpectedFailures, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchdrop")
@click.option(
    "--stack", metavar="NAME", envvar="BATCHDROP_STACK", show_envvar=True, expose_value=True,
    help="The deployed stack that the command is for, in the account of your AWS environment. Without: the local one.",
)  # fmt: skip
def main(*, stack: str | None) -> None:  # `choose_stack` takes it from the context
    """Drop files into a bucket, receive notifications: OpenAI batches, on AWS or on this machine."""


for command in (
    adopt,
    approve,
    cancel,
    check,
    cost_model,
    costs,
    demo,
    deploy,
    doctor,
    drop,
    forget,
    key,
    local,
    restore,
    results,
    retry,
    status,
    tasks,
    verify_aws,
    verify_provider,
    wait,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
