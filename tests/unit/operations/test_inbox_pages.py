"""Pages of the inbox as S3 gives them: where the next one begins, whatever this one holds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes.world import World
from obstore.store import MemoryStore

from batchdrop.core.model.limits import Limits
from batchdrop.core.operations.missed_uploads import InboxPage, ListedUpload
from batchdrop.edge.aws.s3 import S3Storage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import S3Store

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
MARKER, OLD, CURRENT = "marker", "old", "current"


@dataclass
class Listing:
    """S3's side of the call: versions by key, the newest first, in pages of *page_size*, as ListObjectVersions has them."""

    versions: list[tuple[str, str]]
    page_size: int
    asked: list[tuple[str, str]] = field(default_factory=list)

    def list_object_versions(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - as boto3 has it
        """Return the versions and markers that follow the two markers of the page before."""
        found = [
            {"Key": key, "VersionId": f"v{at}", "IsLatest": kind != OLD, "LastModified": WHEN}
            for at, (key, kind) in enumerate(self.versions)
        ]
        after = (asked.get("KeyMarker", ""), asked.get("VersionIdMarker", ""))
        self.asked.append(after)
        start = 1 + [(entry["Key"], entry["VersionId"]) for entry in found].index(after) if any(after) else 0
        page = found[start : start + self.page_size]
        kinds = [kind for _, kind in self.versions[start : start + self.page_size]]
        markers = [entry for entry, kind in zip(page, kinds, strict=True) if kind == MARKER]
        listed: dict[str, Any] = {"IsTruncated": start + len(page) < len(found)}
        if listed["IsTruncated"]:
            listed |= {"NextKeyMarker": page[-1]["Key"], "NextVersionIdMarker": page[-1]["VersionId"]}
        if len(markers) < len(page):
            listed["Versions"] = [entry for entry in page if entry not in markers]
        return listed | ({"DeleteMarkers": markers} if markers else {})


def pages(listing: Listing) -> list[InboxPage]:
    """Return the pages of a whole walk."""
    store = cast("S3Store", MemoryStore())
    storage = S3Storage(store, store, "inbox", lambda: cast("S3Client", listing))
    found = [storage.list_inbox("")]
    while found[-1].next_after:
        assert len(found) <= len(listing.versions), "the walk does not end"
        found.append(storage.list_inbox(found[-1].next_after, found[-1].next_version))
    return found


@pytest.mark.parametrize("kind", [MARKER, OLD])
def test_a_page_of_nothing_that_is_current_is_not_the_last(kind: str) -> None:
    """Delete markers alone, or superseded versions alone: what follows them is still found."""
    listing = Listing([*((f"inbox/{n}", kind) for n in range(5)), ("inbox/z", CURRENT)], page_size=2)

    found = pages(listing)

    assert [listed.upload.key for page in found for listed in page.uploads] == ["inbox/z"]
    assert listing.asked == [("", ""), ("inbox/1", "v1"), ("inbox/3", "v3")]


def test_a_page_may_end_within_the_versions_of_a_key() -> None:
    """The next one goes on behind that version: nothing is skipped, and nothing listed twice."""
    kinds = [("inbox/a", CURRENT), ("inbox/b", MARKER), *[("inbox/b", OLD)] * 3, ("inbox/c", CURRENT), ("inbox/c", OLD)]
    listing = Listing(kinds, page_size=3)

    found = pages(listing)

    assert [listed.upload.key for page in found for listed in page.uploads] == ["inbox/a", "inbox/c"]
    assert listing.asked == [("", ""), ("inbox/b", "v2"), ("inbox/c", "v5")]


@pytest.mark.parametrize("empty", [1, 3])
def test_a_round_goes_on_behind_pages_without_uploads(empty: int) -> None:
    """In the same tick, and in the next where a tick looks at fewer pages."""
    world = World(limits=Limits(inbox_pages_per_tick_max=2))
    world.tick()
    world.advance(world.limits.inbox_round_seconds)
    upload = world.storage.drop("inbox/missed.jsonl", b"")
    world.advance(world.limits.event_awaited_seconds)
    shown = InboxPage((ListedUpload(upload, world.storage.upload_modified_at(upload)),), "")
    rest, asked = iter([*(InboxPage((), f"inbox/{n}", f"v{n}") for n in range(empty)), shown]), list[tuple[str, ...]]()

    def list_inbox(*after: str) -> InboxPage:
        asked.append(after)
        return next(rest)

    world.storage.list_inbox = list_inbox  # type: ignore[method-assign,assignment]  # what S3 may give

    for _ in range(1 + empty // 2):
        world.tick()

    assert asked == [("", ""), *((f"inbox/{n}", f"v{n}") for n in range(empty))]
    assert world.log.events.count("drop.missed") == 1
    assert world.ledger.job(upload.job_id) is not None
