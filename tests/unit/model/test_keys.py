import hashlib

import pytest

from batchdrop.core.model.keys import (
    Keys,
    Upload,
    is_ignored,
    is_key_too_long,
    is_of_results,
    item_name,
    refused_name,
    row_name,
)


def test_a_job_is_its_upload() -> None:
    """The job's id follows from bucket, key and version alone: a redelivered event is the same job."""
    upload = Upload("b", "inbox/k", "v")

    job = upload.job_id

    assert job == hashlib.sha256(b"b\0inbox/k\0v").hexdigest()[:20]
    assert job != Upload("b", "inbox/k", "v2").job_id


def test_parts_of_an_upload_cannot_run_together() -> None:
    """Bucket and key that concatenate to the same text are two jobs."""
    one, other = Upload("ab", "c", "v"), Upload("a", "bc", "v")

    ids = {one.job_id, other.job_id}

    assert len(ids) == 2


@pytest.mark.parametrize(
    ("key", "task", "extension"),
    [
        ("inbox/sentiment/2026/reviews.CSV", "sentiment", "csv"),
        ("inbox/nightly.jsonl", "-", "jsonl"),
        ("inbox/t/no-ending", "t", ""),
        ("inbox/t.d/no-ending", "t.d", ""),
    ],
)
def test_a_key_says_task_and_format(key: str, task: str, extension: str) -> None:
    """The first folder below the inbox is the task, the last dot of the name begins the ending."""
    upload = Upload("b", key, "v")

    assert (upload.task, upload.extension) == (task, extension)


@pytest.mark.parametrize(
    "key",
    [
        "tasks/t.yaml", "inbox/", "inbox/t/", "inbox/t/.DS_Store", "inbox/._x.csv", "inbox/t/Thumbs.db", "inbox/t/THUMBS.DB",
        "inbox/t/desktop.ini", "inbox/_SUCCESS", "inbox/t/part_$folder$", "inbox/.gitkeep", "inbox/t/.~lock.x.csv#",
        "inbox/t/~$x.xlsx", "inbox/x.csv.crdownload", "inbox/t/x.csv.part", "inbox/t/x.csv.md5", "inbox/t/.x.csv.crc",
    ],
)  # fmt: skip
def test_what_is_no_drop_is_ignored(key: str) -> None:
    """Folder markers, halves of files, and what programs leave beside files start no job."""
    assert is_ignored(key)


@pytest.mark.parametrize(
    "name", ["part.csv", "my_SUCCESS.csv", "x.md5.csv", "lock.csv", "part", "md5", "a$folder$.csv"]
)
def test_a_name_that_only_resembles_them_is_a_drop(name: str) -> None:
    """Only the whole name, or its ending, says that a file is none."""
    assert not is_ignored(f"inbox/t/{name}")


def test_a_drop_is_not_ignored() -> None:
    """A file below the inbox is a drop, even where its folder has an odd name."""
    assert not is_ignored("inbox/.DS_Store/a.csv")


def test_long_keys_are_measured_in_bytes() -> None:
    """A key of few characters may be too long in UTF-8."""
    key = "inbox/" + "ü" * 348

    assert is_key_too_long(key)
    assert not is_key_too_long(key[:-1])


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("R-1042", "R-1042"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("...x", "...x"),
        ("000000001~invalid", "000000001%7Einvalid"),
        ("ü", "%C3%BC"),
        ("a b\n", "a%20b%0A"),
        ("100%", "100%25"),
    ],
)
def test_a_name_is_safe_as_the_last_part_of_a_key(identifier: str, name: str) -> None:
    """Whatever a user calls an item, it stays in its folder and can be read back."""
    assert item_name(identifier) == name


def test_a_long_name_is_cut_between_escapes_and_stays_distinct() -> None:
    """Names over 200 bytes are cut and end with a digest, so that two long names with one start differ."""
    one, other = item_name("ü" * 100 + "1"), item_name("ü" * 100 + "2")

    assert one != other
    assert len(one) <= 200
    assert len(one[: one.index("~")]) % 3 == 0


def test_keys_lie_below_their_job() -> None:
    """Everything of a job lies in its two folders."""
    keys = Keys("j", "inbox/t/a.csv")

    results = [keys.item("n"), keys.status, keys.outcomes, keys.summary, keys.merged("csv"), keys.failures("csv")]
    internal = [
        keys.task_snapshot,
        keys.chunk(0, 1),
        keys.plan_page(0),
        keys.plan_digests(0),
        keys.refused(0),
        keys.part(3),
    ]

    assert all(key.startswith("results/t/a.csv/j/") for key in results)
    assert all(key.startswith("internal/j/") for key in internal)
    assert len({*results, *internal}) == len(results) + len(internal)


def test_names_of_refused_items_sort_with_their_rows() -> None:
    """A refused item is found by its row."""
    assert refused_name(7, "invalid") == f"{row_name(7)}~invalid" == "000000007~invalid"


@pytest.mark.parametrize(
    "key",
    ["inbox/a.csv/0123456789abcdef0123/results.csv", "inbox/0123456789abcdef0123/a.csv", "inbox/0123456789abcdef0123"],
)
def test_no_job_s_folder_lies_within_another_s(key: str) -> None:
    """What looks like a job's folder in an upload's key is escaped in the key of its results."""
    folders = Keys("fedcba98765432100000", key).results.split("/")[1:-2]

    assert is_of_results(key)
    assert not is_of_results("/".join(folders))
    assert not is_of_results("inbox/0123456789abcdef01234.csv")


def test_a_job_knows_by_name_what_it_wrote() -> None:
    """What lies in its folder under another name, or deeper, is another's."""
    keys = Keys("0123456789abcdef0123", "inbox/a.csv")
    mine = [
        keys.status,
        keys.summary,
        keys.outcomes,
        keys.outcome_index,
        keys.report,
        keys.merged("csv"),
        keys.failures("csv"),
    ]
    mine += [keys.item("R-1"), keys.item("a%2Fb"), keys.chunk(0, 1), keys.part(3), keys.task_snapshot]
    others = [
        f"{keys.results}{name}"
        for name in ("notes.txt", "items/deep/x.json", "results.csv/fedcba98765432100000/status.json")
    ]

    assert all(map(keys.is_written, mine))
    assert not any(
        map(keys.is_written, [*others, "results/b.csv/0123456789abcdef0123/status.json", "internal/other/x"])
    )


@pytest.mark.parametrize("lead", range(4))
def test_a_folder_is_cut_between_characters(lead: int) -> None:
    """A key that is too long is cut to 700 bytes or a few less, and never within a character."""
    folder = Keys("0123456789abcdef0123", "inbox/" + "k" * lead + "\U0001f600" * 300).results

    cut = folder.removeprefix("results/").removesuffix("~/0123456789abcdef0123/")

    assert cut == "k" * lead + "\U0001f600" * ((700 - lead) // 4)
    assert 697 <= len(cut.encode()) <= 700
