"""Worlds on disk: rows, buckets and the provider as they stood the moment after one write, and back again.

Rule: what was frozen is never written again; a release adds a folder of its own, at the revision that is released:
`PYTHONPATH=tests .venv/bin/python -m simulation.freezing <name of the release>`.
"""

import json
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from simulation.gate import Exact, Fault, Plan
from simulation.installation import Installation
from simulation.queues import Queue
from simulation.runs import Run, build
from simulation.scenarios import BY_NAME, SCENARIOS
from simulation.tasks import START_SECONDS
from simulation.timing import Timing

from batchdrop.core.model.change import Change, Row
from batchdrop.core.model.install import Install
from batchdrop.core.model.job import Job
from batchdrop.core.model.keys import Upload
from batchdrop.core.model.limits import Limits
from batchdrop.core.model.quota import Quota
from batchdrop.core.model.shard import Shard
from batchdrop.edge.aws.row_format import (
    decode_quota_estimate,
    decode_row,
    encode_quota_estimate,
    encode_row,
    kind_of,
    row_key,
)
from batchdrop.flow.collection import collect as harvest
from batchdrop.flow.collection import item_objects
from batchdrop.flow.ports import Notification
from openai_batch_simulator.account.batches import TERMINAL, Batch, Status, Usage
from openai_batch_simulator.account.files import File
from openai_batch_simulator.account.quota import Load
from openai_batch_simulator.account.validation import LineError, Valid, validate
from openai_batch_simulator.draws import Identifiers

FOLDER = Path(__file__).parent / "releases"

# Stories in which a world is lost or replaced: what they leave is not what a release leaves to the next.
_LEFT_OUT = frozenset({"emptied", "restored"})
_LOST = {"http-POST-batches:0": Fault.ERROR_BEFORE}
# Faults that lead to states which no calm story reaches, the limits that let them, and what items may then fail with.
_STRUCK: tuple[tuple[str, Plan, dict[str, int], frozenset[str]], ...] = (
    ("small", Exact(_LOST), {}, frozenset()),
    ("small", Exact(_LOST), {"uncertain_creates_max": 1}, frozenset()),
    # The input file cannot be deleted: the shard is parked without a fence, and given up after a week.
    (
        "small", Exact(_LOST | {"http-DELETE-file:0": Fault.BROKEN}, lasts=True), {"fence_attempts_seconds_max": 1800},
        frozenset({"submission_unknown"}),
    ),
    # The function dies between the objects of a shard and its outcomes.
    ("shards", Exact({"storage.writer:0": Fault.CRASH_BEFORE}), {}, frozenset()),
)  # fmt: skip
# The story in which objects are put one by one, each with a record: only 4,000 of them would have one otherwise.
_STEPPED = "shards"
_STORM_SEEDS = 4  # of each story: what lies beside the calm ways
_TIMING_LIMITS = frozenset({"grace_seconds", "fence_wait_seconds", "file_visible_seconds_max"})
# What every row has, or what says nothing about how it must be understood.
_UNTOLD_FIELDS = frozenset({"id", "bucket", "key", "version", "revision", "writer", "schema", "lease", "due_at"})
# The same fields with their defaults, as the table has them.
_USUAL: dict[type, dict[str, Any]] = {
    type(row): json.loads(encode_row(row))
    for row in (
        Job(id="", bucket="", key="", version="", created_at=0),
        Shard(job="", number=0, account="", endpoint="", model="", group=0),
        Install(id="", started_at=0),
    )
}
# These have no default.
_NAMES = frozenset({"created_at", "started_at", "job", "number", "account", "endpoint", "model", "group"})


@dataclass(frozen=True, slots=True)
class Frozen:
    """One world at rest. *rows* are of the table, with their kinds. What has a default is missing in the oldest worlds."""

    name: str
    scenario: str
    now: float
    rows: list[list[str]]
    quotas: list[dict[str, Any]]  # the oldest have their quota estimate beside what is used, the others as JSON
    objects: dict[str, str]  # a character stands for a byte: not all of them are text
    uploads: list[dict[str, Any]]
    files: list[dict[str, Any]]
    batches: list[dict[str, Any]]
    notifications: list[dict[str, Any]]
    days: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    submissions: list[str] = field(default_factory=list)  # messages that nobody has dealt with
    completions: list[str] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)  # those that are not the defaults
    failures: list[str] = field(default_factory=list)  # what items may fail with besides what the story says
    key: str | None = "sk-canary-first"
    projects: dict[str, str] | None = None
    retries: dict[str, int] = field(default_factory=dict)
    happened: int | None = None  # how many of the story's happenings came before; None where none shall come after


