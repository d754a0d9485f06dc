"""The chaos run: the real stack on this machine, a hostile provider, and functions that are killed the whole time.

Rule: bounded in time; what chance decides here comes from the seed, which is printed. The exit code says whether every promise
was kept.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import boto3
from chaos.drops import Drop, drops_of
from chaos.gathering import ask_simulator, changes_between, evidence_of, invocations_in, listing_of
from chaos.judge import judge
from chaos.killer import Killer, killing
from chaos.report import Asked, Report
from chaos.shortened import FUNCTION_TIMEOUT_SECONDS, PARAMETERS, SETTINGS, VISIBILITY_SECONDS, shorten
from chaos.stage import Stage, stage_of
from scoreboard import circumstances, write_section

from batchdrop_cli.local.stack import REPOSITORY, LocalSettings, LocalStack, ended_by_signals
from batchdrop_cli.local.ticker import ticking

STATE: Final = REPOSITORY / ".local" / "chaos"
# Beside the hostile profile: creates that arrive when nobody waits for them any more, and batches whose window ends half-way.
FAULTS: Final = ("accepted_late,value=90,rate=0.05", "expires,value=0.5,rate=0.05")
_WINDOW_SECONDS: Final = 60  # of a batch; none that goes on takes half of it
_TICK_SECONDS: Final = (3.0, 5.1)  # of two pollers, that meet at every phase of each other
_ITEMS_A_SECOND: Final = 150  # so the drops are spread out
_EVENT_AGAIN_SECONDS: Final = 30.0  # after a drop its event comes once more, in the mean
_REPORT_SECONDS: Final = 15.0
# Twice the longest wait there is: what a worker held when it was killed comes again, and once more after that.
_SETTLED_SECONDS_MAX: Final = 4.0 * VISIBILITY_SECONDS


def say(line: str) -> None:
    """Print *line* at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def chaos(asked: Asked, state: Path = STATE) -> Report:
    """Run the whole of it and return what came of it. *state* is the folder of the stack's logs."""
    report, random = Report(asked), Random(asked.seed)  # noqa: S311  # replayable on purpose
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    options = ("--profile", "hostile", "--seed", str(asked.seed), "--window-seconds", str(_WINDOW_SECONDS), *faults)
    settings = LocalSettings(
        state=state, simulator_options=options, tick_seconds=_TICK_SECONDS[0], parameters=dict(PARAMETERS)
    )
    with LocalStack(settings, say) as stack:
        stage = stage_of(stack.description)
        _settle(
            stage
        )  # the test messages of S3: a worker that is changed while it holds one keeps it for the long visibility
        shorten(stack.description)
        stage.put_tasks()
        killer = Killer(Path(stack.description.logs), random, _first_round_seconds(stage))
        with killing(killer), ticking(stack.description.address, stack.description.poll_function, _TICK_SECONDS[1]):
            _work(stage, random, killer, report)
        report.killed = killer.killed
        changed = () if report.left else _deliver_everything_again(stage, report)
        _judge(stage, report, changed)
    return report


def _first_round_seconds(stage: Stage) -> float:
    """Return how long a function takes here to start and do a round; with it the installation begins."""
    functions = boto3.client("lambda", **stage.stack.client_options())
    began = time.monotonic()
    reply = functions.invoke(FunctionName=stage.stack.poll_function, Payload=b"{}")
    if "FunctionError" in reply:
        raise RuntimeError(reply["Payload"].read().decode())
    return time.monotonic() - began


