"""Suite 8: rows as an earlier release wrote them are driven to the end by this one."""

import json
import re
from pathlib import Path

import pytest
from simulation.freezing import Frozen, features, frozen_states, thaw
from simulation.installation import Installation
from simulation.invariants import judge
from simulation.runs import finish

from batchdrop.core.jobs import Keys
from batchdrop.core.ledger_rows import JobState, ShardState

FOLDER = Path(__file__).parent / "releases"
WORLDS = [(release.name, state) for release in sorted(FOLDER.iterdir()) for state in frozen_states(release)]
FIRST = [state for release, state in WORLDS if release == "0.1.0"]


@pytest.mark.parametrize("state", [pytest.param(state, id=f"{release}/{state.name}") for release, state in WORLDS])
def test_what_an_older_release_left_is_driven_to_the_end(state: Frozen) -> None:
    """The table, the buckets, the queues and the provider as they stood: this code ends the jobs as if it had begun them."""
    here: Installation = thaw(state)

    here.run()
    finish(here)

    assert not judge(here)


def test_a_world_is_frozen_whole() -> None:
    """What was frozen, thawed and frozen again is the same: nothing of it is lost on the way to the test above."""
    for _, state in WORLDS:
        shown = features(state)
        assert shown, state.name
        assert len(thaw(state).ledger.rows) == len(state.rows)


def test_every_state_of_the_first_release_is_frozen() -> None:
    """No state is forgotten: each has a row that this release must still understand."""
    shown = {feature for state in FIRST for feature in features(state)}

    assert shown >= {f"job {state}" for state in JobState}
    assert shown >= {f"shard {state}" for state in ShardState}
    # Beside its way, in the states that it may have.
    assert shown >= {f"job {state} cancelled_at" for state in ("FINISHING", "NOTIFYING", "RUNNING", "ENDED")}
    assert shown >= {f"shard {state} tickets" for state in ShardState}
    assert shown >= {"shard PARKED is_unfenced", "job PLANNING waiting_for", "job HELD hold", "job ENDED reason"}
    assert shown >= {"install circuits", "install proofs", "install inbox_round", "a day's money"}
    assert shown >= {"room lesson limit", "room lesson refused", "room lesson ratios", "room lesson lengths"}
    assert shown >= {"message submissions Records", "message submissions job shard", "message completions job shard"}
    assert shown >= {"steps of a shard that is HARVESTING"}


def test_every_object_that_the_first_release_writes_is_frozen() -> None:
    """Each kind of object below `internal/` and in the results, so that a change of format meets an old one here."""
    shown = {match[1] for state in FIRST for one in features(state) if (match := re.fullmatch(r"object (\S+) .*", one))}
    job = Keys("0" * 20, "inbox/a.csv")
    internal = {
        job.task_snapshot, job.chunk(0, 0), job.plan_page(0), job.plan_digests(0), job.refused(0), job.input_lines(0, 2),
        job.raw_output(0, 1), job.raw_errors(0, 1), job.decided(0, 1), job.part(0), job.put_steps(0, 1),
    }  # fmt: skip

    assert shown >= {re.sub(r"\d+", "0", key.replace(f"/{job.job}/", "/")) for key in internal}
    assert shown >= {f"results/{name}" for name in ("status.json", "summary.json", "report.html", "outcomes.jsonl")}
    assert shown >= {"results/outcomes.index", "results/items/x.json", "results/results.csv", "results/failures.csv"}


def test_the_oldest_worlds_are_still_read() -> None:
    """Rows that lack what came later load with its defaults."""
    oldest = [state for release, state in WORLDS if release == "before-0.1.0"]

    assert {json.loads(row)["state"] for state in oldest for kind, row in state.rows if kind == "shard"} == set(
        ShardState
    )
