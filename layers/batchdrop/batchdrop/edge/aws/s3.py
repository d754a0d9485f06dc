"""Reads and writes both buckets, through object_store's S3 client.

Rule: an upload is read by its version, everything else by the entity tag that was seen first, so that no read mixes two
contents; and what came back is compared with what was asked for.
Small puts cost a tenth of boto3's CPU here (docs/decisions/0002-dependencies.md).
"""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore.exceptions import InvalidPathError
from obstore.store import S3Store

from batchdrop.core.model.errors import BatchdropError, NotYet, UploadRejected
from batchdrop.core.model.keys import INBOX_PREFIX, TASKS_PREFIX, Upload, named_task, named_version, task_keys
from batchdrop.core.operations.missed_uploads import InboxPage, ListedUpload
from batchdrop.edge.aws.object_keys import checked_key, is_key_usable
from batchdrop.edge.aws.refused_reads import refusals_told
from batchdrop.flow.ports import PUTS_AHEAD_MAX, ObjectWriter, Ranges

if TYPE_CHECKING:
    from collections.abc import Buffer

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

TASK_NAMES_MAX = 100
# Most that a call lists (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html, 2026-11-22).
INBOX_PAGE_VERSIONS = 1_000
# Keys of tasks/ that are looked at to find that many; S3 lists 1,000 a call.
TASK_KEYS_MAX = 1_000

# The bytes of one request of a long read. A read lasts as long as its reader takes; each of its requests is short.
BLOCK_BYTES = 8 << 20
READ_BUFFER_BYTES = 1 << 20
# S3 refuses parts under 5 MiB but for the last, and takes 10,000 of them
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, 2026-11-22): 156 GiB in all.
PART_BYTES = 16 << 20
PARTS_IN_FLIGHT = 2
# Parts of one object that are read at a time.
RANGES_IN_FLIGHT = 32
# In flight at a time; at 22 ms a put that is 2,900 puts a second, below the 3,500 that a prefix takes.
SMALL_PUTS_IN_FLIGHT = 64
# Made ahead of who puts them: 22 ms of puts, so that none waits while the next are derived, a run of some dozens at a time.
MADE_OBJECTS_MAX = 64
MADE_BYTES_MAX = 1 << 20  # and one object more

# The library's own are ten retries within three minutes, longer than a poll may live.
RETRIES_MAX = 5
RETRY_TIMEOUT = timedelta(seconds=40)
REQUEST_TIMEOUT = timedelta(seconds=60)
CONNECT_TIMEOUT = timedelta(seconds=5)


class ReadMismatch(BatchdropError):
    """The store answered with other bytes than it was asked for."""


def open_bucket(bucket: str, endpoint: str | None) -> S3Store:
    """Return the store of *bucket*; keys and region come from the function's environment, as with every AWS client.

    *endpoint* replaces AWS itself; only one that begins with `http:` is spoken to without TLS.
    """
    client: ClientConfig = {
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
        "allow_http": (endpoint or "").startswith("http:"),
    }
    retry: RetryConfig = {"max_retries": RETRIES_MAX, "retry_timeout": RETRY_TIMEOUT}
    if endpoint is None:
        return S3Store(bucket, client_options=client, retry_config=retry)
    return S3Store(bucket, endpoint=endpoint, client_options=client, retry_config=retry)


@dataclass(frozen=True, slots=True)
class _ObjectContent:
    """One content of one object."""

    store: S3Store
    key: str
    size_bytes: int
    options: "GetOptions"  # what names this content: its version or its entity tag

    def block(self, start: int) -> memoryview:
        """Return the bytes from *start* on, at most a block; raises as `part`."""
        return self.part(start, min(start + BLOCK_BYTES, self.size_bytes))

    def part(self, start: int, end: int) -> memoryview:
        """Return the bytes from *start* to before *end*; raises ReadMismatch where others came.

        Of an upload raises UploadRejected or UploadWithheld: S3 shows archived objects, and those under a foreign key, to a
        HEAD.
        """
        options: GetOptions = {**self.options, "range": (start, end)}
        if (start, end) == (0, self.size_bytes):
            options = self.options  # the whole: asked for as such, because it can be
        with refusals_told(self.key) if "version" in options else nullcontext():
            found = obstore.get(self.store, self.key, options=options)
        content = memoryview(found.bytes())
        if found.range != (start, end) or len(content) != end - start:
            raise ReadMismatch(f"asked for bytes {start:,} to {end:,} of {self.key}, got {found.range}")
        return content


