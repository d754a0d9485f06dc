"""What holds for all tests.

Rule: a property fails for its values, never for how busy the machine is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_TESTS_LEAST = 100  # of a run whose times are worth showing


def seconds_by_suite(reports: list[pytest.TestReport]) -> Iterator[str]:
    """Yield a line for each suite (a folder of tests) of *reports*: its tests and their seconds, summed over all workers."""
    tests, seconds = Counter[str](), defaultdict[str, float](float)
    for report in reports:
        path = Path(report.nodeid.partition("::")[0])
        suite = path.parts[1] if path.parts[0] == "tests" else str(path.parent)
        tests[suite] += report.when == "call"
        seconds[suite] += report.duration
    for suite in sorted(tests):
        yield f"{suite:<12} {tests[suite]:>6,} tests {seconds[suite]:>7,.0f} s"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each suite took; silent for a few tests."""
    reports = [
        report for found in terminalreporter.stats.values() for report in found if isinstance(report, pytest.TestReport)
    ]
    if len({report.nodeid for report in reports}) >= _TESTS_LEAST:
        terminalreporter.section("time by suite, summed over workers")
        for line in seconds_by_suite(reports):
            terminalreporter.line(line)
