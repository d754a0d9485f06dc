"""Suite 8: rows as an earlier release wrote them are driven to the end by this one."""

import json
from pathlib import Path

import pytest
from simulation.freezing import frozen_states, thaw
from simulation.installation import Installation
from simulation.invariants import judge
from simulation.runs import finish

RELEASES = sorted((Path(__file__).parent / "releases").iterdir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_every_state_of_an_older_release_is_driven_to_the_end(release: Path) -> None:
    """The table, the buckets and the provider as they stood midway: this code ends the job as if it had begun it."""
    for state in frozen_states(release):
        here: Installation = thaw(state)

        finish(here)

        assert not judge(here), (state.name, judge(here))


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_every_state_that_a_shard_can_have_is_frozen(release: Path) -> None:
    """No state is forgotten: each has a row that this release must still understand."""
    states = {
        json.loads(row)["state"] for state in frozen_states(release) for _, row in state.rows if '"ticket"' in row
    }

    assert states >= {
        "RESERVED",
        "UPLOADED",
        "CREATING",
        "FENCING",
        "RUNNING",
        "HARVESTING",
        "WAITING",
        "PARKED",
        "DONE",
    }
