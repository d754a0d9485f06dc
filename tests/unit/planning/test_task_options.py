"""What a task says beside how to ask: how items can be read one by one."""

import json
import re

import pytest
from fakes.tasks import RATE
from fakes.world import World

from batchdrop.core.collection.outcome_index import likely_window, places
from batchdrop.core.delivery.summary import Results
from batchdrop.core.model.errors import UploadRejected
from batchdrop.core.model.job import ItemAccess, Job, TaskOptions
from batchdrop.core.model.reasons import NotificationEvent, Reason
from batchdrop.core.notification.notifications import render
from batchdrop.core.planning.task import parse_task
from batchdrop.edge.aws.row_format import decode_row, encode_row

# The second row repeats an id, so planning refuses it.
ROWS = b"review_id,review\nr1,good\nr1,again\nr2,bad\n"


def world_with(options: bytes) -> World:
    """A world whose one task has *options*."""
    world = World()
    world.storage.put_task("sentiment", RATE + options)
    return world


def item_keys(world: World) -> list[str]:
    """The keys of all item objects."""
    return [key for key in world.storage.objects if "/items/" in key]


def indexed(world: World, job: str) -> dict[str, bytes]:
    """The outcomes of *job*'s items by name, each read by the index and one range."""
    index, lines = world.result(job, "outcomes.index"), world.result(job, "outcomes.jsonl")
    found = {}
    for name in (json.loads(line)["name"] for line in lines.splitlines()):
        window = likely_window(name, len(index))
        for place in places(name, index[window.start : window.end], window, len(index)) or []:
            found[name] = lines[place.offset : place.offset + place.length]
            assert json.loads(found[name])["name"] == name
    return found


def delivered_files(world: World) -> dict[str, bytes]:
    """All results but the item objects and what says how items are read, by key."""
    return {
        key: content
        for key, content in world.storage.objects.items()
        if key.startswith("results/") and not re.search(r"/items/|/(status|summary)\.json$", key)
    }


def test_a_task_that_says_nothing_has_an_object_for_each_item() -> None:
    """Whoever wants less has to say so."""
    assert parse_task("t", RATE).options == TaskOptions() == TaskOptions(items=ItemAccess.OBJECTS)


def test_the_options_of_a_job_are_those_of_its_copy_of_the_task() -> None:
    """A task that is changed while a job runs changes nothing of it."""
    world = world_with(b"items: none\n")
    job = world.drop("inbox/sentiment/a.csv", ROWS)
    world.storage.put_task("sentiment", RATE)

    ended = world.run(job)

    assert ended.options == TaskOptions(items=ItemAccess.NONE)
    assert not item_keys(world)


def test_without_objects_all_else_is_the_same_and_costs_fewer_puts() -> None:
    """Each item has its line in `outcomes.jsonl`, refused ones too; a PUT for each is saved."""
    worlds = {}
    for name in (b"objects", b"none"):  # an index is one more object
        world = worlds[name] = world_with(b"items: " + name + b"\n")
        world.run(world.drop("inbox/sentiment/a.csv", ROWS))

    files = {name: delivered_files(world) for name, world in worlds.items()}
    assert files[b"objects"] == files[b"none"] != {}
    assert len(item_keys(worlds[b"objects"])) == 3
    assert worlds[b"objects"].storage.puts - worlds[b"none"].storage.puts == 3


def test_every_item_is_found_by_the_index_and_has_no_object() -> None:
    """Two ranges give any item: of those that were answered, that planning refused, and that were never sent."""
    world = world_with(b"items: index\n")
    job = world.drop("inbox/sentiment/a.csv", ROWS)

    world.run(job)

    assert sorted(indexed(world, job)) == ["000000002~duplicate", "r1", "r2"]
    assert not item_keys(world)
    names = [file["name"] for file in json.loads(world.result(job, "summary.json"))["files"]]
    assert names[:2] == ["outcomes.jsonl", "outcomes.index"]


def test_the_index_names_what_a_cancelled_job_never_sent() -> None:
    """Nobody pays for objects of a million items that were cancelled, and the index costs nothing more."""
    world = world_with(b"items: index\n")
    world.providers.key = None
    job = world.drop("inbox/sentiment/a.csv", ROWS)
    world.ask(job, "cancel")

    world.run(job)

    assert sorted(indexed(world, job)) == ["000000002~duplicate", "r1", "r2"]


def test_the_index_is_there_when_the_upload_is_gone() -> None:
    """What was answered can be read one by one, whatever became of the file."""
    world = world_with(b"items: index\n")
    job = world.drop("inbox/sentiment/a.csv", ROWS)
    world.storage.unreadable.update(world.storage.uploads)

    world.run(job)

    assert len(indexed(world, job)) == 3


def test_a_row_of_an_older_release_has_the_defaults() -> None:
    """What was pinned before there were options is delivered as it was then."""
    row = json.loads(encode_row(Job(id="j", bucket="b", key="k", version="v", created_at=1)))
    del row["options"]

    read = decode_row("job", json.dumps(row))

    assert isinstance(read, Job)
    assert read.options == TaskOptions()


def test_options_come_back_from_the_ledger() -> None:
    """What was written is read again."""
    job = Job(id="j", bucket="b", key="k", version="v", created_at=1, options=TaskOptions(items=ItemAccess.NONE))

    assert decode_row("job", encode_row(job)) == job


def test_a_value_that_is_none_of_the_known_is_refused_with_its_line() -> None:
    """A word that is misspelt must not be paid for as something else."""
    with pytest.raises(UploadRejected, match="line 7: `items`: input should be 'objects', 'index' or 'none'"):
        parse_task("t", RATE + b"items: object\n")


@pytest.mark.parametrize(
    ("items", "place"), [(ItemAccess.OBJECTS, "s3://r/results/"), (ItemAccess.NONE, "internal/j/")]
)
def test_a_notification_of_a_job_that_broke_names_where_things_are(items: ItemAccess, place: str) -> None:
    """Nobody is sent to a folder that is not there."""
    job = Job(
        id="j", bucket="b", key="inbox/k", version="v", created_at=1, event=NotificationEvent.FAILED,
        reason=Reason("broken_state", "x"), options=TaskOptions(items=items),
    )  # fmt: skip

    notification = render(job, Results(), "s3://r/results/")

    kept = next(line for line in notification.text.splitlines() if "is kept" in line)
    assert place in kept
