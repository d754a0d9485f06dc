"""The template, held against what AWS publishes of its resources."""

from pathlib import Path

from cfnlint.api import lint_file  # type: ignore[import-untyped]  # has no types

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


def test_template_is_clean_by_cfn_lint() -> None:
    """No resource has a property that AWS would refuse, in any region."""
    everywhere = {"regions": ["ALL_REGIONS"]}

    assert [str(match) for match in lint_file(TEMPLATE, config=everywhere)] == []