class _Blocks(io.RawIOBase):
    """A source as a raw stream."""

    def __init__(self, source: _ObjectContent, start: int) -> None:
        self._source = source
        self._position = start
        self._block = memoryview(b"")

    def readable(self) -> bool:
        """Whether this can be read: always."""
        return True

    def readinto(self, target: "Buffer") -> int:
        """Fill *target* as far as the current block goes and return the number of bytes; 0 at the end."""
        if not self._block and self._position < self._source.size_bytes:
            self._block = self._source.block(self._position)
            self._position += len(self._block)
        into = memoryview(target)
        size_bytes = min(len(into), len(self._block))
        into[:size_bytes] = self._block[:size_bytes]
        self._block = self._block[size_bytes:]
        return size_bytes


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Parts of a source, read by several threads: each waits 20 ms for its first byte."""

    source: _ObjectContent
    pool: ThreadPoolExecutor

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the bytes at each place, an offset and a length, in order."""
        return list(self.pool.map(self._part, places))

    def _part(self, place: tuple[int, int]) -> bytes:
        start, size_bytes = place
        return bytes(self.source.part(start, start + size_bytes))


def _reader(source: _ObjectContent, start: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Blocks(source, start), READ_BUFFER_BYTES))


class S3Storage:
    """The inbox bucket, which is only read, and the results bucket."""

    def __init__(
        self,
        inbox: S3Store,
        results: S3Store,
        inbox_bucket: str,
        versions: "Callable[[], S3Client] | None" = None,
    ) -> None:
        """*versions* lists them, which object_store cannot; it is only needed to list the inbox."""
        self._inbox = inbox
        self._results = results
        self._inbox_bucket = inbox_bucket
        self._versions = versions

    def open_upload(self, upload: Upload, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open this version for buffered reading from byte *start*.

        Raises UploadRejected(`unreadable`) where the version is gone or archived, UploadWithheld where S3 refuses it for
        now, and ValueError for a *start* outside of it.
        """
        size_bytes = self.upload_size_bytes(upload)
        if not 0 <= start <= size_bytes:
            raise ValueError(f"byte {start:,} is outside of {upload.key}, which has {size_bytes:,}")
        return _reader(_ObjectContent(self._inbox, upload.key, size_bytes, {"version": upload.version}), start)

    def upload_size_bytes(self, upload: Upload) -> int:
        """Return the size of this version; raises as `open_upload`."""
        return self._upload(upload)["size"]

    def upload_modified_at(self, upload: Upload) -> int:
        """Return when this version was put; raises as `open_upload`."""
        return int(self._upload(upload)["last_modified"].timestamp())

    def _upload(self, upload: Upload) -> "ObjectMeta":
        if upload.bucket != self._inbox_bucket:
            raise ValueError(f"{upload.bucket} is not the inbox bucket")
        if not is_key_usable(upload.key):
            raise UploadRejected(
                "unreadable", "The key has a segment that is empty, '.' or '..', or a control character."
            )
        with refusals_told(upload.key, lambda: self._get_one_byte(upload)):
            return obstore.get(self._inbox, upload.key, options={"version": upload.version, "head": True}).meta

    def _get_one_byte(self, upload: Upload) -> None:
        obstore.get(self._inbox, upload.key, options={"version": upload.version, "range": (0, 1)})

    def list_inbox(self, after: str, version: str = "") -> InboxPage:
        """Return the current versions below `inbox/` from *after* and *version* on, which a page before gave.

        One call lists 1,000 versions with their ids and times; ListObjectsV2 names no version, and a HEAD for each key
        would cost as much as twelve keys listed and need the right to read uploads. Noncurrent versions are passed over.
        Both markers are handed on as S3 gave them: what one of them means alone is not documented
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html, 2026-11-22), and emulators differ.
        """
        if self._versions is None:
            raise ValueError("this function was not given a client to list versions with")
        markers: dict[str, Any] = {"KeyMarker": after, "VersionIdMarker": version}
        found = self._versions().list_object_versions(
            Bucket=self._inbox_bucket,
            Prefix=INBOX_PREFIX,
            MaxKeys=INBOX_PAGE_VERSIONS,
            **{name: marker for name, marker in markers.items() if marker},
        )
        current = [version for version in found.get("Versions", []) if version["IsLatest"]]
        uploads = tuple(self._listed(version) for version in current)
        if not found["IsTruncated"]:
            return InboxPage(uploads, "")
        return InboxPage(uploads, found["NextKeyMarker"], found.get("NextVersionIdMarker", ""))

    def _listed(self, version: "ObjectVersionTypeDef") -> ListedUpload:
        named = named_version(version["VersionId"])
        upload = Upload(self._inbox_bucket, version["Key"], named)
        return ListedUpload(upload, int(version["LastModified"].timestamp()))

    def task(self, name: str) -> bytes | None:
        """Return the task file's content, or None where there is none."""
        contents = (_content(self._inbox, key) for key in task_keys(name))
        return next((content for content in contents if content is not None), None)

    def task_names(self) -> list[str] | None:
        """Return the names of the tasks that exist, at most 100, sorted; None where one key keeps all from being listed.

        object_store refuses a whole page for one key with a part such as `..`, which S3 takes.
        """
        pages = obstore.list(self._inbox, TASKS_PREFIX, chunk_size=TASK_KEYS_MAX)
        try:
            names = {named_task(found["path"]) for found in next(iter(pages), [])}
        except InvalidPathError:
            return None
        return sorted(name for name in names if name is not None)[:TASK_NAMES_MAX]

    def read(self, key: str) -> bytes | None:
        """Return the object in the results bucket whole, or None where there is none."""
        return _content(self._results, key)

    def open(self, key: str, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open an object of the results bucket for buffered reading from byte *start*. Raises NotYet where there is none."""
        return _reader(self._current(key), start)

    def _current(self, key: str) -> _ObjectContent:
        """Return the content that an object of the results bucket has now. Raises NotYet where there is none."""
        found = self._head(key)
        if found is None:
            raise NotYet(f"{key} is not there")
        return _ObjectContent(self._results, key, found["size"], {"if_match": found["e_tag"]})

    def size_bytes(self, key: str) -> int | None:
        """Return the size of an object of the results bucket, or None where there is none."""
        found = self._head(key)
        return None if found is None else found["size"]

    def _head(self, key: str) -> "ObjectMeta | None":
        try:
            return obstore.head(self._results, checked_key(key))
        except FileNotFoundError:
            return None

    def put(self, key: str, content: bytes, content_type: str = "application/json") -> None:
        """Write one object of the results bucket in one request."""
        attributes = {"Content-Type": content_type}
        obstore.put(self._results, checked_key(key), content, attributes=attributes, use_multipart=False)

    def put_many(self, objects: Iterable[tuple[str, bytes]]) -> int:
        """Write many small objects of the results bucket, many at a time, and return how many.

        Threads that take the next object as they get free: 150 µs of CPU a put, where an event loop costs 290 and
        boto3 3,400 (measured side by side on one machine).
        """
        waiting = _Waiting(objects)
        with ThreadPoolExecutor(SMALL_PUTS_IN_FLIGHT) as pool:
            workers = [pool.submit(self._put_waiting, waiting) for _ in range(SMALL_PUTS_IN_FLIGHT)]
        return sum(worker.result() for worker in workers)

    def _put_waiting(self, waiting: "_Waiting") -> int:
        """Write objects until none is left or one failed, and return how many."""
        count = number = 0
        while one := waiting.take(number):
            number, (key, content) = one
            try:
                self.put(key, content)
            except BaseException:
                waiting.close()
                raise
            count += 1
        return count

    @contextmanager
    def open_ranges(self, key: str) -> Iterator[Ranges]:
        """Open an object of the results bucket for reading parts of it as it is now. Raises NotYet where there is none."""
        with ThreadPoolExecutor(RANGES_IN_FLIGHT) as pool:
            yield _Ranges(self._current(key), pool)

    @contextmanager
    def writer(self, key: str, content_type: str = "application/x-ndjson") -> Iterator[ObjectWriter]:
        """Write one object of any size piece by piece; an exception aborts the parts, and nothing appears."""
        with obstore.open_writer(
            self._results,
            checked_key(key),
            attributes={"Content-Type": content_type},
            buffer_size=PART_BYTES,
            max_concurrency=PARTS_IN_FLIGHT,
        ) as pieces:
            yield pieces


class _Waiting:
    """Objects that several threads take one by one: some are made ahead, none far ahead of the oldest that is not taken.

    A thread that finds few of them makes more while the others use the rest: they are made many at once, and all threads would
    wait for that.
    """

    def __init__(self, objects: Iterable[tuple[str, bytes]]) -> None:
        self._objects = enumerate(objects, 1)
        self._making = Lock()  # one makes
        self._made = deque[tuple[int, tuple[str, bytes]]]()
        self._made_bytes = 0
        self._not_stored: dict[int, None] = {}  # numbers, ascending because they are made so
        self._newest = 0
        self._is_open = True  # for more to be made
        self._lock = Lock()  # for all of these
        self._oldest_is_stored = Condition(self._lock)

    def take(self, stored: int) -> tuple[int, tuple[str, bytes]] | None:
        """Return the next object with its number, None where there is none or nothing more shall be written.

        *stored* is the number of the one that the store took since, if any.
        """
        with self._lock:
            self._not_stored.pop(stored, None)
            self._oldest_is_stored.notify_all()
            is_low = len(self._made) < MADE_OBJECTS_MAX // 2
        if is_low:
            self._make(is_awaited=False)
        while (one := self._next_made()) is None:
            if not self._make(is_awaited=True):
                return None
        return one

    def _next_made(self) -> tuple[int, tuple[str, bytes]] | None:
        with self._lock:
            if not self._made:
                return None
            one = self._made.popleft()
            self._made_bytes -= len(one[1][1])
            return one

    def _make(self, *, is_awaited: bool) -> bool:
        """Make some objects and return whether there may be any; if another thread does, only wait if *is_awaited*."""
        if not self._making.acquire(blocking=is_awaited):
            return True
        try:
            while self._may_make():
                self._add(next(self._objects, None))
        except BaseException:
            self._end()
            raise
        finally:
            self._making.release()
        return bool(self._made) or self._is_open

    def _may_make(self) -> bool:
        """Whether another object may be made now; where none is ready, wait until one may."""
        with self._lock:
            if not self._made:
                self._oldest_is_stored.wait_for(lambda: not self._is_open or self._is_near())
            is_full = len(self._made) >= MADE_OBJECTS_MAX or self._made_bytes >= MADE_BYTES_MAX
            return self._is_open and self._is_near() and not (self._made and is_full)

    def _is_near(self) -> bool:
        return self._newest - next(iter(self._not_stored), self._newest) < PUTS_AHEAD_MAX

    def _add(self, one: tuple[int, tuple[str, bytes]] | None) -> None:
        if one is None:
            self._end()
            return
        with self._lock:
            self._newest = one[0]
            self._not_stored[one[0]] = None
            self._made.append(one)
            self._made_bytes += len(one[1][1])

    def _end(self) -> None:
        """Make nothing more; what is made is still given."""
        with self._lock:
            self._is_open = False
            self._oldest_is_stored.notify_all()

    def close(self) -> None:
        """Give nothing more."""
        self._end()
        with self._lock:
            self._made.clear()


def _content(store: S3Store, key: str) -> bytes | None:
    try:
        return bytes(obstore.get(store, checked_key(key)).bytes())
    except FileNotFoundError:
        return None
