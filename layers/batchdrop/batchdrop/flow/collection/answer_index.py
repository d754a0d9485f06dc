"""Finds and reads each answer of a batch: from disk where its file fits there, else from the archive by range.

Rule: a file is indexed while its bytes go by, so it is never held whole, whatever its size. Memory is some bytes for each line,
and a bounded window of the answers that come next.
"""

import io
import os
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Final, cast

from batchdrop.core.collection.answers import (
    failure_of,
    may_be_sent_again,
    parse_answer,
    row_of_answer,
    row_of_head,
    too_large,
)
from batchdrop.flow.ports import Ranges
from batchdrop.flow.submission.disk import is_disk_full

# One answer, in bytes: images in base64 are the largest. A longer line is not read; its item fails and says so.
ANSWER_BYTES_MAX: Final = 64_000_000
# What is read ahead of an answer that is not on disk. An answer of 2 MB takes 30 ms, of which most is waiting.
AHEAD_ANSWERS_MAX: Final = 64
AHEAD_BYTES_MAX: Final = 16_000_000
# Of a line that is not read, so much is looked at to find whose it is.
_HEAD_BYTES: Final = 4_096
_UNKNOWN_ROW: Final = -1


class Disk:
    """How many bytes of answers may be on disk at one time, over all files of a batch."""

    def __init__(self, size_bytes: int) -> None:
        self._free_bytes = size_bytes

    def take(self, size_bytes: int) -> bool:
        """Take *size_bytes*, if they are free."""
        is_free = size_bytes <= self._free_bytes
        self._free_bytes -= size_bytes * is_free
        return is_free

    def give_back(self, size_bytes: int) -> None:
        """Let others have *size_bytes*."""
        self._free_bytes += size_bytes