def _work(stage: Stage, random: Random, killer: Killer, report: Report) -> None:
    """Drop everything and wait until every job's end was told, or the time is over: then note what is left."""
    began = told_at = time.monotonic()
    deadline = began + report.asked.minutes * 60
    agenda = _agenda(drops_of(report.asked.items, random), random, began)
    while (agenda or stage.unended()) and time.monotonic() < deadline:
        now = time.monotonic()
        while agenda and agenda[0][0] <= now:
            _, is_first, drop = agenda.pop(0)
            stage.drop(drop) if is_first else stage.deliver_again(drop)
        stage.receive_notifications(seconds=1)
        if now - told_at > _REPORT_SECONDS:
            told_at = now
            under_way, killed = len(stage.unended()), killer.killed.total()
            say(f"{now - began:5.0f} s: {len(stage.dropped)} dropped, {under_way} under way, {killed} processes killed")
    report.seconds["dropped to the last notification"] = time.monotonic() - began
    unended = {dropped.job for dropped in stage.unended()}
    report.left = [f"{upload.key}: {stage.status(upload)}" for upload in stage.uploads if upload.job_id in unended]


def _agenda(drops: Sequence[Drop], random: Random, began: float) -> list[tuple[float, bool, Drop]]:
    """Return when each drop is made, and when its event comes once more."""
    items = sum(drop.items for drop in drops)
    agenda = []
    for drop in drops:
        moment = began + random.uniform(0, items / _ITEMS_A_SECOND)
        agenda += [(moment, True, drop), (moment + random.expovariate(1 / _EVENT_AGAIN_SECONDS), False, drop)]
    return sorted(agenda, key=lambda entry: entry[0])


def _deliver_everything_again(stage: Stage, report: Report) -> tuple[str, ...]:
    """Redrive the dead letters and deliver every event once more; return what that changed, which must be nothing."""
    began = time.monotonic()
    restless = _settle(stage)
    before, batches = listing_of(stage.connection), _batch_count(stage)
    report.redriven = stage.redrive()
    for dropped in stage.dropped:
        stage.deliver_again(dropped.drop)
    restless += _settle(stage)
    changed = [*restless, *changes_between(before, listing_of(stage.connection))]
    if _batch_count(stage) != batches:
        changed.append("a batch was made")
    report.events_again = stage.events_again
    report.seconds["every event once more"] = time.monotonic() - began
    return tuple(changed)


def _settle(stage: Stage) -> list[str]:
    """Wait until every job shows its end and no worker has anything to do; return what would not come to rest."""
    deadline = time.monotonic() + _SETTLED_SECONDS_MAX
    while (found := stage.restless()) and time.monotonic() < deadline:
        stage.receive_notifications(seconds=1)
    return found


def _batch_count(stage: Stage) -> int:
    return len(ask_simulator(stage.stack, "ledger?lines=false")["batches"])


def _judge(stage: Stage, report: Report, changed: tuple[str, ...]) -> None:
    began = time.monotonic()
    for switch in ask_simulator(stage.stack, "faults")["switches"]:
        report.struck[switch["fault"]] += switch["struck"]
    report.begun, report.died = invocations_in(Path(stage.stack.logs))
    report.evidence = replace(evidence_of(stage), changed=changed)
    report.verdicts = judge(report.evidence)
    report.seconds["judged"] = time.monotonic() - began


def _asked() -> tuple[Asked, Path | None]:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--items", type=int, default=20_000)
    asked.add_argument("--minutes", type=float, default=45.0, help="after which what is left over is told")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--scoreboard", type=Path, help="the page whose section is written")
    given = asked.parse_args()
    return Asked(given.items, given.minutes, given.seed), given.scoreboard


def main() -> int:
    """Run it and say what came of it; 0 only if every promise was kept."""
    asked, page = _asked()
    logging.disable(logging.WARNING)  # a tick that was killed is no news here
    say(f"items={asked.items} minutes={asked.minutes:g} seed={asked.seed}")
    say(f"Function time-outs {FUNCTION_TIMEOUT_SECONDS} s, visibility {VISIBILITY_SECONDS} s; shortened:")
    say("\n".join(f"    {name}={value}" for name, value in (PARAMETERS | SETTINGS).items()))
    report: Report | None = None
    began = time.monotonic()
    with ended_by_signals():
        report = chaos(asked)
        say("\n".join(report.lines()))
        if page is not None:
            write_section("chaos", report.section(circumstances(asked.command, time.monotonic() - began)), page)
    return 0 if report is not None and report.is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
