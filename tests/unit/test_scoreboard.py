"""The scoreboard, and what the chaos run brings to it."""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
from chaos.drops import CANARY, drops_of
from chaos.evidence import Evidence
from chaos.gathering import invocations_in
from chaos.judge import Verdict
from chaos.killer import Pace, pace_in, processes_in
from chaos.report import Asked, Report
from chaos.shortened import SETTINGS
from scoreboard import PAGE, SECTIONS, NoSection, composed, table

from batchdrop.core.model.limits import Limits
from batchdrop.edge.settings import read_settings
from batchdrop_cli.local.deployment import RUNTIME

START = '{"type": "platform.start", "record": {"requestId": "%s", "processId": 1}}\n'
REPORT = '{"type": "platform.report", "record": {"requestId": "%s", "processId": 1, "metrics": {}}}\n'


@pytest.mark.parametrize("section", SECTIONS)
def test_a_command_writes_its_own_section_alone(section: str) -> None:
    """The page has the section, and writing it anew leaves everything else as it was."""
    page = PAGE.read_text()

    written = composed(page, section, "new figures")

    assert "new figures" in written
    assert composed(written, section, "x") == composed(page, section, "x")
    for other in set(SECTIONS) - {section}:
        assert composed(written, other, "x").count("new figures") == 1


def test_a_page_without_the_section_is_refused() -> None:
    """Nothing is written where nobody would look for it."""
    with pytest.raises(NoSection):
        composed("# Scoreboard\n", "chaos", "figures")


def test_a_table_is_markdown() -> None:
    """Whole numbers are readable, everything else stands as it is."""
    assert table(("what", "how many"), [("items", 20_000), ("mutants", "28 of 28")]) == (
        "| what | how many |\n|---|---|\n| items | 20,000 |\n| mutants | 28 of 28 |"
    )


@pytest.mark.parametrize("items", [60, 2_000])
def test_drops_are_those_of_the_seed(items: int) -> None:
    """As many records as asked for, the same bytes for the same seed, and each request known before it is sent."""
    drops = drops_of(items, Random(7))  # noqa: S311  # replayable on purpose

    assert drops == drops_of(items, Random(7))  # noqa: S311  # replayable on purpose
    assert drops != drops_of(items, Random(8))  # noqa: S311  # replayable on purpose
    assert sum(drop.items for drop in drops) == items
    digests = [digest for drop in drops for digest in drop.digests if digest]
    assert len(set(digests)) == len(digests) >= items * 0.98
    assert all(CANARY.encode() in drop.content for drop in drops if not drop.is_rejected)
    assert sum(drop.is_rejected for drop in drops) == 2


def test_only_functions_of_this_stack_are_killed() -> None:
    """Another stack's functions, the emulator and an editor that shows the runtime are left alone."""
    logs = Path("/stack/logs")
    listing = (
        f"  10 /usr/bin/python3 -S -P {RUNTIME} {logs}/poll.log\n"
        f"  11 /usr/bin/python3 -S -P {RUNTIME} /other/logs/poll.log\n"
        f"  12 /usr/bin/python3 -P /emulator/launcher.py\n"
        f"  13 /usr/bin/vi {RUNTIME}\n"
        f"  14 /usr/bin/python3 -S -P {RUNTIME} {logs}/complete.log\n"
    )

    assert list(processes_in(listing, logs)) == [(10, "poll"), (14, "complete")]


def test_kills_become_rarer_while_nothing_moves() -> None:
    """What was begun and does not end slows the kills down; a function that has nothing to do does not."""
    assert Pace(4.0, ended_at=100.0, is_begun_since=True).seconds(now=110.0) == 4.0
    assert Pace(4.0, ended_at=100.0, is_begun_since=True).seconds(now=700.0) > 100
    assert Pace(4.0, ended_at=100.0, is_begun_since=False).seconds(now=700.0) == 4.0


def test_the_pace_is_read_from_the_log(tmp_path: Path) -> None:
    """The longest that ended counts; a line that a kill cut off is passed over."""
    log = tmp_path / "poll.log"
    line = '{"time": "2026-11-22T22:00:%02dZ", "type": "platform.report", "record": {"metrics": {"durationMs": %d}}}\n'
    log.write_text(START % "a" + line % (1, 1500) + START % "b" + line % (5, 900))

    ended = pace_in(log)
    log.write_text(log.read_text() + START % "c" + (line % (9, 99))[:60])
    begun = pace_in(log)

    assert (ended.longest_seconds, ended.is_begun_since) == (1.5, False)
    assert begun == replace(ended, is_begun_since=True)


def test_an_invocation_that_never_ended_has_died(tmp_path: Path) -> None:
    """A start without a report is an invocation whose process was killed; so is a report that was cut off."""
    (tmp_path / "submit.log").write_text(
        START % "a" + REPORT % "a" + START % "b" + "{}\n" + START % "c" + (REPORT % "c")[:30]
    )

    begun, died = invocations_in(tmp_path)

    assert begun == Counter(submit=3)
    assert +died == Counter(submit=2)


@pytest.mark.parametrize("violations", [(), ("row 1 was paid 2 times",)])
def test_the_report_says_whether_all_was_kept(violations: tuple[str, ...]) -> None:
    """One broken promise is enough, and it is told at the terminal and on the page."""
    report = Report(Asked(60, 5, 1), evidence=Evidence(()), verdicts=[Verdict("paid once", "1 request", violations)])

    assert report.is_kept == (not violations)
    assert "".join(violations) in "\n".join(report.lines())
    assert ("BROKEN" in report.section("today")) == bool(violations)


def test_a_run_that_judged_nothing_kept_nothing() -> None:
    """A run that was stopped on its way is no success."""
    assert not Report(Asked(60, 5, 1)).is_kept


def test_what_is_shortened_are_settings_of_the_deployment() -> None:
    """Each is known under its name and keeps the bounds that a function checks at its start, and none is longer than usual."""
    given = {name: str(value) for name, value in SETTINGS.items()}

    limits = read_settings(given).limits

    assert limits != Limits()
    assert all(getattr(limits, field.name) <= getattr(Limits(), field.name) for field in fields(Limits))
