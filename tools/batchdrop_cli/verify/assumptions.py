"""What the rule 'create once' assumes of the provider, each assumption looked at once.

Rule: a verdict says what was seen, never what is likely. What patience did not last for, or what cannot be told apart, is
not seen (docs/decisions/0003-create-once.md).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import httpx2

from batchdrop.core.model.batches import Accepted, Batch, CreateAnswer, Declined, NotSent, Uncertain
from batchdrop.core.model.errors import KeyRefused, NotAtProvider, ProviderError
from batchdrop.core.model.limits import MINUTE, Limits
from batchdrop_cli.verify.provider_probe import CUSTOM_ID, ENDED, Probe
from batchdrop_cli.verify.seen import Seen, SeenVerdict

LIMITS = Limits()
# When a batch of the deleted file is created: at once, and while a deletion may still take effect in time.
AFTER_DELETION_SECONDS = (0, MINUTE, 5 * MINUTE, LIMITS.fence_wait_seconds - MINUTE)
WAITING = frozenset({"validating"})
NOBODYS_BATCH = "batch_00000000000000000000000000000000"


class Looked(Exception):
    """A look ended before it could tell anything; the message says why."""


def look_at_all(probe: Probe) -> Iterator[Seen]:
    """Yield what is seen of every assumption, each as soon as it is. Raises KeyRefused."""
    state = _Run()
    for assumption, look in LOOKS:
        try:
            seen, holds = look(probe, state)
        except (Looked, httpx2.HTTPError) as error:
            yield Seen(assumption, str(error), SeenVerdict.NOT_SEEN)
        except KeyRefused:
            raise
        except ProviderError as error:
            yield Seen(assumption, f"no answer: {error}", SeenVerdict.NOT_SEEN)
        else:
            yield Seen(assumption, seen, SeenVerdict.HOLDS if holds else SeenVerdict.BREACHED)


@dataclass(slots=True)
class _Run:
    """What earlier looks have found."""

    file: str = ""
    batch: str = ""
    metadata: dict[str, str] | None = None
    list_lag_seconds: float | None = None

    @property
    def made(self) -> str:
        """The batch of the first create."""
        if not self.batch:
            raise Looked("no batch was made to look at")
        return self.batch


type Look = Callable[[Probe, _Run], tuple[str, bool]]


def file_is_visible(probe: Probe, run: _Run) -> tuple[str, bool]:
    """A file that was uploaded is found by its id."""
    run.file = probe.upload()
    return _within(
        probe.look_until(lambda: probe.provider.file_exists(run.file), LIMITS.file_visible_seconds_max),
        LIMITS.file_visible_seconds_max,
    )


def batch_is_made(probe: Probe, run: _Run) -> tuple[str, bool]:
    """A create is answered with a batch, which can be read."""
    answer = probe.create(run.file)
    run.metadata = {**probe.metadata}
    run.batch = _accepted(answer).id
    return _within(
        probe.look_until(lambda: _is_there(probe, run.batch), LIMITS.fence_wait_seconds), LIMITS.fence_wait_seconds
    )


def batch_is_listed(probe: Probe, run: _Run) -> tuple[str, bool]:
    """The list of batches shows it within the wait after the fence."""
    batch = run.made
    run.list_lag_seconds = probe.look_until(
        lambda: any(listed.id == batch for listed in probe.listed()), LIMITS.fence_wait_seconds
    )
    return _within(run.list_lag_seconds, LIMITS.fence_wait_seconds)


def metadata_comes_back(probe: Probe, run: _Run) -> tuple[str, bool]:
    """The ticket and what goes with it are echoed by the batch and by the list."""
    batch = run.made
    echoes = [probe.provider.batch(batch), *(listed for listed in probe.listed() if listed.id == batch)]
    is_same = all(dict(echo.metadata or {}) == run.metadata for echo in echoes)
    return ("unchanged" if is_same else f"{[echo.metadata for echo in echoes]}"), is_same


def absence_is_a_404(probe: Probe, _run: _Run) -> tuple[str, bool]:
    """A batch that does not exist is answered 404."""
    is_there = _is_there(probe, NOBODYS_BATCH)
    return ("a batch" if is_there else "404"), not is_there


def deleted_file_is_gone(probe: Probe, _run: _Run) -> tuple[str, bool]:
    """A deleted file is not found any more."""
    file = probe.upload()
    _wait_until_visible(probe, file)
    probe.provider.delete_file(file)
    gone = probe.look_until(lambda: not probe.provider.file_exists(file), LIMITS.fence_wait_seconds)
    return _within(gone, LIMITS.fence_wait_seconds)


def deleted_file_serves_no_batch(probe: Probe, run: _Run) -> tuple[str, bool]:
    """The fence: a batch of a deleted file is refused or fails unbilled, in time for the list to show what did not."""
    if run.list_lag_seconds is None:
        raise Looked("the lag of the list was not seen")
    file = probe.upload()
    _wait_until_visible(probe, file)
    probe.provider.delete_file(file)
    deleted_at = probe.watch.now()
    for after_seconds in AFTER_DELETION_SECONDS:
        probe.watch.sleep(max(0.0, deleted_at + after_seconds - probe.watch.now()))
        refusal = _refusal(probe, probe.create(file))
        if refusal:
            together = after_seconds + run.list_lag_seconds
            return f"{refusal} {after_seconds:,} s after the deletion", together <= LIMITS.fence_wait_seconds
    return f"a batch still ran {AFTER_DELETION_SECONDS[-1]:,} s after the deletion", False


def _refusal(probe: Probe, answer: CreateAnswer) -> str:
    """Return how the batch of a deleted file was turned away, empty where it ran."""
    if isinstance(answer, Declined) and answer.status in (400, 404):
        return f"refused with {answer.status}"
    batch = _accepted(answer)
    read = probe.wait(batch.id, lambda found: found.status not in WAITING)
    if read is None:
        raise Looked("it was not validated in time")
    if read.status != "failed":
        return ""
    tokens = probe.billed_tokens(batch.id)
    return f"failed, {tokens:,} tokens billed," if not tokens else ""


def cancelled_costs_nothing(probe: Probe, _run: _Run) -> tuple[str, bool]:
    """A batch that is cancelled before it ran bills nothing."""
    file = probe.upload()
    _wait_until_visible(probe, file)
    batch = _accepted(probe.create(file)).id
    probe.look_until(lambda: _is_there(probe, batch), LIMITS.fence_wait_seconds)
    probe.provider.cancel_batch(batch)
    found = _ended(probe, batch)
    if found.completed or found.status != "cancelled":
        raise Looked(f"it is {found.status} with {found.completed} answers: the cancel came too late to tell")
    tokens = probe.billed_tokens(batch)
    return f"{found.status}, {tokens:,} tokens billed", not tokens


def answers_are_counted(probe: Probe, run: _Run) -> tuple[str, bool]:
    """A completed batch has as many answers in its file as it counts, under the ids that were sent."""
    found = _ended(probe, run.made)
    if found.status != "completed":
        raise Looked(f"it is {found.status}")
    if not found.output_file:
        late = probe.wait(found.id, lambda read: read.output_file is not None)
        found = late or found
    lines = _lines(probe, found.output_file) if found.output_file else []
    is_right = len(lines) == found.completed and all(line == CUSTOM_ID for line in lines)
    return f"{found.completed} counted, {len(lines)} in the file", is_right


def ended_batch_stays_ended(probe: Probe, run: _Run) -> tuple[str, bool]:
    """Asking to cancel what has ended is refused with 400 or 409, or changes nothing."""
    before = _ended(probe, run.made)
    probe.provider.cancel_batch(before.id)
    after = probe.provider.batch(before.id)
    return after.status, after.status == before.status


LOOKS: tuple[tuple[str, Look], ...] = (
    ("an uploaded file is found within 15 minutes", file_is_visible),
    ("a batch can be read within 15 minutes of its create", batch_is_made),
    ("the list shows it within 15 minutes", batch_is_listed),
    ("metadata comes back as it was sent", metadata_comes_back),
    ("what does not exist is answered 404", absence_is_a_404),
    ("a deleted file is gone within 15 minutes", deleted_file_is_gone),
    ("a deleted file serves no batch; its delay and the list's are 15 minutes at most", deleted_file_serves_no_batch),
    ("a batch cancelled before it ran bills nothing", cancelled_costs_nothing),
    ("a completed batch has the answers that it counts", answers_are_counted),
    ("an ended batch cannot be cancelled", ended_batch_stays_ended),
)


def _within(seconds: float | None, seconds_max: int) -> tuple[str, bool]:
    if seconds is None:
        return f"not within {seconds_max:,} s", False
    return f"after {seconds:.0f} s", True


def _accepted(answer: CreateAnswer) -> Batch:
    match answer:
        case Accepted(batch=batch):
            return batch
        case Declined(status=status, message=message):
            raise Looked(f"the create was refused with {status}: {message}")
        case NotSent(cause=cause):
            raise Looked(f"the provider was not reached: {cause}")
        case Uncertain(cause=cause):
            raise Looked(f"the create was not answered: {cause}")


def _is_there(probe: Probe, batch: str) -> bool:
    try:
        probe.provider.batch(batch)
    except NotAtProvider:
        return False
    return True


def _wait_until_visible(probe: Probe, file: str) -> None:
    if probe.look_until(lambda: probe.provider.file_exists(file), LIMITS.file_visible_seconds_max) is None:
        raise Looked("its file was not found in time")


def _ended(probe: Probe, batch: str) -> Batch:
    found = probe.wait(batch, lambda read: read.status in ENDED)
    if found is None:
        raise Looked(f"the batch has not ended within {probe.patience_seconds / MINUTE:,.0f} minutes")
    return found


def _lines(probe: Probe, file: str) -> list[str]:
    content = BytesIO()
    probe.provider.download(file, content)
    return [json.loads(line)["custom_id"] for line in content.getvalue().splitlines() if line.strip()]
