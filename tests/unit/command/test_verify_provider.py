"""The probe of the provider's assumptions, held against the simulator: calm, and broken in each way that it looks for."""

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from batchdrop.core.model.dialects import DIALECTS
from batchdrop_cli.main import main
from batchdrop_cli.verify.assumptions import LOOKS, look_at_all
from batchdrop_cli.verify.provider_probe import Probe, open_probe
from batchdrop_cli.verify.request import CREATES_MAX
from batchdrop_cli.verify.seen import Seen, SeenVerdict
from openai_batch_simulator.account.behaviour import CALM, Behaviour
from openai_batch_simulator.account.dialects import DIALECTS as SIMULATED
from openai_batch_simulator.app import Simulator
from openai_batch_simulator.clock import VirtualClock
from openai_batch_simulator.http.transport import transport

BASE_URL = "http://simulator.invalid/v1"
FENCE = "a deleted file serves no batch; its delay and the list's are 15 minutes at most"


def simulated(behaviour: Behaviour = CALM, **faults: float | None) -> tuple[Simulator, Probe]:
    """Return a simulator under *faults*, and a probe of it on its clock."""
    simulator = Simulator(VirtualClock(), behaviour=behaviour)
    for fault, value in faults.items():
        simulator.faults.switch(fault, value=value)
    probe = open_probe(BASE_URL, "sk-probe", name="probe", patience_seconds=3_600.0, transport=transport(simulator))
    probe.watch = simulator.clock
    return simulator, probe


def breached(seen: list[Seen]) -> list[str]:
    """Return the assumptions that were seen not to hold."""
    return [one.assumption for one in seen if one.verdict is SeenVerdict.BREACHED]


@pytest.mark.parametrize("is_input_checked", [True, False])
def test_a_provider_as_documented_keeps_every_assumption(is_input_checked: bool) -> None:  # noqa: FBT001  # drawn by pytest
    """Whether a create of a deleted file is refused or fails in validation, all hold; a table has a row for each."""
    _, probe = simulated(Behaviour(input_checked_at_create=is_input_checked))

    seen = list(look_at_all(probe))

    assert [one.verdict for one in seen] == [SeenVerdict.HOLDS] * len(LOOKS), seen


@pytest.mark.parametrize(
    ("name", "assumptions"),
    [
        ("ogx", []),
        ("aibrix", []),
        ("azure", [FENCE]),
        ("groq", [FENCE]),
        ("together", ["metadata comes back as it was sent"]),
    ],
)
def test_another_kind_of_server_can_be_asked(name: str, assumptions: list[str]) -> None:
    """In its own dialect: the simulator plays a fence that nobody documents as one that does not hold."""
    simulator = Simulator(VirtualClock(), behaviour=replace(CALM, dialect=SIMULATED[name]))
    probe = open_probe(
        BASE_URL, "sk-probe", name="probe", patience_seconds=3_600.0, dialect=DIALECTS[name],
        transport=transport(simulator),
    )  # fmt: skip
    probe.watch = simulator.clock

    seen = list(look_at_all(probe))

    assert set(assumptions) <= set(breached(seen))
    if not assumptions:
        assert not breached(seen)


BREACHES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"deletion_ignored": None}, FENCE),
    ({"deletion_delayed": 3_000.0}, FENCE),
    ({"deletion_delayed": 700.0, "list_lags": 200.0}, FENCE),
    ({"list_lags": 2_000.0}, "the list shows it within 15 minutes"),
    ({"file_unseen": 2_000.0}, "an uploaded file is found within 15 minutes"),
    ({"batch_unseen": 2_000.0}, "a batch can be read within 15 minutes of its create"),
    ({"lines_missing": 1.0}, "a completed batch has the answers that it counts"),
)


@pytest.mark.parametrize(("faults", "assumption"), BREACHES)
def test_a_breach_is_reported(faults: dict[str, Any], assumption: str) -> None:
    """Whatever the protocol relies on and the provider does not do is named, and nothing else is."""
    _, probe = simulated(**faults)

    seen = list(look_at_all(probe))

    assert breached(seen) == [assumption], seen


def test_a_short_delay_of_deletions_is_no_breach() -> None:
    """What the wait after the fence covers is told, and holds."""
    _, probe = simulated(deletion_delayed=30.0)

    seen = {one.assumption: one for one in look_at_all(probe)}

    assert (seen[FENCE].verdict, seen[FENCE].seen) == (SeenVerdict.HOLDS, "refused with 400 60 s after the deletion")


def test_what_cannot_be_told_is_not_seen() -> None:
    """A batch that does not end in time proves nothing either way."""
    _, probe = simulated(Behaviour(run_seconds=10 * 3_600.0))

    seen = {one.assumption: one for one in look_at_all(probe)}

    assert seen["a completed batch has the answers that it counts"].verdict is SeenVerdict.NOT_SEEN
    assert not breached(list(seen.values()))


@pytest.mark.parametrize("faults", [{}, {"deletion_ignored": None}, {"accepted_late": 5.0}])
def test_the_probe_cleans_up(faults: dict[str, Any]) -> None:
    """Nothing that it stored stays, nothing that it started runs on, and it costs no more than was said."""
    simulator, probe = simulated(**faults)
    list(look_at_all(probe))
    simulator.clock.advance(60)

    left = probe.clean()

    simulator.clock.advance(3_600)
    assert (left, list(probe.provider.list_files(None).files)) == ([], [])
    assert {batch.status for batch in probe.listed()} <= {"completed", "failed", "cancelled"}
    assert sum(charge.charged for charge in simulator.ledger.charges()) <= CREATES_MAX


def test_a_batch_whose_create_was_not_answered_is_ended_too() -> None:
    """It bears the probe's ticket, so the list gives it away."""
    simulator, probe = simulated(Behaviour(run_seconds=3_600.0), dropped_after=None)
    list(look_at_all(probe))

    probe.clean()

    simulator.clock.advance(1_800)
    assert {batch.status for batch in probe.listed()} == {"cancelled"}


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        ([], {}, "needs OPENAI_API_KEY"),
        ([], {"OPENAI_API_KEY": "sk-none"}, "--yes"),
        (["--model", "o1-pro", "--yes"], {"OPENAI_API_KEY": "sk-none"}, "not under a cent"),
        (["--patience", "0"], {}, "--patience"),
    ],
)
def test_nothing_is_spent_unasked(words: list[str], environment: dict[str, str], told: str) -> None:
    """Without a key, without a yes, or above a cent, nothing is sent."""
    result = CliRunner().invoke(main, ["verify-provider", *words], env={"OPENAI_API_KEY": "", **environment})

    assert result.exit_code in (1, 2)
    assert told in result.stderr
