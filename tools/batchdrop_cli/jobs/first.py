"""The first records of a file, as a file of their own in the same format: for a trial that costs little.

Rule: what is cut off is cut between records; those that stay are the file's own bytes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from batchdrop.core.model.keys import Upload
from batchdrop.formats import format_of
from batchdrop.formats.records import read_records
from batchdrop_cli.jobs.upload import check_file, inbox_key


@contextmanager
def cut_files(paths: Sequence[Path], task: str | None, count: int | None) -> Iterator[list[Path]]:
    """Give files of the first *count* records of each of *paths* while the context lasts; without a count, the files."""
    if count is None:
        yield list(paths)
        return
    with TemporaryDirectory() as folder:
        for path in paths:
            check_file(path, inbox_key(path, task))
        yield [cut_first(path, task, count, Path(folder)) for path in paths]


def cut_first(path: Path, task: str | None, count: int, folder: Path) -> Path:
    """Write the first *count* records of *path* into *folder*, and return the new file, such as `reviews.first-20.csv`.

    A file of fewer records is copied under that name. Raises UploadRejected where the file cannot be read as what its name
    says.
    """
    form = format_of(Upload("-", inbox_key(path, task), "-"))
    target = folder / f"{path.stem}.first-{count}{path.suffix}"
    with path.open("rb") as source, target.open("xb") as cut:
        form = form.open(source)
        source.seek(form.header.body_start)
        cut.write(form.failure_head())
        for number, record in enumerate(islice(read_records(form, source, form.header.body_start, 0), count)):
            cut.write(form.failure(record, is_first=number == 0))
        cut.write(form.failure_tail())
    return target
