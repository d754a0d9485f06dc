import re
from pathlib import Path

import pytest

from openai_batch_simulator import FAULTS
from openai_batch_simulator.account.dialects import DIALECTS
from openai_batch_simulator.control import PREFIX, calls
from openai_batch_simulator.faults.switches import WORDS
from openai_batch_simulator.profiles import PROFILES

TESTS = Path(__file__).parents[2]
README = (TESTS.parent / "tools/openai_batch_simulator/README.md").read_text(encoding="utf-8")


def rows_below(title: str) -> list[list[str]]:
    """Return the cells of each row of the table below a heading, without the table's own head."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def named_tests(cell: str) -> list[str]:
    """Return the tests that a cell names."""
    return re.findall(r"`(test_\w+)`", cell)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    """The source of every test of the simulator by its name, with what parametrizes it."""
    found: dict[str, str] = {}
    for path in TESTS.rglob("test_simulator_*.py"):
        for piece in re.split(r"\n\n\n(?=@|def |class )", path.read_text(encoding="utf-8")):
            name = re.search(r"^def (test_\w+)\(", piece, re.MULTILINE)
            if name:
                found[name[1]] = piece
    return found


def test_every_documented_behaviour_has_a_source_and_a_test(sources: dict[str, str]) -> None:
    """A row of the table of behaviours links to where it is documented and names tests that exist."""
    rows = [row for row in rows_below("What it does as documented") if not row[0].startswith("**")]

    for behaviour, source, shown_by in rows:
        assert "](https://" in source, behaviour
        assert named_tests(shown_by), behaviour
        assert set(named_tests(shown_by)) <= sources.keys(), behaviour
    assert len(rows) > 30


def test_every_fault_is_documented_as_it_is(sources: dict[str, str]) -> None:
    """The table of faults has every fault, its effect, default and call, and a test in which it strikes."""
    rows = rows_below("What can be broken")[-len(FAULTS) :]

    for fault, row in zip(FAULTS, rows, strict=True):
        kind = FAULTS[fault]
        value = "" if kind.value is None else f"{kind.value:g} {kind.measure}"
        operation = f"`{kind.operation}`" if kind.operation else ""
        words = ", ".join(f"`{word}`" for word in kind.words)
        assert [cell.strip() for cell in row[:5]] == [f"`{fault}`", kind.effect, value, operation, words]
        (test,) = named_tests(row[5])
        assert f'"{fault}"' in sources[test], f"{test} does not switch {fault} on"


def test_every_word_and_form_is_documented() -> None:
    """The table of words names every option of that kind, and every form that an answer or a failed batch can have."""
    rows = dict(row for row in rows_below("What can be broken") if len(row) == 2)
    forms = {form for kind in FAULTS.values() for form in kind.forms}

    assert {word for cell in rows for word in re.findall(r"`(\w+)`", cell)} == set(WORDS)
    assert forms <= set(re.findall(r"`(\w+)`", rows["`form`"]))


def test_every_dialect_is_documented(sources: dict[str, str]) -> None:
    """The table of other servers names each, with tests that exist."""
    rows = rows_below("As another server")

    assert [row[0].strip("` ") for row in rows] == list(DIALECTS)
    for row in rows:
        assert named_tests(row[3]), row[0]
        assert set(named_tests(row[3])) <= sources.keys(), row[0]


def test_every_control_call_is_documented() -> None:
    """The table of control calls is that of the code."""
    documented = {row[0].strip("`") for row in rows_below("While it runs")}

    assert documented == {f"{method} {PREFIX}{name}" for method, name in calls()}


def test_every_profile_is_documented() -> None:
    """The table of profiles is that of the code."""
    assert [row[0].strip("`") for row in rows_below("On loopback")] == list(PROFILES)


def test_example_runs() -> None:
    """The example in process does what it says."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - the README's own example
