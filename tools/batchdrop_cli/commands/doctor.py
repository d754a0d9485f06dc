"""The command `doctor`: examines a stack, a line for each finding."""

import click

from batchdrop_cli.commands.options import stack_option
from batchdrop_cli.stack import StackPlace


@click.command()
@stack_option
def doctor(*, stack: StackPlace) -> None:
    """Examine the stack; each line says ok, or what to do.

    The exit code is 0 if all is well, else 1.
    """
    from batchdrop_cli.doctor.checks import examine  # noqa: PLC0415  # as above
    from batchdrop_cli.stack import site_of  # noqa: PLC0415  # boto3: 0.3 s for `--help`
    from batchdrop_cli.views.console import make_console  # noqa: PLC0415  # as above
    from batchdrop_cli.views.findings import show_finding  # noqa: PLC0415  # as above

    console, is_well = make_console(), True
    for finding in examine(site_of(stack)):
        show_finding(console, finding)
        is_well = is_well and not finding.advice
    if not is_well:
        click.get_current_context().exit(1)