class AnswerFile:
    """One file of a batch. What is written to it is indexed, and kept on disk as long as there is space.

    Once `finish` was called it has all lines of the file that are not blank, in the file's order.
    """

    def __init__(self, key: str, disk: Disk, *, counts_passing: bool) -> None:
        """*key* names the file in the archive. With *counts_passing* each line is looked at for a cause that may pass."""
        self.key = key
        self.rows = array("q")
        self.lengths = array("I")
        self.offsets = array("q")
        self.size_bytes = 0
        self.passing = 0
        self._counts_passing = counts_passing
        self._disk = disk
        self._spool = _new_spool()
        self._spooled_bytes = 0
        self._pending: list[bytes] = []  # of a line whose end is not there yet
        self._pending_bytes = 0

    def write(self, content: bytes) -> int:
        """Take the next bytes of the file, and return how many."""
        if self._spool is not None and not self._is_kept(self._spool, content):
            self.leave_disk()
        end = content.rfind(b"\n") + 1
        lines = io.BytesIO(content)  # one line at a time stays in the processor's cache, a piece of 1 MB does not
        if end and self._pending_bytes:
            self._hold(lines.readline())
            self._add_held()
        rest = content[end:]
        self._add(iter(lines.readline, rest))  # no whole line is the same: it has an end
        self._hold(rest)
        return len(content)

    def finish(self) -> None:
        """Take what was written for the whole file; its last line may have no end."""
        if self._pending_bytes:
            self._add_held()

    @property
    def descriptor(self) -> int | None:
        """The descriptor of the file on disk; None where it is not there."""
        return None if self._spool is None else self._spool.fileno()

    def leave_disk(self) -> None:
        """Give up the space on disk: answers are read from the archive."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
            self._disk.give_back(self._spooled_bytes)

    def _is_kept(self, spool: BinaryIO, content: bytes) -> bool:
        """Whether *content* is on disk now. A full disk may take the first part of it."""
        if not self._disk.take(len(content)):
            return False
        self._spooled_bytes += len(content)
        try:
            return spool.write(content) == len(content)
        except OSError as error:
            if not is_disk_full(error):
                raise
            return False

    def _hold(self, piece: bytes) -> None:
        """Hold a part of a line. Of a line that is too long to be read, its head is enough."""
        self._pending_bytes += len(piece)
        if self._pending_bytes <= ANSWER_BYTES_MAX:
            self._pending.append(piece)
        else:
            self._pending = [b"".join(one[:_HEAD_BYTES] for one in (*self._pending, piece))[:_HEAD_BYTES]]

    def _add_held(self) -> None:
        """Add the line that was held. One that is too long to be read is known by its head."""
        line, size_bytes = b"".join(self._pending), self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        if size_bytes <= ANSWER_BYTES_MAX:
            self._add((line,))
            return
        self.rows.append(row_of_head(line) or _UNKNOWN_ROW)
        self.lengths.append(size_bytes)
        self.offsets.append(self.size_bytes)
        self.size_bytes += size_bytes

    def _add(self, lines: Iterable[bytes]) -> None:
        rows, lengths, offsets, offset = self.rows, self.lengths, self.offsets, self.size_bytes
        for line in lines:
            size_bytes = len(line)
            if not line.isspace():
                rows.append(row_of_answer(line) or _UNKNOWN_ROW)
                lengths.append(size_bytes)
                offsets.append(offset)
                if self._counts_passing:
                    self.passing += _is_passing(line)
            offset += size_bytes
        self.size_bytes = offset


def _is_passing(line: bytes) -> bool:
    answer = parse_answer(line)
    failure = failure_of(answer)
    return failure is not None and may_be_sent_again(answer, failure)


def _new_spool() -> BinaryIO | None:
    """Return an unnamed file on disk, which is gone with the process, however that ends; None where there is no space."""
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(buffering=0))
    except OSError as error:
        if not is_disk_full(error):
            raise
        return None


class AnswerIndex:
    """Where each answer of a batch is: 24 bytes a line, some 100 while they are sorted.

    A batch has 50,000 lines at most, so this is small whatever the job. Answers are taken by ascending row, because that
    is the order of everything else.
    """

    def __init__(
        self, output: AnswerFile | None, errors: AnswerFile | None, open_ranges: Callable[[str], Ranges]
    ) -> None:
        """Index both files. *open_ranges* opens one that is not on disk by its key in the archive."""
        self._files = [file for file in (output, errors) if file]  # held: what is on disk goes with its file
        self._archived = [file for file in self._files if file.descriptor is None]
        self._open_ranges = open_ranges
        self._ranges: dict[int, Ranges] = {}
        self._rows = array("q")
        self._descriptors = array("i")  # of files in the archive: their numbers, from -1 downwards
        self._lengths = array("I")
        self._offsets = array("q")
        self.output_lines = self._add(output)
        # How many rows the output file answers; a line that comes twice is one answer.
        self.output_answers = len({*self._rows} - {_UNKNOWN_ROW})
        self.error_lines = self._add(errors)
        # How many lines of the error file have a cause that may pass.
        self.passing_errors = errors.passing if errors else 0
        self._is_read_at_once = not self._archived and max(self._lengths, default=0) <= ANSWER_BYTES_MAX
        self._sort()
        self._ahead: dict[int, bytes] = {}
        self._found: dict[int, bytes] = {}
        self.unknown = self.duplicates = self._next = 0

    def _add(self, file: AnswerFile | None) -> int:
        """Add the lines of *file* and return how many they are."""
        if file is None:
            return 0
        descriptor = file.descriptor
        if descriptor is None:
            descriptor = -1 - self._archived.index(file)
        self._rows += file.rows
        self._lengths += file.lengths
        self._offsets += file.offsets
        self._descriptors.extend([descriptor] * len(file.rows))
        return len(file.rows)

    def _sort(self) -> None:
        """Sort by row; of lines with the same row the output file's come first."""
        order = sorted(range(len(self._rows)), key=self._rows.__getitem__)
        self._rows, self._descriptors, self._lengths, self._offsets = (
            array(numbers.typecode, map(numbers.__getitem__, order))
            for numbers in (self._rows, self._descriptors, self._lengths, self._offsets)
        )

    def take_run(self, rows: Sequence[int]) -> Iterator[Sequence[bytes]]:
        """Yield for each of *rows* what `take` returns."""
        first, wanted = self._next, array("q", rows)
        end = first + len(wanted)
        is_plain = self._rows[first:end] == wanted and self._rows[end : end + 1] != wanted[-1:]
        if not (is_plain and self._is_read_at_once):
            return map(self.take, rows)
        self._next = end  # each is answered by one line: nearly always
        places = (numbers[first:end] for numbers in (self._descriptors, self._lengths, self._offsets))
        return zip(map(os.pread, *places), strict=True)

    def take(self, row: int) -> Sequence[bytes]:
        """Return the lines that answer *row*, the output file's first. Rows must ascend from call to call."""
        first = bisect_left(self._rows, row, self._next)
        end = bisect_right(self._rows, row, first)
        self.unknown += first - self._next
        self.duplicates += max(0, end - first - 1)
        self._next = end
        return [self._line(place, self._read_ahead) for place in range(first, end)]

    def find(self, row: int) -> list[bytes]:
        """Return the lines that answer *row*, the output file's first; of any row, and counting nothing."""
        first = bisect_left(self._rows, row)
        return [self._line(place, self._read_again) for place in range(first, bisect_right(self._rows, row, first))]

    def finish(self) -> None:
        """Count what is left as unknown: no item asked for it."""
        self.unknown += len(self._rows) - self._next
        self._next = len(self._rows)

    def restart(self) -> None:
        """Begin at the first row again."""
        self.unknown = self.duplicates = self._next = 0

    def _line(self, place: int, read_archived: Callable[[int], bytes]) -> bytes:
        if self._lengths[place] > ANSWER_BYTES_MAX:
            return too_large(self._rows[place], self._lengths[place], ANSWER_BYTES_MAX)
        if self._descriptors[place] < 0:
            return read_archived(place)
        return os.pread(self._descriptors[place], self._lengths[place], self._offsets[place])

    def _read_ahead(self, place: int) -> bytes:
        """Return a line of the archive, and read those that come next with it: one after the other they would take hours."""
        if place not in self._ahead:
            self._ahead = self._read(self._window(place))
        return self._ahead[place]

    def _read_again(self, place: int) -> bytes:
        """Return a line of the archive that another item's answer is copied from; it may be asked for often."""
        if place not in self._found:
            if sum(map(len, self._found.values())) + self._lengths[place] > AHEAD_BYTES_MAX:
                self._found.clear()
            self._found |= self._read([place])
        return self._found[place]

    def _window(self, place: int) -> list[int]:
        """Return *place* and those behind it that are read with it."""
        window, left_bytes = [place], AHEAD_BYTES_MAX - self._lengths[place]
        for following in range(place + 1, min(place + AHEAD_ANSWERS_MAX, len(self._rows))):
            left_bytes -= self._lengths[following]
            if left_bytes < 0:
                break
            if self._descriptors[following] < 0:
                window.append(following)
        return window

    def _read(self, window: Sequence[int]) -> dict[int, bytes]:
        read: dict[int, bytes] = {}
        for number in {self._descriptors[place] for place in window}:
            places = [place for place in window if self._descriptors[place] == number]
            if number not in self._ranges:
                self._ranges[number] = self._open_ranges(self._archived[-1 - number].key)
            lines = self._ranges[number].read([(self._offsets[place], self._lengths[place]) for place in places])
            read |= zip(places, lines, strict=True)
        return read
