"""Looks at an upload before anything of it is planned: is it what its name says, and of any use to its task?

Rule: the look changes nothing of what is read after it. A file that is wrong as a whole ends here, with one notification,
instead of an object for each of a million records (docs/decisions/0007-wrong-files.md).
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

from batchdrop.core.model.errors import ItemRefused, UploadRejected
from batchdrop.core.planning.plan import Recipe
from batchdrop.core.planning.requests import FOREIGN
from batchdrop.formats.records import Format, Record

# This many records that are invalid for one reason aren't an accident. Chosen.
SAMPLE_RECORDS: Final = 20
# They are held in memory.
_SAMPLE_BYTES: Final = 1_000_000
# The template engine's own words may quote a record.
_QUOTING: Final = "template_failed"


def sampled(runs: Iterator[list[Record]], form: Format, recipe: Recipe) -> Iterator[list[Record]]:
    """Return *runs* whole. Raises UploadRejected where the first of them are all refused for one reason.

    SAMPLE_RECORDS of them, but for another provider's format: there all of a shorter file are enough.
    """
    held: list[list[Record]] = []
    sample = list(_sample(chain.from_iterable(_held(runs, held))))
    refusals = [refusal for record in sample if (refusal := _refusal(record, form, recipe))]
    codes = {refusal.code for refusal in refusals}
    is_enough = len(sample) == SAMPLE_RECORDS or codes == {FOREIGN}
    if len(refusals) == len(sample) and len(codes) == 1 and is_enough:
        raise _rejected(refusals)
    return chain(held, runs)


def _held(runs: Iterator[list[Record]], held: list[list[Record]]) -> Iterator[list[Record]]:
    """Yield *runs*, and keep them in *held*."""
    for run in runs:
        held.append(run)
        yield run


def _sample(records: Iterator[Record]) -> Iterator[Record]:
    size_bytes = 0
    for record in islice(records, SAMPLE_RECORDS):
        yield record
        size_bytes += len(record.raw)
        if size_bytes > _SAMPLE_BYTES:
            return


def _refusal(record: Record, form: Format, recipe: Recipe) -> ItemRefused | None:
    """Return why the record, looked at alone, cannot become a request; None where it can."""
    try:
        value = form.decode(record)
        recipe.build(value, recipe.name(value, record.row))
    except ItemRefused as refusal:
        return refusal
    return None


def _rejected(refusals: Sequence[ItemRefused]) -> UploadRejected:
    first = refusals[0]
    why = "a template of the task fails on the first record" if first.code == _QUOTING else first.message
    also = f"; the same holds for each of the first {len(refusals)} records" if len(refusals) > 1 else ""
    return UploadRejected(first.code, f"{why}{also}")
