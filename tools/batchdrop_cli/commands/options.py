"""Options that several commands have."""

from pathlib import Path

import click
from click.core import ParameterSource

from batchdrop_cli.stack import STACK_FILE, DeployedStack, StackPlace


def choose_stack(context: click.Context, parameter: click.Parameter, stack_file: Path) -> StackPlace:
    """Return the stack that is meant: a named one before the local one, and one that was typed before one of a variable."""
    root = context.find_root()
    name: str | None = root.params.get("stack")
    if not name:
        return stack_file
    is_typed = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if is_typed and root.get_parameter_source("stack") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--stack names a deployed stack, --stack-file a local one: give one of them.")
    if is_typed:
        return stack_file
    return DeployedStack(name)


builds_option = click.option(
    "--builds", type=click.Path(path_type=Path), default=Path(".aws-sam"), show_default=True, help="Where it is built.",
)  # fmt: skip
stack_option = click.option(
    "--stack-file", "stack", type=click.Path(path_type=Path), default=STACK_FILE, show_default=True, callback=choose_stack,
    help="Describes the running local stack.",
)  # fmt: skip