def freeze(here: Installation, name: str) -> Frozen:
    """Return the world as it is at this moment."""
    world = here.simulator.account
    ended = {id_ for batch in world.batches.values() for id_ in (batch.output_file_id, batch.error_file_id)}
    return Frozen(
        name=name,
        scenario=here.scenario.name,
        now=here.tasks.time.now(),
        rows=[[kind_of(row), encode_row(row)] for row in here.ledger.rows.values()],
        quotas=[_frozen_quota(quota) for quota in here.ledger.quotas.values()],
        objects={key: content.decode("latin-1") for key, content in here.storage.objects.items()},
        uploads=[
            {"key": key, "version": version, "content": content.decode("latin-1"), "put_at": put_at}
            for (key, version), (content, put_at) in here.storage.uploads.items()
        ],
        files=[
            _frozen_file(file) for file in world.files.by_id.values() if file.purpose == "batch" or file.id in ended
        ],
        batches=[_frozen_batch(here, batch) for batch in world.batches.values()],
        notifications=[asdict(notification) for notification in here.notifications.published],
        days={day: spent for day, spent in here.ledger.days.items() if spent},
        tasks={key.removesuffix(".yaml"): content.decode() for key, content in here.storage.tasks.items()},
        submissions=_waiting(here.submissions),
        completions=_waiting(here.completions),
        limits=_own_limits(here.limits),
        failures=sorted(here.scenario.failures),
        key=here.key,
        projects=dict(here.projects),
        retries=dict(here.retries),
        happened=here.happened,
    )


def _frozen_quota(quota: Quota) -> dict[str, Any]:
    return asdict(quota) | {"quota_estimate": encode_quota_estimate(quota.quota_estimate)}


def _waiting(queue: Queue) -> list[str]:
    return [message.body for message in (*queue.messages, *queue.dead)]


def _own_limits(limits: Limits) -> dict[str, Any]:
    usual = asdict(Limits())
    own = {name: value for name, value in asdict(limits).items() if value != usual[name]}
    return {name: value for name, value in own.items() if name not in _TIMING_LIMITS}


def _frozen_file(file: File) -> dict[str, Any]:
    with file.content.open() as stream:
        content = stream.read().decode()
    names = ("id", "project", "filename", "purpose", "created_at", "expires_at", "deleted_at")
    return {name: getattr(file, name) for name in names} | {"content": content}


def _frozen_batch(here: Installation, batch: Batch) -> dict[str, Any]:
    """Return *batch*, with what came of it where it has ended; one that runs is run again from its creation on."""
    names = (
        "id", "project", "endpoint", "input_file_id", "metadata", "output_expires_seconds", "created_at", "expires_at",
    )  # fmt: skip
    frozen = {name: getattr(batch, name) for name in names} | {"errors": [asdict(error) for error in batch.errors]}
    if batch.status not in TERMINAL or batch.status is Status.FAILED:
        return frozen
    account = here.simulator.ledger.by_batch.get(batch.id)
    ran = [] if account is None else zip(account.lines, account.status_codes, account.marks, strict=True)
    ended = {
        "status": batch.status.value,
        "entered_at": {status.value: at for status, at in batch.entered_at.items()},
        "load": batch.load and asdict(batch.load),
        "usage": asdict(batch.usage),
        "files_named_at": max(batch.files_named_at, 0),
        "ran": [list(line) for line in ran],
    }
    return frozen | {"ended": ended | {name: getattr(batch, name) for name in _ENDED_NAMES}}


# Limits that 0.1.0 called otherwise.
_NEW_NAMES = {
    "room_tokens_per_model": "enqueued_tokens_per_model",
    "job_microdollars_max": "max_cost_microdollars",
    "day_microdollars_max": "daily_cost_microdollars_max",
}
_ENDED_NAMES = ("lines", "completed", "failed", "output_file_id", "error_file_id")


