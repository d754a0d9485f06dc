"""The template as it is written, and as CloudFormation receives it: read and translated once for each file of tests."""

from typing import Any

import pytest

from audit import translated
from batchdrop_cli.local.stack import REPOSITORY
from batchdrop_cli.local.template import Template, parse


@pytest.fixture(scope="module")
def template() -> Template:
    """The template as it is written."""
    return parse((REPOSITORY / "template.yaml").read_text())


@pytest.fixture(scope="module")
def resources(template: Template) -> dict[str, dict[str, Any]]:
    """The resources that CloudFormation receives, after the SAM transform."""
    found: dict[str, dict[str, Any]] = translated(template)["Resources"]
    return found
