"""Suite 8: rows as an earlier release wrote them are driven to the end by this one."""

import json
import re
import runpy
from pathlib import Path

import msgspec
import pytest
from simulation.freezing import Frozen, features, frozen_states, thaw
from simulation.gate import Exact
from simulation.installation import Installation
from simulation.invariants import judge
from simulation.runs import finish
from simulation.scenarios import BY_NAME

from batchdrop.core.model.change import Row
from batchdrop.core.model.job import JobState
from batchdrop.core.model.keys import Keys
from batchdrop.core.model.shard import ShardState
from batchdrop.edge.aws.row_format import encode_row, kind_of

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
    assert shown >= {
        "quota estimate limit",
        "quota estimate refused",
        "quota estimate ratios",
        "quota estimate lengths",
    }
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


def test_the_release_before_reads_what_this_one_writes() -> None:
    """Rolling back: 0.1.0's own rows read ours, but for states and schemas that it does not know and so leaves alone.

    The installation's row above all: without it no function of the older release would do anything.
    """
    older = runpy.run_path(str(FOLDER / "0.1.0" / "ledger_rows.py"), run_name="rows_of_0_1_0")
    decoders = {kind: msgspec.json.Decoder(older[kind.title()]) for kind in ("job", "shard", "install")}
    known = {"job": set(older["JobState"]), "shard": set(older["ShardState"])}
    seen = set()
    for story in (
        "small",
        "shards",
        "held",
        "daily",
        "cancelled",
        "retried",
        "no_key",
        "token_limit",
        "expiry",
        "withheld",
    ):
        written: list[Row] = []
        here = Installation(BY_NAME[story], Exact({}))
        here.ledger.watch = lambda change, written=written: written.extend(w.after for w in change.writes)  # type: ignore[misc]
        here.run()
        for row in written:
            encoded, kind = encode_row(row), kind_of(row)
            state = getattr(row, "state", "")
            if row.schema > older["SCHEMA"] or (state and state not in known[kind]):
                continue
            read = decoders[kind].decode(encoded)
            assert (read.revision, getattr(read, "due_at", None)) == (row.revision, getattr(row, "due_at", None))
            seen.add((kind, str(state)))

    assert seen >= {("install", ""), *(("job", state) for state in known["job"])}
    assert seen >= {("shard", state) for state in known["shard"] - {"FENCING", "PARKED"}}


def test_the_oldest_worlds_are_still_read() -> None:
    """Rows that lack what came later load with its defaults."""
    oldest = [state for release, state in WORLDS if release == "before-0.1.0"]

    assert {json.loads(row)["state"] for state in oldest for kind, row in state.rows if kind == "shard"} == set(
        ShardState
    )
