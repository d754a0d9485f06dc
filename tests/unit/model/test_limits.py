"""A limit that nothing reads bounds nothing."""

import ast
from dataclasses import fields
from pathlib import Path

from batchdrop.core.model import limits
from batchdrop.core.model.limits import Limits

PACKAGE = Path(__file__).parents[3] / "layers" / "batchdrop" / "batchdrop"


def elsewhere() -> list[ast.AST]:
    """Return all that the layer says outside the list of limits."""
    others = (path for path in PACKAGE.rglob("*.py") if path != Path(str(limits.__file__)))
    return [node for path in others for node in ast.walk(ast.parse(path.read_text()))]


def test_each_limit_of_a_deployment_is_read() -> None:
    """Else a setting could be changed, and nothing would follow."""
    attributes = (node for node in elsewhere() if isinstance(node, ast.Attribute))
    read = {node.attr for node in attributes if ast.unparse(node.value).endswith("limits")}

    assert {limit.name for limit in fields(Limits)} - read == set()


def test_each_constant_is_read() -> None:
    """By another module or by a limit."""
    own = ast.walk(ast.parse(Path(str(limits.__file__)).read_text()))
    constants = {name for name in vars(limits) if name.isupper()}
    read = {node.id for node in own if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    read |= {alias.name for node in elsewhere() if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert constants - read == set()
