"""`make bench` knows every benchmark, and its page has a place for each."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


def measuring() -> set[str]:
    """Return the names of the modules that have a function `measure`."""
    return {
        path.stem
        for path in FOLDER.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "measure" for node in ast.parse(path.read_text()).body
        )
    }


def called() -> set[str]:
    """Return the names that `make bench` runs."""
    tree = ast.parse((FOLDER / "bench.py").read_text())
    (calls,) = [
        node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CALLS"
    ]
    return set(ast.literal_eval(ast.unparse(calls))) if calls else set()


def test_make_bench_runs_every_benchmark() -> None:
    """A figure that nobody measures again goes stale."""
    assert called() == measuring() != set()


def test_the_page_has_a_section_for_each() -> None:
    """Between marks, so that a run replaces it; what else is written there stays."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()

    sections = re.findall(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", page, re.DOTALL)

    assert sorted(sections) == sorted(called())
