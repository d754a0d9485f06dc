"""The results of one job as a person would look at them: the tree of objects, and one item's content."""

from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.json import JSON
from rich.tree import Tree

from batchdrop_cli.jobs.status import JobStatus
from batchdrop_cli.stack import Found
from batchdrop_cli.views.console import text

ITEMS_FOLDER = "items/"
FILES_SHOWN_MAX = 20  # of one folder


def show_tree(console: Console, bucket: str, job: JobStatus, listing: Sequence[Found]) -> None:
    """Print the objects of *listing*, all of them in the job's folder."""
    tree = Tree(text(f"s3://{bucket}/{job.folder}", "bold"))
    inside = [(found.key.removeprefix(job.folder), found.size_bytes) for found in listing]
    items = [(name.removeprefix(ITEMS_FOLDER), size) for name, size in inside if name.startswith(ITEMS_FOLDER)]
    if items:
        _add_files(tree.add(text(ITEMS_FOLDER, "bold")), items)
    _add_files(tree, [(name, size) for name, size in inside if not name.startswith(ITEMS_FOLDER)])
    console.print(tree)


def _add_files(branch: Tree, files: Sequence[tuple[str, int]]) -> None:
    for name, size_bytes in files[:FILES_SHOWN_MAX]:
        branch.add(text(f"{name}  {decimal(size_bytes)}"))
    if len(files) > FILES_SHOWN_MAX:
        branch.add(f"and {len(files) - FILES_SHOWN_MAX:,} more")


def first_item(listing: Sequence[Found]) -> str | None:
    """Return the key of the first item in *listing*, None where there is none."""
    return next((found.key for found in listing if f"/{ITEMS_FOLDER}" in found.key), None)


def show_item(console: Console, bucket: str, key: str, content: bytes) -> None:
    """Print where an item is, and its content."""
    console.print(text(f"s3://{bucket}/{key}", "bold"))
    console.print(JSON(content.decode()))
