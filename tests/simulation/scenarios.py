"""What happens in a simulated world apart from faults: drops, the provider's moods, keys and redeploys.

Rule: a scenario says which failures its items may end with. Whatever else is struck, no other reason is acceptable.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulation.installation import Installation
from simulation.wire import KEYS

from batchdrop.core.limits import DAY, HOUR, MINUTE

TASK = b"""
endpoint: /v1/chat/completions
body:
  model: gpt-4.1-mini
  messages: [{role: user, content: "Rate: {{ review }}"}]
id: review_id
"""
CANARY = "canary-of-a-record"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens *at* so many seconds."""

    at: float
    act: Callable[[Installation], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story; *failures* are the codes that items may fail with, *rejections* the codes of drops that cannot be used."""

    name: str
    happenings: tuple[Happening, ...]
    failures: frozenset[str] = frozenset()
    rejections: frozenset[str] = frozenset()
    limits: Mapping[str, Any] = field(default_factory=dict)
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    calm_after_seconds: float = 100 * MINUTE  # when lasting faults are repaired: past the first redelivery
    is_emptied: bool = False  # the table is lost on the way, and with it what is known of jobs
    sends_once: bool = False  # of each attempt's requests that are the same
    is_restored: bool = False  # the table goes back to what it was, and jobs with it
    is_watched_for_days: bool = False  # until what is left at the provider must have been swept
    is_installed: bool = True  # the first tick after the deployment came before the first drop
    tick_seconds_min: float = 0  # long stories are told in larger steps

    @property
    def in_order(self) -> tuple[Happening, ...]:
        """Its happenings by their time."""
        return tuple(sorted(self.happenings, key=lambda happening: happening.at))


def dropped(key: str, content: bytes, at: float = 0) -> Happening:
    """A file is dropped."""
    return Happening(at, lambda here: here.drop(key, content))


def bodies(count: int, name: str = "a", model: str = "gpt-4.1-mini") -> bytes:
    """Ready-made requests, each with a text of its own."""
    return b"".join(
        json.dumps({"model": model, "messages": [{"role": "user", "content": f"{CANARY} {name} {n}"}]}).encode() + b"\n"
        for n in range(1, count + 1)
    )


def reviews(count: int, name: str = "a") -> bytes:
    """A table for the task."""
    return b"review_id,review\r\n" + b"".join(f"r{n},{CANARY} {name} {n}\r\n".encode() for n in range(1, count + 1))


def _repeating(count: int) -> bytes:
    """A table of as many reviews, of which every third says the same."""
    return b"review_id,review\r\n" + b"".join(f"r{n},{CANARY} a {n % 3}\r\n".encode() for n in range(count))


def _native(count: int) -> bytes:
    """Requests for two endpoints and two models in one file."""
    lines = []
    for number in range(count):
        url, body = (
            ("/v1/embeddings", {"model": "text-embedding-3-small", "input": f"{CANARY} {number}"}),
            ("/v1/chat/completions", {"model": "gpt-4.1", "messages": [{"role": "user", "content": f"{CANARY} {number}"}]}),
        )[number % 2]  # fmt: skip
        lines.append({"custom_id": f"my/{number}", "method": "POST", "url": url, "body": body})
    return "\n".join(map(json.dumps, lines)).encode()


def _with_task(here: Installation) -> None:
    here.storage.put_task("sentiment", TASK)


def _with_options(options: bytes) -> Happening:
    """The same task, which says more."""
    return Happening(-1, lambda here: here.storage.put_task("sentiment", TASK + options))


def _switch(fault: str, **options: Any) -> Happening:  # noqa: ANN401 - the switch's own options
    return Happening(-1, lambda here: here.simulator.faults.switch(fault, **options))


def _outage(start: float, end: float) -> Happening:
    return Happening(-1, lambda here: here.outages.append((start, end)))


def _withheld(number: int, start: float, end: float) -> tuple[Happening, Happening]:
    """S3 refuses to give the drop *number* for a while."""

    def places(here: Installation) -> set[tuple[str, str]]:
        return {(here.uploads[number].key, here.uploads[number].version)}

    return (
        Happening(start, lambda here: here.storage.withheld.update(places(here))),
        Happening(end, lambda here: here.storage.withheld.difference_update(places(here))),
    )


def _key(at: float, key: str | None) -> Happening:
    def change(here: Installation) -> None:
        here.key = key

    return Happening(at, change)


def _asked(at: float, word: str) -> Happening:
    """A person says *word* about the first drop."""
    return Happening(at, lambda here: here.ask(here.uploads[0], word))


_SMALL = {"chunk_lines_max": 2}
# The last ones come when all faults are over, and the job is held for certain.
_APPROVALS = (10 * MINUTE, 4 * HOUR, 8 * HOUR)
_SHARDS = {**_SMALL, "shard_requests_max": 2, "room_tokens_per_model": 75}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="small", happenings=(dropped("inbox/three.jsonl", bodies(3)),), limits=_SMALL),
    Scenario(
        # What lasts is repaired within the slack of a new installation: a table that cannot be written for longer than that
        # makes the drop look older than the installation, and the person is told to drop it again.
        name="fresh", happenings=(dropped("inbox/three.jsonl", bodies(3)),), is_installed=False,
        calm_after_seconds=10 * MINUTE,
    ),
    Scenario(
        name="shards",
        happenings=(Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(6))),
        limits=_SHARDS,
    ),
    Scenario(
        # What comes is larger than the disk: answers are read from the archive by range, a later answer's after an earlier one.
        name="large_output",
        happenings=(_switch("expires", value=0.5, times=1), dropped("inbox/four.jsonl", bodies(4))),
        limits={"answer_spool_bytes_max": 1},
        calm_after_seconds=DAY + 2 * HOUR,
        tick_seconds_min=300,
    ),
    Scenario(
        name="versions",
        happenings=(dropped("inbox/same.jsonl", bodies(2, "old")), dropped("inbox/same.jsonl", bodies(3, "new"), 30)),
        limits=_SMALL,
    ),
    Scenario(name="mixed", happenings=(dropped("inbox/mixed.jsonl", _native(4)),), limits=_SMALL),
    Scenario(
        name="expiry",
        happenings=(_switch("expires", value=0.5, times=1), dropped("inbox/four.jsonl", bodies(4))),
        calm_after_seconds=DAY + 2 * HOUR,
        tick_seconds_min=300,
    ),
    Scenario(
        name="token_limit",
        happenings=(_switch("queue_full", times=3), dropped("inbox/three.jsonl", bodies(3))),
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
        happenings=(_switch("line_refused", value=0.999), dropped("inbox/three.jsonl", bodies(3))),
        failures=frozenset({"invalid_value"}),
    ),
    Scenario(
        name="lines",
        happenings=(
            _switch("lines_missing", value=1, times=1), _switch("lines_doubled", value=2, times=1, skip=1),
            _switch("lines_foreign", value=1, times=1, skip=1), _switch("lines_blank", value=1, times=1),
            dropped("inbox/four.jsonl", bodies(4)), dropped("inbox/two.jsonl", bodies(2, "b")),
        ),
        failures=frozenset({"answers_missing"}),
        limits={"answers_retry_seconds": 4 * HOUR},
    ),
    Scenario(
        name="retryable",
        happenings=(
            _switch("line_server_error", value=1, times=1), _switch("line_timeout", value=1, times=1, skip=1),
            dropped("inbox/three.jsonl", bodies(3)),
        ),
    ),
    Scenario(
        name="late_output",
        happenings=(_switch("output_ids_late", value=2 * HOUR, times=1), dropped("inbox/three.jsonl", bodies(3))),
    ),
    Scenario(
        name="outage",
        happenings=(_outage(0, DAY), dropped("inbox/three.jsonl", bodies(3))),
        calm_after_seconds=DAY + HOUR,
        tick_seconds_min=3600,
    ),
    Scenario(
        name="outage_midway",
        happenings=(_outage(MINUTE, DAY), dropped("inbox/three.jsonl", bodies(3))),
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
        happenings=(dropped("inbox/three.jsonl", bodies(3)), _key(30, KEYS[1]), dropped("inbox/more.jsonl", bodies(2, "b"), 50)),
    ),
    Scenario(
        name="foreign_key",
        happenings=(dropped("inbox/three.jsonl", bodies(3)), _key(30, KEYS[2]), _key(2 * DAY, KEYS[0])),
        calm_after_seconds=2 * DAY,
        tick_seconds_min=3600,
    ),
    Scenario(
        name="no_key",
        happenings=(_key(-1, None), dropped("inbox/three.jsonl", bodies(3)), _key(HOUR, KEYS[0])),
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
            Happening(-1, _with_task), dropped("inbox/sentiment/bad.csv", b"review_id,review\r\nr1,caf\xe9\r\n"),
            dropped("inbox/three.jsonl", bodies(3)),
        ),
        rejections=frozenset({"not_utf8"}),
    ),
    Scenario(
        name="cancelled",
        happenings=(
            Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            Happening(70, lambda here: here.ask(here.uploads[0], "cancel")),
        ),
        limits=_SHARDS,
        failures=frozenset({"cancelled", "batch_cancelled"}),
    ),
    Scenario(
        name="indexed",
        happenings=(
            _with_options(b"items: index\n"), dropped("inbox/sentiment/reviews.csv", reviews(3) + b"r1,again\r\n"),
        ),
        limits=_SMALL, failures=frozenset({"duplicate_id"}),
    ),
    Scenario(
        name="held",
        happenings=(
            Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            *(_asked(at, "approve") for at in _APPROVALS),
        ),
        limits=_SHARDS | {"job_microdollars_max": 1},
    ),
    Scenario(
        # The first shard is at the provider when the cap is lowered: the rest is held, and approved of later.
        name="held_midway",
        happenings=(
            Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            Happening(30, lambda here: here.redeploy(job_microdollars_max=1)),
            *(_asked(at, "approve") for at in _APPROVALS),
        ),
        limits=_SHARDS | {"job_microdollars_max": 1_000_000},
    ),
    Scenario(
        # One shard a day by what is expected, more by what answers turn out to cost.
        name="daily",
        happenings=(
            Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(6)),
            dropped("inbox/sentiment/more.csv", reviews(2, "b"), 30),
        ),
        limits=_SMALL | {"shard_requests_max": 2, "day_microdollars_max": 500},
        tick_seconds_min=300,
    ),
    Scenario(
        name="held_for_good",
        happenings=(Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(3))),
        limits=_SMALL | {"job_microdollars_max": 1, "hold_seconds_max": 3 * HOUR},
        failures=frozenset({"cancelled"}),
    ),
    Scenario(
        # Cancel beats approve, whichever is heard first.
        name="held_and_cancelled",
        happenings=(
            Happening(-1, _with_task), dropped("inbox/sentiment/reviews.csv", reviews(3)),
            _asked(10 * MINUTE, "approve"), _asked(10 * MINUTE, "cancel"), _asked(8 * HOUR, "cancel"),
        ),
        limits=_SMALL | {"job_microdollars_max": 1},
        failures=frozenset({"cancelled", "batch_cancelled"}),
    ),
    Scenario(
        name="repeats",
        happenings=(
            _with_options(b"dedupe: true\n"), _switch("line_server_error", value=1, times=1),
            dropped("inbox/sentiment/reviews.csv", _repeating(7)),
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
            dropped("inbox/sentiment/reviews.csv", reviews(2)), Happening(10 * MINUTE, _with_task),
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
            _switch("dropped_after", operation="files.create", times=1), dropped("inbox/three.jsonl", bodies(3)),
            Happening(3 * DAY, lambda _here: None),
        ),
        is_watched_for_days=True,
    ),
    Scenario(
        name="stuck",
        happenings=(
            _switch("stuck_in_finalizing", value=5 * DAY, times=1), dropped("inbox/three.jsonl", bodies(3)),
        ),
        calm_after_seconds=2 * DAY,
        tick_seconds_min=3600,
    ),
    Scenario(
        # One is refused when it is to be planned, the other when its answers are collected; both less long than is waited.
        name="withheld",
        happenings=(
            dropped("inbox/three.jsonl", bodies(3)), dropped("inbox/more.jsonl", bodies(2, "b")),
            *_withheld(0, 0, 5 * MINUTE), *_withheld(1, 100, 9 * MINUTE),
        ),
    ),
    Scenario(
        name="late_task",
        happenings=(dropped("inbox/sentiment/reviews.csv", reviews(2)), Happening(50, _with_task)),
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}