def thaw(state: Frozen) -> Installation:
    """Return a world that stands where *state* stood; batches under way are lived again from their creation on."""
    story = BY_NAME[state.scenario]
    later = () if state.happened is None else story.in_order[state.happened :]
    story = replace(story, happenings=later, is_installed=False, failures=story.failures | {*state.failures})
    here = Installation(story, Exact({}), Timing())
    here.limits = replace(here.limits, **{_NEW_NAMES.get(name, name): value for name, value in state.limits.items()})
    here.tasks.time.advance(state.now - START_SECONDS)
    here.key = state.key
    here.projects.clear()
    here.projects |= state.projects if state.projects is not None else {"sk-canary-first": "ours"}
    here.retries = Counter(state.retries)
    for upload in state.uploads:
        place = (upload["key"], upload["version"])
        here.storage.uploads[place] = (upload["content"].encode("latin-1"), upload["put_at"])
        here.uploads.append(Upload(here.storage.inbox_bucket, *place))
    here.storage.tasks |= {f"{task}.yaml": content.encode() for task, content in state.tasks.items()}
    _thaw_table(here, state)
    here.storage.objects |= {key: content.encode("latin-1") for key, content in state.objects.items()}
    here.notifications.published += [Notification(**notification) for notification in state.notifications]
    for queue, bodies in ((here.submissions, state.submissions), (here.completions, state.completions)):
        for body in bodies:
            queue.send(body)
    _thaw_provider(here, state)
    return here


def _thaw_table(here: Installation, state: Frozen) -> None:
    for kind, encoded in state.rows:
        row = decode_row(kind, encoded)
        here.ledger.rows[row_key(row)] = row
        if isinstance(row, Shard):
            here.ledger.note_tickets(row)
    here.ledger.quotas |= {(quota["account"], quota["model"]): _thawed_quota(quota) for quota in state.quotas}
    here.ledger.days.update(state.days)


def _thawed_quota(frozen: dict[str, Any]) -> Quota:
    if isinstance(frozen.get("quota_estimate"), str):
        frozen = frozen | {"quota_estimate": decode_quota_estimate(frozen["quota_estimate"])}
        return Quota(**frozen)
    return msgspec.convert(frozen, Quota)


def _thaw_provider(here: Installation, state: Frozen) -> None:
    world = here.simulator.account
    world.identifiers = world.lifecycle.identifiers = Identifiers(1)  # new ids are others than those that were frozen
    for frozen in state.files:
        content = world.blobs.new()
        content.append(frozen["content"].encode())
        world.files.add(File(**{**frozen, "content": content}))
    for frozen in state.batches:
        made = dict(frozen)
        errors = [LineError(**error) for error in made.pop("errors")]
        ended = made.pop("ended", None)
        batch = Batch(**made, errors=errors)
        world.batches[batch.id] = batch
        if ended is not None:
            _end(here, batch, ended)
        elif errors:
            batch.status, batch.entered_at = Status.FAILED, {Status.FAILED: state.now}
        else:
            world.lifecycle.begin(batch)


def _end(here: Installation, batch: Batch, ended: dict[str, Any]) -> None:
    """Let *batch* have ended as it did, with its charges."""
    world = here.simulator.account
    batch.status = Status(ended["status"])
    batch.entered_at = {Status(status): at for status, at in ended["entered_at"].items()}
    batch.load = ended["load"] and Load(**ended["load"])
    batch.usage, batch.files_named_at = Usage(**ended["usage"]), ended["files_named_at"]
    for name in _ENDED_NAMES:
        setattr(batch, name, ended[name])
    content = world.files.by_id[batch.input_file_id].content
    with content.open() as source:
        found = validate(source, content.size_bytes, batch.endpoint, world.behaviour)
    offsets = found.offsets if isinstance(found, Valid) else array("I")
    account = world.ledger.open_batch(batch.id, content, offsets)
    for line, status_code, marks in ended["ran"]:
        account.note(line, status_code, charged=bool(marks & 1), delivered=bool(marks & 2))


def frozen_states(release: Path) -> Iterator[Frozen]:
    """Yield every world that was frozen for *release*."""
    for path in sorted(release.glob("*.json")):
        yield Frozen(**json.loads(path.read_text()))


# ---------------------------------------------------------------------- what a world shows


