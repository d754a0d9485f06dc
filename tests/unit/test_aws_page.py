"""docs/aws.md says which rules of AWS were looked up, where they are kept and what fails without them; all of that exists."""

import ast
import re
from datetime import date

import pytest

from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.verify.account_trial import AFTER, BEFORE

PAGE = (REPOSITORY / "docs" / "aws.md").read_text()
RULES = [line for line in PAGE.partition("## What only")[0].splitlines() if line.startswith("| ") and "](http" in line]


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[2:42])
def test_each_rule_has_its_source_its_date_and_its_test(row: str) -> None:
    """Nobody has to believe a rule: who said it, and when it was read, stands beside it."""
    rule, source, follows, test = (cell.strip() for cell in row.strip("|").split(" | "))

    assert rule.endswith((".", '."'))
    (day,) = re.findall(r"\]\(https://[^)]+\), (\d{4}-\d{2}-\d{2})$", source)
    assert date(2026, 9, 1) <= date.fromisoformat(day)
    assert follows
    assert re.fullmatch(r"`tests/\S+\.py::test_\w+`", test)


def test_there_are_rules() -> None:
    """The table is read as it is written."""
    assert len(RULES) > 15


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/\S+\.py::test_\w+)`", PAGE))))
def test_tests_that_are_named_exist(named: str) -> None:
    """What is said to fail without a rule is a test."""
    path, _, name = named.partition("::")
    functions = {
        node.name for node in ast.walk(ast.parse((REPOSITORY / path).read_text())) if isinstance(node, ast.FunctionDef)
    }

    assert name in functions


def test_what_verify_aws_looks_at_is_listed() -> None:
    """An operator reads what the command looks at before it spends anything, in its own words and order."""
    table = PAGE.partition("| it looks whether |")[2].partition("### By hand")[0]

    assert re.findall(r"(?m)^\| ([a-zA-Z][^|]+?) \|", table) == [*BEFORE, *AFTER]


def test_what_was_not_done_is_said() -> None:
    """Nobody takes the page for a report from AWS, and everything left to do is a box to tick."""
    boxes = re.findall(r"(?m)^- \[ \] .+$", PAGE)

    assert "Batchdrop has never run on AWS." in PAGE
    assert "**It has not been run against AWS yet.**" in PAGE
    assert len(boxes) > 10
