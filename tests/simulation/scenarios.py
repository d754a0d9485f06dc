"""The stories of the simulation: what happens in a world apart from faults.

Rule: a story comes to its end by itself, and says which failures its items may end with.
"""

import gzip
from collections.abc import Mapping

from simulation.refused_stories import REFUSED_STORIES
from simulation.stories import (
    Happening,
    Scenario,
    asked,
    bodies,
    dropped,
    keyed,
    native,
    outage,
    repeating,
    reviews,
    switched,
    with_options,
    with_task,
    withheld,
)
from simulation.wire import KEYS

from batchdrop.core.model.limits import DAY, HOUR, MINUTE

_SMALL = {"chunk_lines_max": 2}
_PACKED = gzip.compress(reviews(5).decode().replace(",", ";").encode("utf-16"), mtime=0)
# The last ones come when all faults are over, and the job is held for certain.
_APPROVALS = (10 * MINUTE, 4 * HOUR, 8 * HOUR)
_SHARDS = {**_SMALL, "shard_requests_max": 2, "enqueued_tokens_per_model": 75}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="small", happenings=(dropped("inbox/three.jsonl", bodies(3)),), limits=_SMALL),
    Scenario(
        # Packed and not in UTF-8: it is read from its copy, which is written before the plan.
        name="packed", happenings=(Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv.gz", _PACKED)), limits=_SMALL,
    ),
    Scenario(
        # What lasts is repaired within the slack of a new installation: a table that cannot be written for longer than that
        # makes the drop look older than the installation, and the person is told to drop it again.
        name="fresh", happenings=(dropped("inbox/three.jsonl", bodies(3)),), is_installed=False,
        calm_after_seconds=10 * MINUTE,
    ),
    Scenario(
        name="shards",
        happenings=(Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6))),
        limits=_SHARDS,
    ),
    Scenario(
        # What comes is larger than the disk: answers are read from the archive by range, a later answer's after an earlier one.
        name="large_output",
        happenings=(switched("expires", value=0.5, times=1), dropped("inbox/four.jsonl", bodies(4))),
        limits={"answer_spool_bytes_max": 1},
        calm_after_seconds=DAY + 2 * HOUR,
        tick_seconds_min=300,
    ),
    Scenario(
        name="versions",
        happenings=(dropped("inbox/same.jsonl", bodies(2, "old")), dropped("inbox/same.jsonl", bodies(3, "new"), 30)),
        limits=_SMALL,
    ),
    Scenario(name="mixed", happenings=(dropped("inbox/mixed.jsonl", native(4)),), limits=_SMALL),
    Scenario(
        name="expiry",
        happenings=(switched("expires", value=0.5, times=1), dropped("inbox/four.jsonl", bodies(4))),
        calm_after_seconds=DAY + 2 * HOUR,
        tick_seconds_min=300,
    ),
    Scenario(
        name="token_limit",
        happenings=(switched("queue_full", times=3), dropped("inbox/three.jsonl", bodies(3))),
    ),
    Scenario(
        name="invalid",
        happenings=(
            dropped("inbox/two.jsonl", bodies(2) + bodies(1, "b", "no-such-model")),
        ),
        behaviour={"models": frozenset({"gpt-4.1-mini"})},
        failures=frozenset({"model_not_found"}),
    ),
    Scenario(
        name="all_fail",
        happenings=(switched("line_refused", value=0.999), dropped("inbox/three.jsonl", bodies(3))),
        failures=frozenset({"invalid_value"}),
    ),
    Scenario(
        name="lines",
        happenings=(
            switched("lines_missing", value=1, times=1), switched("lines_doubled", value=2, times=1, skip=1),
            switched("lines_foreign", value=1, times=1, skip=1), switched("lines_blank", value=1, times=1),
            dropped("inbox/four.jsonl", bodies(4)), dropped("inbox/two.jsonl", bodies(2, "b")),
        ),
        failures=frozenset({"answers_missing"}),
        limits={"answers_retry_seconds": 4 * HOUR},
    ),
    Scenario(
        name="retryable",
        happenings=(
            switched("line_server_error", value=1, times=1), switched("line_timeout", value=1, times=1, skip=1),
            dropped("inbox/three.jsonl", bodies(3)),
        ),
    ),
    Scenario(
        # More rows than digits sort, of two shards whose rows alternate: half of each is answered by a second attempt.
        name="rows_in_order",
        happenings=(
            switched("line_server_error", value=0.5, times=2), dropped("inbox/twelve.jsonl", native(12)),
        ),
        limits={"chunk_lines_max": 4},
    ),
    Scenario(
        name="late_output",
        happenings=(switched("output_ids_late", value=2 * HOUR, times=1), dropped("inbox/three.jsonl", bodies(3))),
    ),
    Scenario(
        name="outage",
        happenings=(outage(0, DAY), dropped("inbox/three.jsonl", bodies(3))),
        calm_after_seconds=DAY + HOUR,
        tick_seconds_min=3600,
    ),
    Scenario(
        name="outage_midway",
        happenings=(outage(MINUTE, DAY), dropped("inbox/three.jsonl", bodies(3))),
        calm_after_seconds=DAY + HOUR,
        tick_seconds_min=3600,
    ),
    Scenario(
        name="revoked",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)), Happening(30, lambda here: here.revoke(KEYS[0])),
            dropped("inbox/more.jsonl", bodies(2, "b"), 5 * MINUTE),
            Happening(2 * HOUR, lambda here: here.restore(KEYS[0])),
        ),
    ),
    Scenario(
        name="rotated",
        happenings=(dropped("inbox/three.jsonl", bodies(3)), keyed(30, KEYS[1]), dropped("inbox/more.jsonl", bodies(2, "b"), 50)),
    ),
    Scenario(
        name="foreign_key",
        happenings=(dropped("inbox/three.jsonl", bodies(3)), keyed(30, KEYS[2]), keyed(2 * DAY, KEYS[0])),
        calm_after_seconds=2 * DAY,
        tick_seconds_min=3600,
    ),
    Scenario(
        name="no_key",
        happenings=(keyed(-1, None), dropped("inbox/three.jsonl", bodies(3)), keyed(HOUR, KEYS[0])),
    ),
    Scenario(
        name="redeploy",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)),
            Happening(61, lambda here: here.redeploy(attempts_max=2)), Happening(240, lambda here: here.redeploy()),
        ),
    ),
    Scenario(
        name="poison",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/bad.csv", b"review_id,review\r\nr1,caf\x81\r\n"),
            dropped("inbox/three.jsonl", bodies(3)),
        ),
        rejections=frozenset({"not_utf8"}),
    ),
    Scenario(
        name="cancelled",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            Happening(70, lambda here: here.ask(here.uploads[0], "cancel")),
        ),
        limits=_SHARDS,
        failures=frozenset({"cancelled", "batch_cancelled"}),
    ),
    Scenario(
        name="indexed",
        happenings=(
            with_options(b"items: index\n"), dropped("inbox/sentiment/reviews.csv", reviews(3) + b"r1,again\r\n"),
        ),
        limits=_SMALL, failures=frozenset({"duplicate_id"}),
    ),
    Scenario(
        name="held",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            *(asked(at, "approve") for at in _APPROVALS),
        ),
        limits=_SHARDS | {"max_cost_microdollars": 1},
    ),
    Scenario(
        # The first shard is at the provider when the cap is lowered: the rest is held, and approved of later.
        name="held_midway",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            Happening(30, lambda here: here.redeploy(max_cost_microdollars=1)),
            *(asked(at, "approve") for at in _APPROVALS),
        ),
        limits=_SHARDS | {"max_cost_microdollars": 1_000_000},
    ),
    Scenario(
        # One shard a day by what is expected, more by what answers turn out to cost.
        name="daily",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            dropped("inbox/sentiment/more.csv", reviews(2, "b"), 30),
        ),
        limits=_SMALL | {"shard_requests_max": 2, "daily_cost_microdollars_max": 500},
        tick_seconds_min=300,
    ),
    Scenario(
        name="held_for_good",
        happenings=(Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(3))),
        limits=_SMALL | {"max_cost_microdollars": 1, "hold_seconds_max": 3 * HOUR},
        failures=frozenset({"cancelled"}),
    ),
    Scenario(
        # Cancel beats approve, whichever is heard first.
        name="held_and_cancelled",
        happenings=(
            Happening(-1, with_task), dropped("inbox/sentiment/reviews.csv", reviews(3)),
            asked(10 * MINUTE, "approve"), asked(10 * MINUTE, "cancel"), asked(8 * HOUR, "cancel"),
        ),
        limits=_SMALL | {"max_cost_microdollars": 1},
        failures=frozenset({"cancelled", "batch_cancelled"}),
    ),
    Scenario(
        name="repeats",
        happenings=(
            with_options(b"dedupe: true\n"), switched("line_server_error", value=1, times=1),
            dropped("inbox/sentiment/reviews.csv", repeating(7)),
        ),
        limits={**_SMALL, "shard_requests_max": 4}, sends_once=True,
    ),
    Scenario(
        name="silent",
        happenings=(Happening(20 * MINUTE, lambda here: here.drop_silently("inbox/three.jsonl", bodies(3))),),
    ),
    Scenario(
        name="retried",
        happenings=(
            dropped("inbox/sentiment/reviews.csv", reviews(2)), Happening(10 * MINUTE, with_task),
            Happening(11 * MINUTE, lambda here: here.ask(here.uploads[0], "retry")),
        ),
        rejections=frozenset({"no_such_task"}),
    ),
    Scenario(
        name="emptied",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)), Happening(DAY, lambda here: here.empty_table()),
            Happening(DAY + 3 * HOUR, lambda here: here.announce(here.uploads[0])),
        ),
        rejections=frozenset({"too_old"}), is_emptied=True, tick_seconds_min=300,
    ),
    Scenario(
        # docs/runbooks/restore.md. The operator asks again until it was done: the last time when all faults are over. A create
        # may be as late as timings draw it; one that comes after the list was read is nobody's to know of.
        name="restored",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)), Happening(30, lambda here: here.back_up()),
            dropped("inbox/unknown.jsonl", bodies(2, "b"), 60), Happening(HOUR, lambda here: here.switch_off()),
            Happening(2 * HOUR, lambda here: here.restore_backup()),
            *(Happening(hours * HOUR, lambda here: here.recover()) for hours in (5, 9, 13)),
        ),
        calm_after_seconds=12 * HOUR,
        rejections=frozenset({"restored"}), failures=frozenset({"cancelled", "batch_cancelled"}), is_restored=True,
    ),
    Scenario(
        # The upload was answered with a broken connection and made again: nobody knows of the first file.
        name="swept",
        happenings=(
            switched("dropped_after", operation="files.create", times=1), dropped("inbox/three.jsonl", bodies(3)),
            Happening(3 * DAY, lambda _here: None),
        ),
        is_watched_for_days=True,
    ),
    Scenario(
        name="stuck",
        happenings=(
            switched("stuck_in_finalizing", value=5 * DAY, times=1), dropped("inbox/three.jsonl", bodies(3)),
        ),
        calm_after_seconds=2 * DAY,
        tick_seconds_min=3600,
    ),
    Scenario(
        # One is refused when it is to be planned, the other when its answers are collected; both less long than is waited.
        name="withheld",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)), dropped("inbox/more.jsonl", bodies(2, "b")),
            *withheld(0, 0, 5 * MINUTE), *withheld(1, 100, 9 * MINUTE),
        ),
    ),
    Scenario(
        name="late_task",
        happenings=(dropped("inbox/sentiment/reviews.csv", reviews(2)), Happening(50, with_task)),
    ),
    *REFUSED_STORIES,
)  # fmt: skip

BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}
# Those whose every call is struck now and then by each `make test`; the others are told there once, by `rows`.
SHORT: tuple[str, ...] = tuple(scenario.name for scenario in SCENARIOS if not scenario.is_long)