def features(state: Frozen) -> frozenset[str]:
    """Return what *state* has that a later release must understand: each field by the state it is set in, each kind of object."""
    found: set[str] = set()
    for kind, encoded in state.rows:
        found.update(_of_row(decode_row(kind, encoded), json.loads(encoded)))
    for quota in state.quotas:
        quota_estimate = json.loads(quota["quota_estimate"]) if isinstance(quota.get("quota_estimate"), str) else {}
        found |= {f"quota estimate {name}" for name, value in quota_estimate.items() if value}
    jobs = {row["id"]: row["state"] for kind, encoded in state.rows if kind == "job" for row in [json.loads(encoded)]}
    for key in state.objects:
        found |= {f"object {_pattern(key)} while {now}" for job, now in jobs.items() if f"/{job}/" in key}
    for kind, encoded in state.rows:
        row = decode_row(kind, encoded)
        if isinstance(row, Shard):
            steps = f"internal/{row.job}/shards/{row.number:06d}/attempt-{row.attempt.number}/objects.json"
            found |= {f"steps of a shard that is {row.state}"} if steps in state.objects else set()
    found |= {"a day's money"} if state.days else set()
    bodies = [*((body, "submissions") for body in state.submissions), *((b, "completions") for b in state.completions)]
    return frozenset(found | {f"message {queue} {' '.join(sorted(json.loads(body)))}" for body, queue in bodies})


def _of_row(row: Row, encoded: dict[str, Any]) -> Iterator[str]:
    kind = kind_of(row)
    state = "" if isinstance(row, Install) else f" {row.state}"
    yield f"{kind}{state}"
    usual = _USUAL[type(row)]
    for name, value in encoded.items():
        if name not in _UNTOLD_FIELDS and name not in _NAMES and value != usual.get(name, value):
            yield f"{kind}{state} {name}"


def _pattern(key: str) -> str:
    """Return *key* without what is the job's own: `internal/…/chunks/0/000000.jsonl` is `internal/chunks/0/0.jsonl`."""
    if key.startswith("results/"):
        rest = re.split(r"/[0-9a-f]{20}/", key, maxsplit=1)[1]
        return f"results/{'items/x.json' if rest.startswith('items/') else rest}"
    return re.sub(r"\d+", "0", re.sub(r"/[0-9a-f]{20}/", "/", key))


# ---------------------------------------------------------------------- freezing a release


def _stories() -> Iterator[Installation]:
    """Yield the worlds to run: each story calm, some struck on purpose, and each in some storms."""
    stories = [story for story in SCENARIOS if story.name not in _LEFT_OUT]
    for story in stories:
        yield Installation(story, Exact({}))
    for name, plan, limits, failures in _STRUCK:
        story = replace(BY_NAME[name], limits={**BY_NAME[name].limits, **limits}, failures=failures)
        yield Installation(story, plan)
    for story in stories:
        for seed in range(_STORM_SEEDS):
            yield build(Run(story.name, seed=seed, is_storm=True))


@contextmanager
def stepping() -> Iterator[None]:
    """Let the objects of even the smallest shard be put in steps."""
    with patch.object(item_objects, "STEP_OBJECTS_MAX", 1), patch.object(harvest, "STEP_OBJECTS_MAX", 1):
        yield


def _worlds() -> list[Frozen]:
    """Return worlds that together show every feature that any story shows, few of them."""
    candidates: list[tuple[Frozen, frozenset[str]]] = []
    seen: set[str] = set()
    for here in _stories():
        names = iter(range(1_000_000))

        def take(change: Change, here: Installation = here, names: Iterator[int] = names) -> None:
            if not any(isinstance(write.after, Job | Shard) for write in change.writes):
                return
            state = freeze(here, f"{here.scenario.name}-{next(names):03d}")
            shown = features(state)
            if not shown <= seen:
                seen.update(shown)
                candidates.append((state, shown))

        here.ledger.watch = take
        with stepping() if here.scenario.name == _STEPPED else nullcontext():
            here.run()
    return _fewest(candidates)


def _fewest(candidates: list[tuple[Frozen, frozenset[str]]]) -> list[Frozen]:
    """Return those of *candidates* that are left when each that adds nothing is dropped, the largest first."""
    counts = Counter(feature for _, shown in candidates for feature in shown)
    kept: list[Frozen] = []
    for state, shown in sorted(candidates, key=lambda pair: len(pair[1])):
        if all(counts[feature] > 1 for feature in shown):
            counts.subtract(shown)
        else:
            kept.append(state)
    return kept


def main() -> int:
    """Freeze every state for the release that the command line names."""
    folder = FOLDER / sys.argv[1]
    folder.mkdir(parents=True)
    taken: Counter[str] = Counter()
    for state in _worlds():
        taken[state.scenario] += 1
        named = replace(state, name=f"{state.scenario}-{taken[state.scenario]}")
        (folder / f"{named.name}.json").write_text(json.dumps(asdict(named), indent=1) + "\n")
        sys.stdout.write(f"{named.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
