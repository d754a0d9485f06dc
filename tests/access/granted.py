"""What the template grants each function."""

from access.permissions import Permission, Statement, permission, split

from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import parse

TEMPLATE = parse((REPOSITORY / "template.yaml").read_text())
FUNCTIONS = ("Submit", "Poll", "Complete")


def statements_of(function: str) -> list[Statement]:
    """Return the statements of the function's role as the template has them."""
    (policy,) = TEMPLATE["Resources"][f"{function}Role"]["Properties"]["Policies"]
    return list(policy["PolicyDocument"]["Statement"])


def permissions_of(function: str) -> list[tuple[int, int, Permission]]:
    """Return every permission of the function: the number of its statement, its own number there, and what it is."""
    return [
        (index, part, permission(single))
        for index, statement in enumerate(statements_of(function))
        for part, single in enumerate(split(statement))
    ]
